/** The laws of deletions: what absence proves, and when it is acted upon. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Coverage } from "../../src/contract/Page.ts"
import { Limits } from "../../src/engine/Limits.ts"
import { Store } from "../../src/engine/Store.ts"
import {
  aMomentLater,
  item,
  listed,
  miss,
  nextRun,
  page,
  row,
  type Running,
  running,
  staged,
  stored,
  Time
} from "./scenario.ts"

/** A pass over the source that saw these ids and covers this. */
const pass = (
  { commit }: Running,
  seen: ReadonlyArray<string>,
  options: { readonly deletes?: boolean; readonly covers?: ReadonlyArray<Coverage>; readonly listing?: string } = {}
) => commit({ page: page({ listing: "a listing", deletes: true, covers: [{ prefix: "" }], ...options, seen }) })

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: deletions`, (it) => {
    /** A run of a connection in which an earlier run has stored these ids. */
    const withStored = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
      const run = yield* running()
      yield* run.commit({ items: ids.map((one) => item(one)) })
      yield* aMomentLater
      return yield* nextRun(run)
    })

    it.effect("a listing that covers all stages what it did not see, and nothing else", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ misses: [miss("failed")] })
        yield* pass(run, ["a", "c"])
        assert.deepStrictEqual(yield* staged(run.id), ["b absence"])
      })
    )

    it.effect("what is stored while the listing goes on is not absent from it", () =>
      Effect.gen(function* () {
        const before = yield* withStored(["a"])
        yield* before.commit({ misses: [miss("retried")] })
        const run = yield* nextRun(before)
        yield* run.commit({ page: page({ listing: "l", seen: ["a"] }) })
        yield* aMomentLater
        yield* run.commit({ items: [item("new"), item("retried")] })
        const next = yield* nextRun(run)
        yield* next.commit({ items: [item("newer")] })
        yield* next.commit({ page: page({ listing: "l", covers: [{ prefix: "" }] }) })
        assert.deepStrictEqual(yield* staged(run.id), [])
      })
    )

    it.effect("what the same run stored before it opened the listing is not absent from it, but from the next", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b"])
        // The listing was asked for before the changes told of this one.
        yield* run.commit({ items: [item("new")], page: page({ seen: ["new"] }) })
        yield* aMomentLater
        yield* pass(run, ["a"])
        assert.deepStrictEqual(yield* staged(run.id), ["b absence"])
        yield* pass(yield* nextRun(run), ["a"], { listing: "next" })
        assert.deepStrictEqual(yield* staged(run.id), ["b absence", "new absence"])
      })
    )

    it.effect("several listings in one run each prove what they cover, in the order of their commits", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a/1", "a/2", "b/1", "c/1"])
        yield* pass(run, ["a/2"], { listing: "of a", covers: [{ prefix: "a/" }] })
        yield* pass(run, [], { listing: "of b", covers: [{ prefix: "b/" }] })
        yield* pass(run, [], { listing: "of c", covers: [{ prefix: "c/" }] })
        assert.deepStrictEqual(yield* staged(run.id), ["a/1 absence", "b/1 absence", "c/1 absence"])
      })
    )

    it.effect("marks last from page to page and from run to run", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ page: page({ listing: "l", seen: ["a"] }) })
        const next = yield* nextRun(run)
        yield* next.commit({ page: page({ listing: "l", seen: ["b"], covers: [{ prefix: "" }] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["c absence"])
      })
    )

    it.effect("a listing that another takes the place of leaves it no marks", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b"])
        yield* run.commit({ page: page({ listing: "first", seen: ["a"] }) })
        yield* pass(run, ["b"], { listing: "second" })
        assert.deepStrictEqual(yield* staged(run.id), ["a absence"])
      })
    )

    it.effect("a part covers the ids with its prefix and none of its exceptions, taken literally", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a/1", "a/2", "a/x/1", "a%", "b/1", "A/1", "a_", "a"])
        yield* pass(run, ["a/1"], { covers: [{ prefix: "a/", except: ["a/x/"] }] })
        assert.deepStrictEqual(yield* staged(run.id), ["a/2 absence"])
        yield* run.commit({ page: page({ listing: "a listing", covers: [{ prefix: "a%" }, { prefix: "a_" }] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a% absence", "a/2 absence", "a_ absence"])
      })
    )

    it.effect(
      "after a change of scope nothing is staged: what was not seen leaves the scope until it is seen again",
      () =>
        Effect.gen(function* () {
          const run = yield* withStored(["in", "out"])
          yield* pass(run, ["in"], { deletes: false })
          assert.deepStrictEqual(yield* staged(run.id), [])
          assert.deepStrictEqual(yield* stored(run.id), ["in", "out"])
          yield* pass(run, ["in"], { listing: "next" })
          assert.deepStrictEqual(yield* staged(run.id), [])
          yield* pass(run, ["in", "out"], { listing: "third" })
          yield* pass(run, ["in"], { listing: "fourth" })
          assert.deepStrictEqual(yield* staged(run.id), ["out absence"])
        })
    )

    it.effect("an id that is listed or stored again leaves the stage", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ page: page({ deleted: ["a", "b", "c", "no\0id", "nobody"] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a event", "b event", "c event"])
        yield* run.commit({ items: [item("a")], page: page({ seen: ["b"] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["c event"])
      })
    )

    it.effect("a deleted id that is only in the ledger becomes gone", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored([])
        yield* run.commit({ misses: [miss("a"), miss("b", { outcome: "deferred" })] })
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        assert.deepStrictEqual(yield* listed(run.id, "gone"), ["a", "b"])
        assert.deepStrictEqual(yield* store.existing(run.id, ["a", "b"]), new Set())
        assert.deepStrictEqual(yield* staged(run.id), [])
      })
    )

    it.effect("deletions under the threshold are applied: the content is deleted softly, and not known", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ misses: [miss("b")] })
        yield* run.commit({ page: page({ deleted: ["b"] }) })
        const settled = yield* store.settleDeletions(run.fence, { runId: run.runId, atMost: 1, share: 0 })
        assert.deepStrictEqual(settled, { deleted: 1, held: 0 })
        assert.deepStrictEqual(yield* listed(run.id, "deleted"), ["b"])
        assert.deepStrictEqual(yield* stored(run.id), ["a", "c"])
        assert.deepStrictEqual(yield* store.existing(run.id, ["b"]), new Set())
        assert.deepStrictEqual(yield* store.ledger(run.id, { limit: 10 }), [])
        assert.isNotNull((yield* row(run.id, "b")).hash)
        assert.strictEqual(Option.getOrThrow(yield* store.run(run.runId)).counts.deleted, 1)
        assert.deepStrictEqual(yield* store.settleDeletions(run.fence, { runId: undefined, atMost: 0, share: 0 }), {
          deleted: 0,
          held: 0
        })
      })
    )

    it.effect("deletions above the threshold are held until a person approves them", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b", "c", "d"])
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 0)
        const held = yield* store.settleDeletions(run.fence, { runId: run.runId, atMost: 1, share: 0.4 })
        assert.deepStrictEqual(held, { deleted: 0, held: 2 })
        assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 2)
        assert.deepStrictEqual(yield* stored(run.id), ["a", "b", "c", "d"])
        assert.strictEqual(yield* store.approveDeletions(run.id), 2)
        assert.deepStrictEqual(yield* stored(run.id), ["c", "d"])
        assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 0)
        assert.strictEqual(yield* store.approveDeletions(run.id), 0)
      })
    )

    it.effect("a share of what is stored is a threshold too, and it is inclusive", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b", "c", "d"])
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        const settled = yield* store.settleDeletions(run.fence, { runId: run.runId, atMost: 0, share: 0.5 })
        assert.deepStrictEqual(settled, { deleted: 2, held: 0 })
      })
    )

    it.effect("the guard as it is by default: more than 100 and more than a fifth of what is stored", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const settled = Effect.fnUntraced(function* (there: number, gone: number) {
          const { deletionShare: share, deletions: atMost } = yield* Limits
          const ids = Array.from({ length: there }, (_, n) => `${n}`)
          const run = yield* withStored(ids)
          yield* run.commit({ page: page({ deleted: ids.slice(0, gone) }) })
          return yield* store.settleDeletions(run.fence, { runId: undefined, atMost, share })
        })
        assert.deepStrictEqual(yield* settled(100, 100), { deleted: 100, held: 0 })
        assert.deepStrictEqual(yield* settled(505, 101), { deleted: 101, held: 0 })
        assert.deepStrictEqual(yield* settled(504, 101), { deleted: 0, held: 101 })
      })
    )

    it.effect("what a run that died has staged, the next one finds, holds or applies", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        const next = Option.getOrThrow(
          yield* store.acquire(run.id, { holder: "next", ttl: Duration.seconds(30), deadHolder: "a holder" })
        )
        assert.deepStrictEqual(yield* staged(run.id), ["a event", "b event"])
        const fence = { connectionId: run.id, fence: next.fence }
        const settle = (atMost: number) => store.settleDeletions(fence, { runId: undefined, atMost, share: 0 })
        assert.deepStrictEqual(yield* settle(1), { deleted: 0, held: 2 })
        assert.deepStrictEqual(yield* settle(2), { deleted: 2, held: 0 })
        assert.deepStrictEqual(yield* stored(run.id), ["c"])
      })
    )

    it.effect("totals count what is stored, in the ledger and deleted, and the bytes that are stored", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a"])
        yield* run.commit({
          items: [item("b", { text: "12345" }), item("c", { text: "123" })],
          misses: [miss("d"), miss("e", { outcome: "deferred" }), miss("f", { retryIn: undefined })],
          page: page({ deleted: ["c"] })
        })
        yield* run.commit({ misses: [miss("b")] })
        yield* store.settleDeletions(run.fence, { runId: undefined, atMost: 9, share: 1 })
        assert.deepStrictEqual(yield* store.totals(run.id), {
          stored: 2,
          failed: 2,
          dead: 1,
          deferred: 1,
          deleted: 1,
          bytes: 5 + "body of a".length,
          deletionsHeld: 0
        })
      })
    )
  })
}
