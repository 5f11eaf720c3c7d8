/** Names as external ids: reversible, unambiguous, and always below the root. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Names from "../../../src/integrations/ftp/Names.ts"
import { runs } from "../../support/Property.ts"

const Byte = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 255 })))
/** Bytes that make escapes likely: `%`, hexadecimal digits, parts of UTF-8 sequences. */
const Tricky = Schema.Literals([0x25, 0x32, 0x35, 0x38, 0x41, 0x45, 0x46, 0x66, 0xc3, 0xa9, 0xe9, 0xff, 0xf0, 0x9f])
const Bytes = Schema.Array(Schema.Union([Tricky, Byte]))

describe("Names", () => {
  it.prop(
    "a name's id is its bytes again",
    [Bytes],
    ([bytes]) => {
      assert.deepStrictEqual([...Names.decode(Names.encode(Uint8Array.from(bytes)))], [...bytes])
    },
    runs(2_000)
  )

  it.prop(
    "no two names share an id",
    [Bytes, Bytes],
    ([a, b]) => {
      const same = Names.encode(Uint8Array.from(a)) === Names.encode(Uint8Array.from(b))
      assert.strictEqual(same, Buffer.compare(Uint8Array.from(a), Uint8Array.from(b)) === 0)
    },
    runs(2_000)
  )

  it.prop(
    "an id is a path only as its own bytes are written",
    [Schema.String],
    ([text]) => {
      if (Names.pathProblem(text) === undefined) assert.strictEqual(Names.encode(Names.decode(text)), text)
    },
    runs(2_000)
  )

  it.prop(
    "a path never has a name that climbs",
    [Schema.Array(Schema.Literals(["..", ".", "", "a", "%2E%2E"]))],
    ([names]) => {
      const path = names.join("/")
      const climbs = path === "" || path.split("/").some((name) => name === "" || name === "." || name === "..")
      assert.strictEqual(Names.pathProblem(path) !== undefined, climbs)
    },
    runs()
  )

  it("says what a name looks like as an id", () => {
    for (const [bytes, id] of [
      ["100%.txt", "100%.txt"],
      ["a%20b", "a%20b"],
      ["caf%E9", "caf%25E9"],
      ["%25", "%2525"],
      ["%%25", "%%2525"],
      ["%e9", "%e9"]
    ] as const) {
      assert.strictEqual(Names.encode(Buffer.from(bytes)), id)
    }
    assert.strictEqual(Names.encode(Buffer.from([0x63, 0xe9])), "c%E9")
    assert.strictEqual(Names.encode(Buffer.from([0x25, 0xe9])), "%%E9")
    assert.strictEqual(Names.encode(Buffer.from([0xed, 0xa0, 0x80])), "%ED%A0%80")
    assert.strictEqual(Names.encode(Buffer.from("\u{FEFF}bom")), "\u{FEFF}bom")
  })

  it("refuses what is no path below the root", () => {
    for (const id of [
      "",
      "/a",
      "a/",
      "a//b",
      "..",
      "a/../b",
      "a/.",
      "a\0b",
      "\uD800",
      "caf%C3%A9",
      "a".repeat(1_025)
    ]) {
      assert.isDefined(Names.pathProblem(id), JSON.stringify(id))
    }
    for (const id of ["a", "a/b", "...", "a\nb", "%", "c%E9", "..a/b.."]) assert.isUndefined(Names.pathProblem(id))
  })
})
