import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Storable from "../../src/stores/Storable.ts"
import { runs } from "../support/Property.ts"

const bytes = (text: string) => Buffer.from(text)
const wellFormed = Schema.String.check(Schema.makeFilter((text) => text.isWellFormed()))

describe("the text after a prefix", () => {
  it.prop(
    "comes after all texts that begin with the prefix, and before the others that follow",
    [wellFormed, wellFormed, wellFormed],
    ([prefix, suffix, other]) => {
      const end = Storable.afterPrefix(prefix)
      if (end === undefined) {
        assert.match(prefix, /^\u{10FFFF}*$/u)
        return
      }
      assert.isBelow(Buffer.compare(bytes(prefix + suffix), bytes(end)), 0)
      const isInRange = Buffer.compare(bytes(other), bytes(prefix)) >= 0 && Buffer.compare(bytes(other), bytes(end)) < 0
      assert.strictEqual(isInRange, other.startsWith(prefix))
    },
    runs()
  )

  it("goes around the surrogates, and over the last code point", () => {
    assert.strictEqual(Storable.afterPrefix("a\uD7FF"), "a\uE000")
    assert.strictEqual(Storable.afterPrefix("a\u{10FFFF}"), "b")
    assert.isUndefined(Storable.afterPrefix("\u{10FFFF}"))
    assert.isUndefined(Storable.afterPrefix(""))
  })
})
