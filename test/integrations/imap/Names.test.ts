/** External ids of messages, and the keys of their copies. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Messages from "../../../src/integrations/imap/Messages.ts"
import * as Names from "../../../src/integrations/imap/Names.ts"
import { runs } from "../../support/Property.ts"

const Path = Schema.Array(Schema.Literals(["a", "/", ".", "%", "2F", "25", "é"])).check(Schema.isMinLength(1))
const separators = ["/", ".", "", null]

describe("the name of a mailbox", () => {
  it.prop(
    "gives the server's name again, and no other mailbox has it",
    [Path, Path],
    ([one, another]) => {
      for (const separator of separators) {
        const [path, other] = [one.join(""), another.join("")]
        const name = Names.encode(path, separator)
        assert.strictEqual(Names.decode(name, separator), path)
        assert.strictEqual(name === Names.encode(other, separator), path === other)
      }
    },
    runs(200)
  )

  it("has its levels between slashes, whatever the separator", () => {
    assert.strictEqual(Names.encode("a.b/c", "."), "a/b%2Fc")
    assert.strictEqual(Names.encode("a/b.c", "/"), "a/b.c")
    assert.strictEqual(Names.encode("a/b, null and void", null), "a%2Fb, null and void")
    assert.strictEqual(Names.encode("a/b", ""), "a%2Fb")
    assert.strictEqual(Names.encode("100% %2F %25 %20", null), "100% %252F %2525 %20")
  })
})

describe("the id of a message", () => {
  it("names the mailbox, its UIDVALIDITY and the UID, and no other text does", () => {
    for (const [id, message] of [
      ["INBOX/1/1", { mailbox: "INBOX", validity: "1", uid: 1 }],
      ["a/2024/0/4294967295", { mailbox: "a/2024", validity: "0", uid: 4_294_967_295 }],
      ["a\nb/18446744073709551615/20", { mailbox: "a\nb", validity: "18446744073709551615", uid: 20 }]
    ] as const) {
      assert.deepStrictEqual(Names.parse(id), message)
      assert.strictEqual(Names.format(message), id)
      const { mailbox, validity } = message
      assert.deepInclude(Names.parsePrefix(Names.prefix(mailbox, validity)), { mailbox, validity })
    }
    for (const id of [
      "",
      "INBOX",
      "INBOX/1",
      "INBOX/1/",
      "INBOX/1/0",
      "INBOX/1/4294967296",
      "INBOX/01/1",
      "INBOX/1/01"
    ]) {
      assert.isUndefined(Names.parse(id), id)
    }
    for (const id of ["/1/1", "1/1", "INBOX/1/1x", "INBOX/x/1", "INBOX/-1/1", `INBOX/${"1".repeat(21)}/1`]) {
      assert.isUndefined(Names.parse(id), id)
    }
  })

  it("is not too long, or its mailbox is left out", () => {
    // Two slashes, 20 digits of the UIDVALIDITY and ten of the UID.
    assert.isUndefined(Names.problem("x".repeat(1024 - 32)))
    assert.isString(Names.problem("x".repeat(1024 - 31)))
  })

  it("is requested with others by ranges", () => {
    assert.strictEqual(Names.sequenceSet([]), "")
    assert.strictEqual(Names.sequenceSet([7]), "7")
    assert.strictEqual(Names.sequenceSet([7, 1, 3, 2, 10, 9, 4]), "1:4,7,9:10")
  })
})

describe("the key of a message", () => {
  const details = { emailId: undefined, received: 1_700_000_000_000, size: 7 }
  const keyOf = (head: string | undefined, more: Partial<Messages.Details> = {}) =>
    Messages.keyOf({ ...details, ...more }, head === undefined ? undefined : Buffer.from(head))
  const head = "Message-ID: <1@a.example>\r\nReceived: from b by c; 1 Jan\r\nSubject: x\r\n\r\n"
  const key = keyOf(head)

  it("is the same for copies: neither other fields nor the writing of these counts", () => {
    assert.isString(key)
    assert.strictEqual(
      keyOf("received:from b\r\n\tby c;\r\n  1 Jan\r\nMESSAGE-ID:  <1@a.example>\r\nX-Spam: no\r\n\r\n"),
      key
    )
    assert.strictEqual(keyOf(head.replaceAll("\r\n", "\n")), key)
    assert.strictEqual(keyOf(`${head}Message-ID: <2@a.example>\r\n\r\n`), key)
    assert.strictEqual(keyOf(head.trimEnd()), key)
    // An id of the server counts for more than the message.
    assert.strictEqual(keyOf(undefined, { emailId: "M1" }), keyOf(head, { emailId: "M1" }))
    assert.notStrictEqual(keyOf(undefined, { emailId: "M1" }), keyOf(undefined, { emailId: "M2" }))
  })

  it("is another one for other ids, ways, times and sizes", () => {
    const others = [
      keyOf(head.replace("<1@", "<2@")),
      keyOf(head.replace("by c", "by d")),
      keyOf(head.replace("Subject:", "Received: from a by b\r\nSubject:")),
      keyOf(head, { received: details.received + 1 }),
      keyOf(head, { size: 8 })
    ]
    assert.strictEqual(new Set([key, ...others]).size, 6)
  })

  it("is not made without all of them", () => {
    for (const none of [
      keyOf(undefined),
      keyOf("Received: from b by c\r\n\r\n"),
      keyOf("Subject: x\r\n\r\nMessage-ID: <1@a.example>\r\n"),
      keyOf(head, { received: undefined }),
      keyOf(head, { size: undefined })
    ]) {
      assert.isUndefined(none)
    }
  })
})

describe("the details of a message", () => {
  it("have sorted flags and labels, without the flag of the session, and only a time that can be read", () => {
    const row = { seq: 1, uid: 7, flags: new Set(["\\Seen", "\\RECENT", "$a"]), internalDate: new Date(5) }
    const plain = { uid: 7, size: undefined, emailId: undefined, threadId: undefined }
    assert.deepStrictEqual(Messages.detailsOf(row), { ...plain, flags: ["$a", "\\Seen"], received: 5 })
    const labelled = { seq: 1, uid: 7, labels: new Set(["b", "a"]), size: 3, emailId: "M", threadId: "T" }
    assert.deepStrictEqual(Messages.detailsOf(labelled), {
      uid: 7,
      flags: [],
      labels: ["a", "b"],
      size: 3,
      received: undefined,
      emailId: "M",
      threadId: "T"
    })
    for (const internalDate of [new Date(Number.NaN), "soon"]) {
      assert.isUndefined(Messages.detailsOf({ seq: 1, uid: 7, internalDate }).received)
    }
  })
})
