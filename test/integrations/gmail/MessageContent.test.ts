import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Message } from "../../../src/integrations/gmail/Resources.ts"
import * as MessageContent from "../../../src/integrations/gmail/MessageContent.ts"
import { runs } from "../../support/Property.ts"

const message = (raw: string | Uint8Array, more: Partial<Message> = {}): Message => ({
  id: "18c2",
  threadId: "18c0",
  labelIds: ["UNREAD", "INBOX"],
  historyId: "77",
  internalDate: "1767225600123",
  sizeEstimate: 1000,
  snippet: "Hello",
  raw: Buffer.from(raw).toString("base64url"),
  ...more
})

const lines = (...text: ReadonlyArray<string>) => text.join("\r\n")

describe("a message as content", () => {
  it.effect("keeps the bytes as received and decodes the headers", () =>
    Effect.gen(function* () {
      const raw = lines(
        "From: =?utf-8?q?Ann_=C3=84rger?= <ann@example.com>",
        "To: Bob <bob@example.com>, Team: c@example.com, d@example.com;",
        "Cc: e@example.com",
        "Subject: =?iso-8859-1?q?Gr=FC=DFe?=",
        " =?iso-8859-1?q?_aus_K=F6ln?=",
        "Message-ID: <1@example.com>",
        "Date: Thu, 1 Jan 2026 01:00:00 +0100",
        "",
        "Hello\0 there",
        ""
      )
      const content = yield* MessageContent.content(message(raw))
      assert.deepStrictEqual(content.body, new Uint8Array(Buffer.from(raw)))
      assert.strictEqual(content.kind, "message")
      assert.strictEqual(content.mediaType, "message/rfc822")
      assert.strictEqual(content.title, "Grüße aus Köln")
      assert.deepStrictEqual(content.occurredAt, DateTime.makeUnsafe(1_767_225_600_123))
      assert.deepStrictEqual(content.metadata, {
        threadId: "18c0",
        labels: { INBOX: true, UNREAD: true },
        size: raw.length,
        messageId: "<1@example.com>",
        date: "2026-01-01T00:00:00.000Z",
        from: { name: "Ann Ärger", address: "ann@example.com" },
        to: [
          { name: "Bob", address: "bob@example.com" },
          { name: "", address: "c@example.com" },
          { name: "", address: "d@example.com" }
        ],
        cc: [{ name: "", address: "e@example.com" }]
      })
    })
  )

  it.effect("keeps what moves between two fetches of an unchanged message apart", () =>
    Effect.gen(function* () {
      const one = yield* MessageContent.content(message("Subject: x\r\n\r\n"))
      const other = yield* MessageContent.content(
        message("Subject: x\r\n\r\n", {
          historyId: "99",
          sizeEstimate: 7,
          snippet: "else",
          labelIds: ["INBOX", "UNREAD"]
        })
      )
      assert.strictEqual(JSON.stringify(one.metadata), JSON.stringify(other.metadata))
      assert.deepStrictEqual(other.volatile, { historyId: "99", sizeEstimate: 7, snippet: "else" })
    })
  )

  const messy: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["no header", Buffer.from("\r\n\r\njust text")],
    ["no end of the headers", Buffer.from("Subject: x")],
    ["no Message-ID, Date or Subject", Buffer.from("From: a@b\n\nx")],
    ["NULs", Buffer.from("Subject: a\0b\nFrom: \0\n\nx")],
    ["an unknown charset", Buffer.from("Subject: =?x-klingon?b?4pyT?=\n\nx")],
    ["broken encoded words", Buffer.from("Subject: =?utf-8?b?%%%?= =?utf-8?q\n\nx")],
    ["a date that is none", Buffer.from("Date: yesterday or so\nSubject: x\n\nx")],
    ["a date out of range", Buffer.from("Date: Mon, 99 Foo 999999 99:99:99 +9999\n\nx")],
    ["bare carriage returns", Buffer.from("Subject: a\rFrom: b\r\rx")],
    ["random bytes", Uint8Array.from({ length: 5000 }, (_, index) => (index * 7919) % 256)],
    ["a header of a megabyte", Buffer.from(`To: ${"a@example.com, ".repeat(70_000)}\n\nx`)]
  ]
  for (const [name, raw] of messy) {
    it.effect(`never fails: ${name}`, () =>
      Effect.gen(function* () {
        const content = yield* MessageContent.content(message(raw))
        assert.deepStrictEqual(content.body, new Uint8Array(raw))
        assert.isBelow(JSON.stringify(content.metadata).length, 100_000)
      })
    )
  }

  it.effect("reads 8-bit headers as UTF-8 where they are that, else as Windows-1252", () =>
    Effect.gen(function* () {
      const utf8 = yield* MessageContent.content(message(Buffer.from("Subject: Grüße\n\n", "utf8")))
      const latin = yield* MessageContent.content(message(Buffer.from("Subject: Gr\xfc\xdfe\n\n", "latin1")))
      assert.strictEqual(utf8.title, "Grüße")
      assert.strictEqual(latin.title, "Grüße")
    })
  )

  it.effect("has no date where Gmail gives none", () =>
    Effect.gen(function* () {
      for (const internalDate of ["soon", "", "99999999999999999999"]) {
        assert.isUndefined((yield* MessageContent.content(message("Subject: x\n\n", { internalDate }))).occurredAt)
      }
    })
  )

  for (const bad of [" ", "\n", "*", "\0", "\u00e9", "\u0141", "\ud83d\ude00", "=A"]) {
    it.effect(`takes no text for a body that has ${JSON.stringify(bad)} in it`, () =>
      Effect.gen(function* () {
        const text = "QUJDREVGR0hJ"
        const places = Array.from(text, (_, at) => [text.slice(0, at), text.slice(at + bad.length)] as const)
        for (const raw of places.flatMap(([before, after]) => [before + bad + after, before + bad])) {
          assert.strictEqual(
            (yield* Effect.flip(MessageContent.content(message("", { raw })))).reason._tag,
            "Malformed",
            raw
          )
        }
      })
    )
  }

  it.effect.prop(
    "any bytes but none come through as they are, with or without padding",
    { bytes: Schema.NonEmptyArray(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 })))) },
    ({ bytes }) =>
      Effect.gen(function* () {
        const raw = Uint8Array.from(bytes)
        const padded = Buffer.from(raw).toString("base64").replaceAll("+", "-").replaceAll("/", "_")
        for (const text of [padded, padded.replaceAll("=", "")]) {
          const content = yield* MessageContent.content(message("", { raw: text }))
          assert.deepStrictEqual(content.body, raw)
        }
      }),
    runs()
  )
})
