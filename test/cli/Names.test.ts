import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Names from "../../src/cli/export/Names.ts"
import { runs } from "../support/Property.ts"

// Letters of hostile names, more frequent than in random text.
const hostile = Schema.Array(
  Schema.Literals([
    "/",
    "..",
    ".",
    "%",
    "%2F",
    "%~",
    "%d",
    "%_",
    "\\",
    " ",
    ":",
    "\n",
    "\u0001",
    "\u202e",
    "CON",
    "con",
    "nul.txt",
    "COM1",
    "a",
    "A",
    "é",
    "e\u0301",
    "ß",
    "İ",
    "🦆",
    "x".repeat(150),
    "~",
    "-",
    "$",
    "'",
    '"',
    "*",
    "?",
    "\u0085"
  ])
).pipe(Schema.check(Schema.isMinLength(1), Schema.isMaxLength(12)))

/** Decodes a segment's name; undefined if it was truncated. */
const decode = (name: string): string | undefined =>
  name === "%_" ? "" : name.includes("%~") ? undefined : decodeURIComponent(name)

const bytes = (text: string) => Buffer.byteLength(text)

const isSafe = (name: string): boolean =>
  name.length > 0 &&
  !/^\.+$/.test(name) &&
  // oxlint-disable-next-line no-control-regex
  !/[\u0000-\u001f\u007f-\u009f"*:<>?\\|/]/.test(name) &&
  !/[. ]$/.test(name) &&
  !/^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i.test(name) &&
  bytes(name) <= 200

describe("the name of an exported file", () => {
  it("is the id itself where that is safe", () => {
    assert.deepStrictEqual(Names.encodePath("docs/2026/Read me (v2)~é.txt"), ["docs", "2026", "Read me (v2)~é.txt"])
    assert.strictEqual(Names.encodeSegment("18c2f0a1b2c3d4e5"), "18c2f0a1b2c3d4e5")
  })

  it("never leaves the folder, and is no device of Windows", () => {
    assert.deepStrictEqual(Names.encodePath("../../etc/passwd"), ["%2E%2E", "%2E%2E", "etc", "passwd"])
    assert.deepStrictEqual(Names.encodePath("/etc/passwd"), ["%_", "etc", "passwd"])
    assert.deepStrictEqual(Names.encodePath("C:\\boot.ini"), ["C%3A%5Cboot.ini"])
    assert.deepStrictEqual(Names.encodePath("con/aux.txt/x."), ["%63on", "%61ux.txt", "x%2E"])
    assert.deepStrictEqual(Names.encodePath("a\nb"), ["a%0Ab"])
  })

  it.prop(
    "is safe, and can be read back unless it was cut",
    [hostile],
    ([parts]) => {
      const id = parts.join("")
      const path = Names.encodePath(id)
      for (const name of path) assert.isTrue(isSafe(name), JSON.stringify(name))
      assert.isTrue(bytes(path.join("/")) <= 1600)
      const decoded = path.map(decode)
      if (path[0] !== "%long" && !decoded.includes(undefined)) assert.strictEqual(decoded.join("/"), id)
      const flat = Names.encodeSegment(id)
      assert.isTrue(isSafe(flat), JSON.stringify(flat))
      assert.strictEqual(decode(flat) ?? id, id)
    },
    runs()
  )

  it.prop(
    "is different for different ids, also on a disk that ignores case",
    [Schema.Array(hostile)],
    ([lists]) => {
      const ids = [...new Set(lists.map((parts) => parts.join("")))].toSorted()
      assert.strictEqual(new Set(ids.map((id) => Names.encodePath(id).join("/"))).size, ids.length)
      const cases = new Names.Cases()
      const placed = ids.map((id) => cases.place(Names.encodePath(id)).join("/"))
      assert.strictEqual(new Set(placed.map((path) => path.normalize("NFC").toLowerCase())).size, ids.length)
      const again = new Names.Cases()
      assert.deepStrictEqual(
        placed,
        ids.map((id) => again.place(Names.encodePath(id)).join("/"))
      )
    },
    runs()
  )

  it("keeps what is too long apart by a digest", () => {
    const [one, two] = [`${"x".repeat(900)}1`, `${"x".repeat(900)}2`].map((id) => Names.encodeSegment(id))
    assert.notStrictEqual(one, two)
    assert.isTrue(bytes(one ?? "") <= 140)
    assert.deepStrictEqual(Names.encodePath("%/".repeat(500)).length, 2)
  })

  it("lets a file and a folder of one name stand beside each other", () => {
    const shadowed = (path: string) => path === "a" || path === "a/b"
    assert.deepStrictEqual(Names.encodePath("a", shadowed), ["a"])
    assert.deepStrictEqual(Names.encodePath("a/b/c", shadowed), ["a%d", "b%d", "c"])
    assert.deepStrictEqual(Names.foldersOf("a/b/c"), ["a", "a/b"])
  })
})
