/** The laws of staged deletions: up to the threshold they are applied; above it they wait for a person. */
import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Limits } from "../../src/engine/Limits.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import {
  withStored,
  allRead,
  aMomentLater,
  approve,
  deleteStaged,
  item,
  listed,
  ledgerUpdate,
  nextRun,
  page,
  pass,
  row,
  settle,
  staged,
  stored,
  type Laws
} from "./scenario.ts"

export const lawsOfHeldDeletions = (it: Laws): void => {
  it.effect("an id that is listed or stored again leaves the stage", () =>
    Effect.gen(function* () {
      const run = yield* withStored(["a", "b", "c"])
      yield* run.commit({ page: page({ deleted: ["a", "b", "c", "no\0id", "nobody"] }) })
      assert.deepStrictEqual(yield* staged(run.id), ["a event", "b event", "c event"])
      const { reportedDeleted } = yield* WholeStore
      assert.deepStrictEqual(yield* reportedDeleted(run.id, ["a", "c", "no\0id", "nobody"]), new Set(["a", "c"]))
      yield* run.commit({ items: [item("a")], page: page({ seen: ["b"] }) })
      assert.deepStrictEqual(yield* staged(run.id), ["c event"])
      assert.deepStrictEqual(yield* reportedDeleted(run.id, ["a", "c"]), new Set(["c"]))
      assert.deepStrictEqual(yield* settle(run.fence, { atMost: 0, share: 0 }), { deleted: 0, held: 1 })
      assert.deepStrictEqual(yield* reportedDeleted(run.id, ["c"]), new Set())
    })
  )

  it.effect("a deleted id that is only in the ledger becomes gone", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* withStored([])
      yield* run.commit({ ledgerUpdates: [ledgerUpdate("a"), ledgerUpdate("b", { outcome: "deferred" })] })
      yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
      assert.deepStrictEqual(yield* listed(run.id, "gone"), ["a", "b"])
      assert.deepStrictEqual(yield* store.existing(run.id, ["a", "b"]), new Set())
      assert.deepStrictEqual(yield* staged(run.id), [])
    })
  )

  it.effect("deletions under the threshold are applied: the content is deleted softly, and not known", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* withStored(["a", "b", "c"])
      yield* run.commit({ ledgerUpdates: [ledgerUpdate("b")] })
      yield* run.commit({ page: page({ deleted: ["b"] }) })
      const settled = yield* settle(run.fence, { runId: run.runId, atMost: 1, share: 0 })
      assert.deepStrictEqual(settled, { deleted: 1, held: 0 })
      assert.deepStrictEqual(yield* listed(run.id, "deleted"), ["b"])
      assert.deepStrictEqual(yield* stored(run.id), ["a", "c"])
      assert.deepStrictEqual(yield* store.existing(run.id, ["b"]), new Set())
      assert.deepStrictEqual(yield* store.ledger(run.id, { limit: 10 }), [])
      assert.isNotNull((yield* row(run.id, "b")).hash)
      assert.strictEqual(Option.getOrThrow(yield* store.run(run.runId)).counts.deleted, 1)
      assert.deepStrictEqual(yield* settle(run.fence, { atMost: 0, share: 0 }), {
        deleted: 0,
        held: 0
      })
    })
  )

  it.effect("content whose update failed leaves the ledger with its deletion", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* withStored(["a", "b"])
      yield* run.commit({ ledgerUpdates: [ledgerUpdate("b")] })
      yield* pass(run, ["a"])
      assert.strictEqual((yield* store.totals(run.id)).failed, 1)
      assert.strictEqual(yield* deleteStaged(run.fence), 1)
      assert.deepStrictEqual(yield* store.ledger(run.id, { limit: 10 }), [])
      assert.strictEqual((yield* store.totals(run.id)).failed, 0)
    })
  )

  it.effect("deletions above the threshold are held until a person approves them", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* withStored(["a", "b", "c", "d"])
      yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
      assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 0)
      assert.strictEqual((yield* store.deletions(run.id, { which: "held", limit: 9 })).total, 0)
      const held = yield* settle(run.fence, { runId: run.runId, atMost: 1, share: 0.4 })
      assert.deepStrictEqual(held, { deleted: 0, held: 2 })
      assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 2)
      assert.deepStrictEqual(yield* stored(run.id), ["a", "b", "c", "d"])
      assert.strictEqual(yield* approve(run.id), 2)
      assert.deepStrictEqual(yield* stored(run.id), ["c", "d"])
      assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 0)
      assert.strictEqual(yield* approve(run.id), 0)
    })
  )

  it.effect("held deletions count with later ones, until a person approves them or a listing shows the id again", () =>
    Effect.gen(function* () {
      const run = yield* withStored(["a", "b", "c", "d"])
      const limits = { atMost: 1, share: 0.4 }
      yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
      assert.deepStrictEqual(yield* settle(run.fence, limits), { deleted: 0, held: 2 })
      yield* run.commit({ page: page({ deleted: ["c"] }) })
      assert.deepStrictEqual(yield* settle(run.fence, limits), { deleted: 0, held: 3 })
      // Few enough are left, and still held.
      yield* run.commit({ page: page({ seen: ["b", "c"] }) })
      assert.deepStrictEqual(yield* settle(run.fence, limits), { deleted: 0, held: 1 })
      assert.strictEqual(yield* deleteStaged(run.fence), 0)
      yield* run.commit({ page: page({ deleted: ["d"] }) })
      assert.deepStrictEqual(yield* settle(run.fence, { atMost: 2, share: 0 }), { deleted: 1, held: 1 })
      assert.deepStrictEqual(yield* stored(run.id), ["a", "b", "c"])
    })
  )

  it.effect("held deletions are listed with titles and dates, and only what was listed is approved", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const occurredAt = DateTime.makeUnsafe("2026-01-02T03:04:05.678Z")
      const run = yield* withStored([])
      yield* run.commit({ items: ["a", "b", "c"].map((id) => item(id, { title: `title of ${id}`, occurredAt })) })
      yield* run.commit({ page: page({ deleted: ["a", "b", "c"] }) })
      yield* settle(run.fence, { atMost: 1, share: 0 })
      const held = (limit: number) => store.deletions(run.id, { which: "held", limit })
      const seen = yield* held(2)
      assert.deepStrictEqual([seen.deletions.length, seen.total], [2, 3])
      const { stagedAt, ...first } = seen.deletions[0] ?? assert.fail("nothing is listed")
      assert.deepStrictEqual(first, {
        externalId: "a",
        kind: "message",
        title: "title of a",
        occurredAt,
        cause: "event"
      })
      assert.isTrue(DateTime.isDateTime(stagedAt))
      assert.strictEqual((yield* held(9)).token, seen.token)

      yield* run.commit({ items: [item("d")], page: page({ seen: ["c"], deleted: ["d"] }) })
      yield* settle(run.fence, { atMost: 1, share: 0 })
      const other = yield* held(9)
      assert.strictEqual(other.total, 3)
      const changed = yield* Effect.flip(store.approveDeletions(run.id, { token: seen.token }))
      assert.deepInclude(changed, { _tag: "DeletionsChanged", externalId: null })
      const absent = yield* Effect.flip(store.approveDeletions(run.id, { externalIds: ["a", "c"] }))
      assert.deepInclude(absent, { _tag: "DeletionsChanged", externalId: "c" })
      assert.deepStrictEqual(yield* stored(run.id), ["a", "b", "c", "d"])
      assert.strictEqual(yield* store.approveDeletions(run.id, { externalIds: ["a"] }), 1)
      assert.deepStrictEqual(yield* stored(run.id), ["b", "c", "d"])
      assert.strictEqual(yield* approve(run.id), 2)
      assert.deepStrictEqual(yield* stored(run.id), ["c"])
    })
  )

  it.effect("approving does not apply deletions that are staged and not held", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* withStored(["a", "b"])
      yield* run.commit({ page: page({ deleted: ["a"] }) })
      assert.strictEqual(yield* approve(run.id), 0)
      const error = yield* Effect.flip(store.approveDeletions(run.id, { externalIds: ["a"] }))
      assert.deepInclude(error, { _tag: "DeletionsChanged", externalId: "a" })
      assert.deepStrictEqual(yield* stored(run.id), ["a", "b"])
    })
  )

  it.effect("a share of what is stored is a threshold too, and it is inclusive", () =>
    Effect.gen(function* () {
      const run = yield* withStored(["a", "b", "c", "d"])
      yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
      const settled = yield* settle(run.fence, { runId: run.runId, atMost: 0, share: 0.5 })
      assert.deepStrictEqual(settled, { deleted: 2, held: 0 })
    })
  )

  it.effect("the guard as it is by default: more than 100 and more than a fifth of what is stored", () =>
    Effect.gen(function* () {
      const settled = Effect.fnUntraced(function* (there: number, gone: number) {
        const { deletionShare: share, deletions: atMost } = yield* Limits
        const ids = Array.from({ length: there }, (_, n) => `${n}`)
        const run = yield* withStored(ids)
        yield* run.commit({ page: page({ deleted: ids.slice(0, gone) }) })
        return yield* settle(run.fence, { atMost, share })
      })
      assert.deepStrictEqual(yield* settled(100, 100), { deleted: 100, held: 0 })
      assert.deepStrictEqual(yield* settled(505, 101), { deleted: 101, held: 0 })
      assert.deepStrictEqual(yield* settled(504, 101), { deleted: 0, held: 101 })
    })
  )

  it.effect("the next run finds the deletions that a dead run staged, and holds or applies them", () =>
    Effect.gen(function* () {
      const run = yield* withStored(["a", "b", "c"])
      yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
      const next = yield* nextRun(run)
      assert.deepStrictEqual(yield* staged(run.id), ["a event", "b event"])
      assert.deepStrictEqual(yield* settle(next.fence, { atMost: 2, share: 0 }), { deleted: 2, held: 0 })
      assert.deepStrictEqual(yield* stored(run.id), ["c"])
    })
  )

  it.effect("what is held is measured from when it was found, and what an unfinished pass found is not", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const read = { changes: true, listing: false }
      const first = yield* withStored(["a", "b", "c", "d"])
      const before = store.storedBeforeDeletions(first.id, read, 1000)
      yield* pass(first, ["b", "c", "d"], { complete: false })
      yield* first.commit({ items: [item("e"), item("f")] })
      yield* aMomentLater
      const second = yield* nextRun(first)
      yield* second.commit({ page: page({ deleted: ["b"] }) })
      assert.strictEqual(yield* before, 6)
      yield* store.holdDeletions(second.fence, read)
      yield* second.commit({ items: [item("g")] })
      yield* aMomentLater
      const third = yield* nextRun(second)
      yield* third.commit({ page: page({ deleted: ["c"] }) })
      assert.strictEqual(yield* before, 6)
    })
  )

  it.effect("a reading is measured from its beginning to its end, whatever is held or applied meanwhile", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const pass = { changes: false, listing: true }
      const reading = { changes: true, listing: false }
      const measured = Effect.fnUntraced(function* (isHeld: boolean) {
        const first = yield* withStored(["a", "b", "c"])
        const before = store.storedBeforeDeletions(first.id, allRead, 1000)
        const end = ({ fence }: typeof first, readiness: typeof pass) =>
          isHeld ? store.holdDeletions(fence, readiness) : store.applyDeletions(fence, readiness, undefined)
        yield* first.commit({ page: page({ deleted: ["a"] }) })
        yield* end(first, pass)
        yield* first.commit({ items: [item("d"), item("dd")] })
        yield* aMomentLater
        const second = yield* nextRun(first)
        yield* second.commit({ page: page({ deleted: ["b"], seen: isHeld ? ["a"] : [] }) })
        const during = yield* before
        yield* end(second, reading)
        yield* second.commit({ items: [item("e")] })
        yield* aMomentLater
        const third = yield* nextRun(second)
        yield* third.commit({ page: page({ deleted: ["c"], seen: isHeld ? ["b"] : [] }) })
        return [during, yield* before]
      })
      assert.deepStrictEqual(yield* measured(true), [3, 6])
      assert.deepStrictEqual(yield* measured(false), [3, 4])
    })
  )

  it.effect("content has not moved to a deleted one with its body key, nor to another without one", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* withStored(["b", "c"])
      yield* run.commit({ items: [item("a", { bodyKey: "1" }), item("old a", { bodyKey: "1" })] })
      yield* run.commit({ page: page({ deleted: ["old a"] }) })
      yield* deleteStaged(run.fence)
      yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
      assert.deepStrictEqual(yield* store.readyDeletions(run.id, allRead), { waiting: 2, moved: 0, held: 0 })
    })
  )

  it.effect("totals count what is stored, in the ledger and deleted, and the bytes that are stored", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* withStored(["a"])
      yield* run.commit({
        items: [item("b", { text: "12345" }), item("c", { text: "123" })],
        ledgerUpdates: [
          ledgerUpdate("d"),
          ledgerUpdate("e", { outcome: "deferred" }),
          ledgerUpdate("f", { retryIn: undefined })
        ],
        page: page({ deleted: ["c"] })
      })
      yield* run.commit({ ledgerUpdates: [ledgerUpdate("b")] })
      yield* settle(run.fence, { atMost: 9, share: 1 })
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
}
