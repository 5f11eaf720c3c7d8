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

it("a file without a media type is shown by its name, and one with a media type by that", () => {
  const type = (externalId: string, mediaType: string | null = null, title: string | null = externalId) =>
    TextPreview.typeOf({ externalId, mediaType, title })
  assert.strictEqual(type("photos/Roof.JPG"), "image/jpeg")
  assert.strictEqual(type("notes.txt"), "text/plain")
  assert.strictEqual(type("table.csv", null, null), "text/csv")
  assert.strictEqual(type("F1", null, "list.json"), "application/json")
  assert.strictEqual(type("page.html"), "")
  assert.strictEqual(type("constructor.constructor"), "")
  assert.strictEqual(type("picture.png", "Text/Plain; charset=utf-8"), "text/plain")
  const isMarkdown = (externalId: string, mediaType: string | null) =>
    TextPreview.isMarkdown({ externalId, mediaType, title: null })
  assert.isTrue(isMarkdown("README.md", null))
  assert.isTrue(isMarkdown("README.md", "text/plain"))
  assert.isFalse(isMarkdown("README.md", "text/html"))
  assert.isFalse(isMarkdown("notes.txt", null))
})
