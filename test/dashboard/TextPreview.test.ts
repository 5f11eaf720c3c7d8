import { assert, it } from "vitest"
import * as TextPreview from "../../src/dashboard/TextPreview.ts"

it("a table's fields are told apart as RFC 4180 has it, and its rows are bounded", () => {
  assert.deepStrictEqual(TextPreview.rowsOf('name,said\r\nAda,"one, ""two""\nthree"\n', ","), [
    ["name", "said"],
    ["Ada", 'one, "two"\nthree']
  ])
  assert.deepStrictEqual(TextPreview.rowsOf("a\tb", "\t"), [["a", "b"]])
  assert.isUndefined(TextPreview.rowsOf('a,"never ends', ","))
  assert.strictEqual(TextPreview.rowsOf("x\n".repeat(1000), ",")?.length, TextPreview.mostRows)
})

it("JSON is indented, and what is none stays as it is", () => {
  assert.strictEqual(TextPreview.indented('{"a":1}'), '{\n  "a": 1\n}')
  assert.strictEqual(TextPreview.indented("{"), "{")
})
