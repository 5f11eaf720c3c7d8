import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

/** Longer than one page of the API. */
const long = "The roof is mended, and dry again. ".repeat(6000)

const shown = Effect.fnUntraced(function* () {
  const source = new MemorySource()
  source.add("mail", {
    at: DateTime.makeUnsafe("2026-01-02T03:04:05Z"),
    metadata: { from: { name: "Ann\u001b[2J", address: "ann@example.com" } }
  })
  for (const id of ["long", "unread", "-dash"]) source.add(id)
  const texts = {
    mail: "Dear Ben,\r\n\r\n\u001b]52;c;cm0=\u0007\u001b[31mred\u009b2J\n\n\ttabbed\n",
    long,
    unread: null,
    "-dash": "dashed"
  }
  const { connect, run } = yield* CommandLine.make(source, {}, { texts })
  yield* connect("work")
  yield* run(["sync", "work"])
  return (...args: ReadonlyArray<string>) => run(["show", "work", "--text", ...args], { env: { COLUMNS: "60" } })
})

describe("idem show --text", () => {
  it.effect("shows the title, the author, the time and the text, without what controls a terminal", () =>
    Effect.gen(function* () {
      const show = yield* shown()
      assert.deepStrictEqual(CommandLine.text(yield* show("mail")).split("\n"), [
        "title  title of mail",
        "from   Ann\\u{1b}[2J <ann@example.com>",
        "date   2026-01-02 03:04 UTC",
        "",
        "Dear Ben,",
        "",
        "\\u{1b}]52;c;cm0=\\u{7}\\u{1b}[31mred\\u{9b}2J",
        "",
        "\ttabbed"
      ])
    })
  )

  it.effect("shows a long text whole, wrapped at words, and gives it unchanged with --json", () =>
    Effect.gen(function* () {
      const show = yield* shown()
      const [, body = ""] = CommandLine.text(yield* show("long")).split("\n\n")
      assert.isAtMost(Math.max(...body.split("\n").map((line) => line.length)), 60)
      assert.strictEqual(body.replaceAll(/\s+/g, " ").trim(), long.trim())
      assert.include(CommandLine.json(yield* show("long", "--json")), { externalId: "long", text: long })
    })
  )

  it.effect("says what to do where there is no text, and where there is no such content", () =>
    Effect.gen(function* () {
      const show = yield* shown()
      const unread = yield* show("unread")
      assert.strictEqual(unread.code, 1)
      assert.include(unread.stderr, "idem show work unread --raw")
      const dashed = yield* show("-dash")
      assert.match(CommandLine.text(dashed), /dashed$/, dashed.stderr)
      assert.include((yield* show("nowhere")).stderr, `"work" has no content with the id "nowhere"`)
    })
  )
})
