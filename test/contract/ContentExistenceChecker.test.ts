import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Ref } from "../../src/contract/Content.ts"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import { poll } from "../../src/contract/SyncTask.ts"
import { runs } from "../support/Property.ts"

const Id = Schema.Literals(["a", "b", "c", "d", "e", "f"])
const Revision = Schema.Literals(["1", "2"])
const Listed = Schema.Array(Schema.Struct({ externalId: Id, revision: Schema.optionalKey(Revision) }))
const Known = Schema.Array(Schema.Tuple([Id, Schema.UndefinedOr(Revision)]))

const ids = (refs: ReadonlyArray<Ref>) => refs.map((ref) => ref.externalId)

/** A checker that records its queries. */
const counting = (known: ReadonlyMap<string, string | undefined>) => {
  const asked: Array<ReadonlyArray<string>> = []
  const service = ContentExistenceChecker.of({
    existing: (list) => Effect.sync(() => (asked.push(list), new Set(list.filter((id) => known.has(id))))),
    revisions: (list) =>
      Effect.sync(() => {
        asked.push(list)
        return new Map(
          list.filter((id) => known.has(id)).map((id) => [id, Option.fromUndefinedOr(known.get(id))] as const)
        )
      })
  })
  return { asked, service }
}

describe("selectNew", () => {
  it.effect.prop(
    "by id gives each unknown id once, in the page's order, for one query",
    [Listed, Known],
    ([refs, pairs]) => {
      const known = new Map(pairs)
      const { asked, service } = counting(known)
      return Effect.gen(function* () {
        const chosen = ids(yield* ContentExistenceChecker.selectNew(poll, refs))
        const expected = [...new Set(ids(refs))].filter((id) => !known.has(id as never))
        assert.deepStrictEqual(chosen, expected)
        assert.strictEqual(asked.length, refs.length === 0 ? 0 : 1)
      }).pipe(Effect.provideService(ContentExistenceChecker, service))
    },
    runs()
  )

  it.effect("by revision gives what is new and what has another revision, and nothing else", () => {
    const known = new Map<string, string | undefined>([
      ["same", "1"],
      ["edited", "1"],
      ["without", undefined],
      ["lost its revision", "1"]
    ])
    const revisions = { same: "1", edited: "2", without: undefined, "lost its revision": undefined, fresh: "1" }
    const refs = Object.entries(revisions).map(([externalId, revision]) => ({ externalId, revision }))
    return Effect.gen(function* () {
      const chosen = yield* ContentExistenceChecker.selectNew(poll, refs, { by: "revision" })
      assert.deepStrictEqual(ids(chosen), ["edited", "lost its revision", "fresh"])
    }).pipe(Effect.provideService(ContentExistenceChecker, counting(known).service))
  })

  it.effect.prop(
    "by revision also gives what is known under another revision; an absent one equals only an absent one",
    [Listed, Known],
    ([refs, pairs]) => {
      const known = new Map<string, string | undefined>(pairs)
      const { asked, service } = counting(known)
      return Effect.gen(function* () {
        const chosen = yield* ContentExistenceChecker.selectNew(poll, refs, { by: "revision" })
        for (const ref of chosen) {
          assert.isTrue(!known.has(ref.externalId) || known.get(ref.externalId) !== ref.revision)
        }
        const left = refs.filter((ref) => !ids(chosen).includes(ref.externalId))
        for (const id of new Set(ids(left))) assert.isTrue(known.has(id))
        assert.isAtMost(asked.length, 1)
      }).pipe(Effect.provideService(ContentExistenceChecker, service))
    },
    runs()
  )

  it.effect.prop(
    "with force gives everything once and asks nothing",
    [Listed, Known],
    ([refs, pairs]) => {
      const { asked, service } = counting(new Map(pairs))
      return Effect.gen(function* () {
        const chosen = yield* ContentExistenceChecker.selectNew({ ...poll, force: true }, refs)
        assert.deepStrictEqual(ids(chosen), [...new Set(ids(refs))])
        assert.strictEqual(asked.length, 0)
      }).pipe(Effect.provideService(ContentExistenceChecker, service))
    },
    runs()
  )

  it.effect("takes forceIds out of the existing set", () =>
    Effect.gen(function* () {
      const refs = [{ externalId: "a" }, { externalId: "b" }, { externalId: "c" }]
      const chosen = yield* ContentExistenceChecker.selectNew({ ...poll, forceIds: ["b"] }, refs)
      assert.deepStrictEqual(ids(chosen), ["b", "c"])
    }).pipe(Effect.provide(ContentExistenceChecker.layerTest(["a", "b"])))
  )
})

describe("layerTest", () => {
  it.effect("knows just those ids, with their revisions where a map is given", () =>
    Effect.gen(function* () {
      const checker = yield* ContentExistenceChecker
      assert.deepStrictEqual([...(yield* checker.existing(["a", "z"]))], ["a"])
      const revisions = yield* checker.revisions(["a", "b", "z"])
      assert.deepStrictEqual(revisions.get("a"), Option.some("1"))
      assert.deepStrictEqual(revisions.get("b"), Option.none())
      assert.isFalse(revisions.has("z"))
    }).pipe(
      Effect.provide(
        ContentExistenceChecker.layerTest(
          new Map([
            ["a", "1"],
            ["b", undefined]
          ])
        )
      )
    )
  )
})
