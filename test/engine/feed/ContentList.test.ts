import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as ContentList from "../../../src/engine/feed/ContentList.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { item, running } from "../../stores/scenario.ts"

it.layer(Memory.layer)("a list of contents", (it) => {
  for (const [order, expected] of [
    ["id", ["a", "b", "c", "d", "e"]],
    ["newest", ["c", "b", "e", "d", "a"]]
  ] as const) {
    it.effect(`goes on by its cursors to its end, by ${order}`, () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        const other = yield* running()
        const at = (externalId: string, time: string | undefined) =>
          item(externalId, { occurredAt: time === undefined ? undefined : DateTime.makeUnsafe(time) })
        yield* commit({
          items: [
            at("a", undefined),
            at("b", "2026-01-02T00:00:00Z"),
            at("c", "2026-01-03T00:00:00Z"),
            at("d", undefined),
            at("e", undefined)
          ]
        })
        const found: Array<string> = []
        let after: string | undefined
        do {
          const page = yield* ContentList.list(id, { state: "stored", order, limit: 2, after })
          found.push(...page.contents.map((row) => row.externalId))
          after = page.next ?? undefined
          if (after !== undefined) {
            const error = yield* Effect.flip(ContentList.list(other.id, { state: "stored", order, limit: 2, after }))
            assert.strictEqual(error._tag === "CursorInvalid" ? error.reason : error, "foreign")
          }
        } while (after !== undefined)
        assert.deepStrictEqual(found, [...expected])
      })
    )
  }
})
