import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Mbox from "../../src/cli/export/Mbox.ts"
import { runs } from "../support/Property.ts"

const at = DateTime.makeUnsafe("2026-01-02T03:04:05Z")

/** Splits a mailbox into messages as a reader of mboxrd does, and removes one `>` from each quoted line. */
const read = (mailbox: string): ReadonlyArray<string> => {
  const messages: Array<Array<string>> = []
  for (const line of mailbox.match(/[^\n]*\n/g) ?? []) {
    if (line.startsWith("From ")) messages.push([])
    else messages.at(-1)?.push(line.replace(/^>(>*From )/, "$1"))
  }
  return messages.map((lines) => {
    assert.strictEqual(lines.at(-1), "\n")
    return lines.slice(0, -1).join("")
  })
}

const pieces = Schema.Array(
  Schema.Literals(["From ", "From", "Fro", ">", ">>", "\n", "\r\n", "From: me@example.com\n", "x", " ", "FrFrom ", ""])
)

const write = (messages: ReadonlyArray<ReadonlyArray<string>>) =>
  Stream.fromIterable(messages).pipe(
    Stream.flatMap((chunks) =>
      Mbox.message(Stream.fromIterable(chunks.map((chunk) => Buffer.from(chunk, "latin1"))), at)
    ),
    Stream.runCollect,
    Effect.map((chunks) => Buffer.concat(chunks).toString("latin1"))
  )

describe("a mailbox", () => {
  it.effect.prop(
    "gives back each message, its last line ended",
    [Schema.Array(pieces)],
    ([messages]) =>
      Effect.gen(function* () {
        const expected = messages.map((chunks) => {
          const text = chunks.join("")
          return text === "" || text.endsWith("\n") ? text : `${text}\n`
        })
        assert.deepStrictEqual(read(yield* write(messages)), expected)
      }),
    runs()
  )

  it.effect("begins each message with its sender and its time", () =>
    Effect.gen(function* () {
      const mailbox = yield* write([
        ["From: Ada <ada@example.com>\r\nSubject: x\r\n\r\nFrom here on\n"],
        ["Subject: no sender\n\nfrom: not@header.example"],
        []
      ])
      assert.strictEqual(
        mailbox,
        "From ada@example.com Fri Jan  2 03:04:05 2026\nFrom: Ada <ada@example.com>\r\nSubject: x\r\n\r\n>From here on\n\n" +
          "From MAILER-DAEMON Fri Jan  2 03:04:05 2026\nSubject: no sender\n\nfrom: not@header.example\n\n" +
          "From MAILER-DAEMON Fri Jan  2 03:04:05 2026\n\n"
      )
    })
  )
})
