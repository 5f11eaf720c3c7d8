import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import measure from "fast-string-truncated-width"
import { stripVTControlCharacters } from "node:util"
import { table } from "../../src/cli/Table.ts"
import { MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

const style = (text: string) => text
const wide = { width: Number.POSITIVE_INFINITY, style }
const widths = (text: string) => text.split("\n").map((line) => measure(line).width)

describe("a table", () => {
  it("has columns as wide as a terminal shows their text", () => {
    const plain = table(
      ["ID", "SIZE"],
      [
        ["日本", "1"],
        ["👨‍👩‍👧", "22"],
        ["\u001b[1mbold\u001b[0m", "3"],
        ["e\u0301", ""]
      ],
      { ...wide, right: ["SIZE"] }
    )
    assert.deepStrictEqual(plain.split("\n"), [
      "ID    SIZE",
      "日本     1",
      "👨‍👩‍👧      22",
      "\u001b[1mbold\u001b[0m     3",
      "e\u0301"
    ])
  })

  const header = ["ID", "KIND", "SIZE", "TITLE"]
  const rows = [
    ["18c0001", "message", "1.5 KiB", "The roof of the house by the lake"],
    ["18c0002", "message", "231 B", "屋根の修理についてのお知らせと見積もり"]
  ]
  const layout = { style, right: ["SIZE"], cut: ["TITLE"], drop: ["KIND", "SIZE"] }

  it("that is too wide is shortened first, then loses columns, then shows names and values", () => {
    assert.strictEqual(table(header, rows, { ...layout, width: 200 }), table(header, rows, { ...layout, ...wide }))
    assert.deepStrictEqual(table(header, rows, { ...layout, width: 42 }).split("\n"), [
      "ID       KIND        SIZE  TITLE",
      "18c0001  message  1.5 KiB  The roof of th…",
      "18c0002  message    231 B  屋根の修理につ…"
    ])
    assert.deepStrictEqual(table(header, rows, { ...layout, width: 30 }).split("\n"), [
      "ID          SIZE  TITLE",
      "18c0001  1.5 KiB  The roof of…",
      "18c0002    231 B  屋根の修理…"
    ])
    assert.deepStrictEqual(table(header, rows, { ...layout, width: 22 }).split("\n"), [
      "ID       TITLE",
      "18c0001  The roof of…",
      "18c0002  屋根の修理に…"
    ])
    assert.deepStrictEqual(table(header, rows, { ...layout, width: 16 }).split("\n"), [
      "ID     18c0001",
      "KIND   message",
      "SIZE   1.5 KiB",
      "TITLE  The roof of the house by the lake",
      "",
      "ID     18c0002",
      "KIND   message",
      "SIZE   231 B",
      "TITLE  屋根の修理についてのお知らせと見積もり"
    ])
  })

  it("fits every width that it is not too wide for", () => {
    for (let width = 21; width < 80; width++) {
      assert.isAtMost(Math.max(...widths(table(header, rows, { ...layout, width }))), width)
    }
  })
})

describe("on a narrow terminal", () => {
  it.effect("tables and help fit its width, and JSON is the same", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.add("a-file-with-a-long-name.txt", {
        metadata: { from: { name: "Ann of the long name", address: "ann@example.com" } }
      })
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      yield* run(["sync", "work"])
      const at = (columns: number, ...args: ReadonlyArray<string>) =>
        Effect.map(run(args, { env: { COLUMNS: String(columns) } }), CommandLine.text)
      for (const columns of [60, 80]) {
        for (const args of [["contents", "work"], ["connections"], ["runs", "work"], ["help"], ["sync", "--help"]]) {
          const text = yield* at(columns, ...args)
          assert.isAtMost(Math.max(...widths(stripVTControlCharacters(text))), columns, text)
        }
      }
      for (const args of [["contents", "work"], ["connections"]]) {
        assert.strictEqual(yield* at(60, ...args, "--json"), CommandLine.text(yield* run([...args, "--json"])))
      }
      const connectHelp = yield* at(60, "connect", "--help")
      assert.include(connectHelp, "\n  idem connect gmail --name work --credentials @client.json\n")
    })
  )
})
