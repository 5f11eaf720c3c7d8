import { assert, describe, it } from "@effect/vitest"
import PostalMime, { type Address } from "postal-mime"
import * as Headers from "../../src/mail/Headers.ts"
import { realEmails } from "../support/realEmails.ts"

/** Makes an email with these header lines, in which one character is one byte. */
const email = (...lines: ReadonlyArray<string>) => Buffer.from([...lines, "", "text"].join("\r\n"), "latin1")

/** Makes a text of these bytes, one character a byte. */
const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex").toString("latin1")

const subject = (...lines: ReadonlyArray<string>) => Headers.read(email(...lines)).subject

describe("the headers of an email", () => {
  it("join a character that is split over two encoded words", () => {
    assert.strictEqual(subject("Subject: =?utf-8?B?4pyTIOKc?= =?utf-8?B?kw==?="), "✓ ✓")
    assert.strictEqual(subject("Subject: =?UTF-8?Q?caf=C3?=", " =?utf-8?Q?=A9_au_lait?="), "café au lait")
    assert.strictEqual(subject("Subject: =?gb2312?B?xOM=?= =?iso-8859-1?Q?=E9?="), "你é")
  })

  it("keep encoded words of a charset with escape sequences apart", () => {
    assert.strictEqual(
      subject("Subject: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", " =?ISO-2022-JP?B?GyRCOGwbKEI=?="),
      "日本語"
    )
  })

  it("read bytes above 127 inside an encoded word in its charset", () => {
    assert.strictEqual(subject(`Subject: =?iso-8859-1?Q?caf${bytes("e9")}?=`), "café")
    assert.strictEqual(subject(`Subject: =?utf-8?Q?caf${bytes("c3a9")}?=`), "café")
  })

  it("read UTF-7", () => {
    assert.strictEqual(subject("Subject: =?utf-7?Q?Gr+APwA3w-e?="), "Grüße")
    assert.strictEqual(subject("Subject: =?unicode-1-1-utf-7?Q?+ZeVnLIqe-?="), "日本語")
  })

  const declared: ReadonlyArray<readonly [charset: string, hex: string, text: string]> = [
    ["euc-kr", "b1a4b0ed", "광고"],
    ["windows-1251", "cff0e8e2e5f2", "Привет"],
    ["big5", "a7da", "我"],
    ["gb2312", "c4e3bac3", "你好"]
  ]
  for (const [charset, hex, text] of declared) {
    it(`read raw bytes in the charset that the email declares: ${charset}`, () => {
      assert.strictEqual(subject(`Subject: ${bytes(hex)}`, `Content-Type: text/plain; charset="${charset}"`), text)
    })
  }

  it("take raw bytes for UTF-8 if they are, and for windows-1252 if nothing else fits", () => {
    assert.strictEqual(subject(`Subject: ${bytes("c3a9")}`, "Content-Type: text/plain; charset=euc-kr"), "é")
    assert.strictEqual(subject(`Subject: caf${bytes("e9")}`), "café")
    assert.strictEqual(subject(`Subject: ${bytes("e920")}x`, "Content-Type: text/plain; charset=utf-8"), "é x")
    assert.strictEqual(subject(`Subject: ${bytes("e9")}`, "Content-Type: text/plain; charset=none-such"), "é")
  })

  it("leave comments and source routes inside angle brackets out of an address", () => {
    const { from, to } = Headers.read(
      email('From: "<@x:y>" <ann(at work)@example.com>', "To: Bob <@relay.example,@other.example:bob@example.com>")
    )
    assert.deepStrictEqual(from, { name: "<@x:y>", address: "ann@example.com" })
    assert.deepStrictEqual(to, [{ name: "Bob", address: "bob@example.com" }])
  })

  it("have the first and the last 20 references, and the first id of In-Reply-To", () => {
    const all = Array.from({ length: 60 }, (_, index) => `<${index}@example.com>`)
    // RFC 2822, 3.6.4: In-Reply-To was formerly free text ("Your message of …").
    const { inReplyTo, references } = Headers.read(
      email("In-Reply-To: Your message of Monday <59@example.com> <58@example.com>", `References: ${all.join("\r\n ")}`)
    )
    assert.strictEqual(inReplyTo, "<59@example.com>")
    assert.deepStrictEqual(references, [...all.slice(0, 20), ...all.slice(-20)])
    const none = Headers.read(email("In-Reply-To: Your message of Monday", "References: none"))
    assert.deepStrictEqual([none.inReplyTo, none.references], [undefined, undefined])
  })

  it("have no date where the field is not one", () => {
    assert.strictEqual(Headers.read(email("Date: Whenever 12")).date, undefined)
    assert.strictEqual(Headers.read(email("Date: Tue, 20 Aug 2002 12:00:00 +0200")).date, "2002-08-20T10:00:00.000Z")
  })

  it("keep what a folded line holds, and read the first of repeated fields", () => {
    assert.strictEqual(subject("Subject: one", "  two", "Subject: three"), "one  two")
  })

  it("read at most 500 addresses, however many fields name them", () => {
    const many = Array.from({ length: 2000 }, (_, index) => `Cc: user${index}@example.com`)
    const { cc, messageId } = Headers.read(email(...many, "Message-ID: <1@example.com>"))
    assert.strictEqual(cc?.length, 500)
    assert.strictEqual(messageId, "<1@example.com>")
  })

  it("are those that postal-mime finds among all fields, in each of 6,046 real emails", async () => {
    const text = (value: string | undefined) => (value === undefined || value.trim() === "" ? undefined : value.trim())
    const ids = (value: string | undefined) => value?.match(/<[^<>\s]+>/g) ?? []
    const mailboxes = (list: ReadonlyArray<Address> | undefined) =>
      list?.flatMap((each) => each.group ?? [each]).map(({ address, name }) => ({ name, address: address ?? "" }))
    for (const raw of realEmails()) {
      const { date: _, ...found } = Headers.read(Buffer.from(raw))
      const whole = await PostalMime.parse(raw.slice(0, /\n\r?\n/.exec(raw)?.index))
      const expected = {
        subject: text(whole.subject),
        messageId: text(whole.messageId),
        inReplyTo: ids(whole.inReplyTo)[0],
        references: whole.references === undefined ? undefined : ids(whole.references),
        from: mailboxes(whole.from === undefined ? undefined : [whole.from])?.[0],
        replyTo: mailboxes(whole.replyTo),
        to: mailboxes(whole.to),
        cc: mailboxes(whole.cc),
        bcc: mailboxes(whole.bcc)
      }
      // Comparing the objects would take ten times as long.
      assert.strictEqual(JSON.stringify(found), JSON.stringify(expected))
    }
  })

  it("take no longer for a header of 256 KiB that is made to be slow than for one of 64,000 addresses", () => {
    const size = 256 * 1024
    /**
     * Returns the CPU time, which does not depend on other programs. The minimum of three is used, because the first
     * reading compiles.
     */
    const cost = (bytes: Uint8Array, readings = 1) => {
      const costs: Array<number> = []
      for (let run = 0; run < 3; run++) {
        const before = process.threadCpuUsage()
        for (let reading = 0; reading < readings; reading++) Headers.read(bytes)
        const { system, user } = process.threadCpuUsage(before)
        costs.push(system + user)
      }
      return Math.min(...costs) / readings
    }
    // Linux may measure this time in steps of 4 ms, which is as long as one reading.
    const addresses = cost(
      email(...Array.from({ length: size / 40 }, () => "To: a@b,a@b,a@b,a@b,a@b,a@b,a@b,a@b,a@b")),
      20
    )
    const hostile = ["(", '"<', "=?", "a:", "<@", "a@b,", "=?utf-8?Q?a?= ", "<(", "\\", '"\\']
    for (const part of hostile) {
      for (const name of ["To", "From", "Subject", "Date"]) {
        const found = cost(email(`${name}: ${part.repeat(size / part.length)}`))
        // Quadratic time would be fifty times as long.
        assert.isBelow(found / addresses, 5, `${name}: ${part}`)
      }
    }
    for (const line of ["To: a@b", "Date: 1", "X: 1", "Subject: x"]) {
      const found = cost(email(...Array.from({ length: size / line.length }, () => line)))
      assert.isBelow(found / addresses, 5, line)
    }
  })

  it("have the addresses of the first fields only where there are more than can be read in a moment", () => {
    const long = `To: ${"x".repeat(30_000)} <a@example.com>`
    const lines = (count: number) => Array.from({ length: count }, () => long)
    const few = Headers.read(email(...lines(2), "To: z@example.com"))
    assert.deepStrictEqual(few.to?.at(-1), { name: "", address: "z@example.com" })
    const many = Headers.read(email(...lines(6), "To: z@example.com", "Subject: last"))
    assert.strictEqual(many.subject, "last")
    assert.deepStrictEqual(many.to?.at(-1)?.address, "a@example.com")
  })
})
