import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  type Content,
  withLateFields,
  ExternalId,
  externalIdProblem,
  maxExternalIdBytes
} from "../../src/contract/Content.ts"

describe("an external id", () => {
  it("is a text, is not empty, has no NUL and no lone surrogate", () => {
    assert.match(externalIdProblem(1 as never) ?? "", /text/)
    assert.match(externalIdProblem("") ?? "", /empty/)
    assert.match(externalIdProblem("a\0b") ?? "", /NUL/)
    assert.match(externalIdProblem("a\ud800") ?? "", /well-formed/)
    for (const id of ["a", " ", "🦀", "a/b%\n"]) assert.isUndefined(externalIdProblem(id), JSON.stringify(id))
    assert.isFalse(Schema.is(ExternalId)(""))
    assert.isTrue(Schema.is(ExternalId)("a"))
  })

  it("has at most 1,024 bytes of UTF-8, whatever its characters are", () => {
    for (const character of ["a", "é", "€", "🦀"]) {
      const longest = character.repeat(maxExternalIdBytes / Buffer.byteLength(character))
      const fits = longest.padEnd(longest.length + maxExternalIdBytes - Buffer.byteLength(longest), "a")
      assert.strictEqual(Buffer.byteLength(fits), 1024)
      assert.isUndefined(externalIdProblem(fits), character)
      assert.match(externalIdProblem(`${fits}a`) ?? "", /at most 1024 bytes/, character)
    }
  })
})

describe("a content", () => {
  it.effect("takes the fields that are known only after its body, and keeps the others", () =>
    Effect.gen(function* () {
      const plain: Content = { kind: "message", title: "early", metadata: { a: 1 }, body: new Uint8Array() }
      assert.strictEqual(yield* withLateFields(plain), plain)
      const late = { title: "late", metadata: { a: 2 } }
      const whole = yield* withLateFields({ ...plain, afterBody: Effect.succeed(late) })
      assert.deepStrictEqual(whole, { ...plain, ...late, afterBody: undefined })
    })
  )
})
