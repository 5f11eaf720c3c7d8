/** The laws of patches: metadata that is merged into stored content. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { aMomentLater, item, metadataOf, ledgerUpdate, page, row, running, Time } from "./scenario.ts"

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: patches`, (it) => {
    it.effect("a patch merges by RFC 7396, and counts only what it changes", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        yield* commit({
          items: [item("a", { metadata: { labels: ["x"], at: { b: 1, c: 2 }, keep: 1, none: null } }), item("b")]
        })
        const patch = { labels: ["y"], at: { b: null, d: 3 }, gone: null, none: { a: 1 } }
        const patches = ["a", "nobody", "no\0id"].map((externalId) => ({ externalId, metadata: patch }))
        yield* aMomentLater
        assert.strictEqual((yield* commit({ page: page({ patches }) })).patched, 1)
        const patched = yield* row(id, "a")
        assert.deepStrictEqual(patched.metadata, { labels: ["y"], at: { c: 2, d: 3 }, keep: 1, none: { a: 1 } })
        assert.strictEqual((yield* commit({ page: page({ patches }) })).patched, 0)
        assert.deepStrictEqual(yield* row(id, "a"), patched)
      })
    )

    it.effect("patches of one id apply in their order, and to what the same batch stores", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        const { patched } = yield* commit({
          items: [item("a", { metadata: {} })],
          page: page({
            patches: [
              { externalId: "a", metadata: { n: 1, m: 1 } },
              { externalId: "a", metadata: { n: 2, m: null } }
            ]
          })
        })
        assert.strictEqual(patched, 1)
        assert.deepStrictEqual(yield* metadataOf(id, "a"), { n: 2 })
      })
    )

    it.effect("a patch may move the revision, which is no change to announce", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        const store = yield* WholeStore
        yield* commit({ items: [item("a", { metadata: { n: 1 }, revision: "1" }), item("b", { revision: "1" })] })
        const revisions = Effect.map(store.revisions(id, ["a", "b", "nobody"]), (found) => [...found].toSorted())
        const patches = ["a", "nobody", "no\0id"].map((externalId) => ({
          externalId,
          metadata: { n: 1 },
          revision: "2"
        }))
        const before = yield* row(id, "a")
        assert.strictEqual((yield* commit({ page: page({ patches }) })).patched, 0)
        assert.deepStrictEqual(yield* revisions, [
          ["a", Option.some("2")],
          ["b", Option.some("1")]
        ])
        assert.deepStrictEqual(yield* row(id, "a"), { ...before, revision: "2" })
        const both = [{ externalId: "a", metadata: { n: 2 }, revision: "3" }]
        assert.strictEqual((yield* commit({ page: page({ patches: both }) })).patched, 1)
        assert.strictEqual((yield* row(id, "a")).revision, "3")
      })
    )

    it.effect("an item that is not stored is not patched", () =>
      Effect.gen(function* () {
        const { commit } = yield* running()
        yield* commit({ ledgerUpdates: [ledgerUpdate("a")] })
        const patches = [{ externalId: "a", metadata: { n: 1 } }]
        assert.strictEqual((yield* commit({ page: page({ patches }) })).patched, 0)
      })
    )
  })
}
