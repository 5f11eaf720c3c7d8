/** The laws of deletions: what absence proves, and when deletions are applied. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Readiness } from "../../src/engine/model/Content.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import {
  allRead,
  pass,
  withStored,
  aMomentLater,
  deleteStaged,
  item,
  ledgerUpdate,
  nextRun,
  page,
  running,
  staged,
  stored,
  Time
} from "./scenario.ts"
import { lawsOfHeldDeletions } from "./lawsOfHeldDeletions.ts"
import { lawsOfScope } from "./lawsOfScope.ts"

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: deletions`, (it) => {
    it.effect("a listing that covers all stages what it did not see, and nothing else", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ ledgerUpdates: [ledgerUpdate("failed")] })
        yield* pass(run, ["a", "c"])
        assert.deepStrictEqual(yield* staged(run.id), ["b absence"])
      })
    )

    it.effect("what is stored while the listing goes on is not absent from it", () =>
      Effect.gen(function* () {
        const before = yield* withStored(["a"])
        yield* before.commit({ ledgerUpdates: [ledgerUpdate("retried")] })
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

    it.effect("what is stored while the listing goes on is not absent from it, although the clock was put back", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b"])
        yield* run.commit({ page: page({ listing: "l", seen: ["a"] }) })
        yield* Time.use((time) => time.pass(Duration.hours(-1)))
        yield* run.commit({ items: [item("new")] })
        const next = yield* nextRun(run)
        yield* next.commit({ items: [item("newer")] })
        yield* next.commit({ page: page({ listing: "l", covers: [{ prefix: "" }] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["b absence"])
      })
    )

    it.effect("what the same run stored before it opened the listing is not absent from it, but from the next", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b"])
        // The listing was requested before the changes reported this item.
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

    it.effect("a pass that is complete leaves no marks to the next, though it has the same name", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b"])
        yield* pass(run, ["a", "b"])
        yield* pass(yield* nextRun(run), ["a"])
        assert.deepStrictEqual(yield* staged(run.id), ["b absence"])
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

    it.effect("a listing that begins from the start drops what an unfinished one found absent", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["a/1", "a/2", "a/3", "b/1"])
        yield* pass(run, ["a/2", "a/3", "b/1"], { listing: "finished", complete: true })
        yield* run.commit({ page: page({ listing: "given up", seen: ["a/3", "b/1"], covers: [{ prefix: "a/" }] }) })
        yield* run.commit({ page: page({ deleted: ["b/1"] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a/1 absence", "a/2 absence", "b/1 event"])
        // A task with its own checkpoint that begins from the start proves nothing about the connection's listing.
        const task = yield* store.openTask(run.id, {
          task: { force: true, forceIds: [], dryRun: false },
          spec: "--force",
          resumeWithin: Duration.days(1)
        })
        yield* run.commit({ taskId: task.id, page: page({ forgetsParts: true }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a/1 absence", "a/2 absence", "b/1 event"])
        // This pass lists nothing of a/, and does not cover it.
        yield* pass(run, [], { listing: "in full", forgetsParts: true, covers: [{ prefix: "b/" }], complete: true })
        assert.deepStrictEqual(yield* staged(run.id), ["a/1 absence", "b/1 event"])
      })
    )

    it.effect("a listing from the start keeps the deletions that an unfinished reading of the changes reported", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b", "c", "d"])
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        yield* pass(run, ["b", "c"], { listing: "in full", forgetsParts: true, covers: [], complete: false })
        yield* run.commit({ page: page({ deleted: ["d"] }) })
        // The changes since then are read, and the pass continues.
        assert.strictEqual(yield* deleteStaged(run.fence, { changes: true, listing: false }), 1)
        assert.deepStrictEqual(yield* staged(run.id), ["a event"])
        yield* pass(run, [], { listing: "in full" })
        assert.strictEqual(yield* deleteStaged(run.fence, { changes: false, listing: false }), 1)
        assert.deepStrictEqual(yield* stored(run.id), ["b", "c"])
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

    it.effect("an absence is complete with its pass, an event of the changes once they are read", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["a/1", "b/1", "c", "d", "e"])
        const waiting = Effect.fnUntraced(function* () {
          const of = Effect.fnUntraced(function* (readiness: Readiness) {
            return (yield* store.readyDeletions(run.id, readiness)).waiting
          })
          return [
            yield* of({ changes: false, listing: false }),
            yield* of({ changes: true, listing: false }),
            yield* of(allRead)
          ]
        })
        yield* run.commit({ page: page({ deleted: ["c"] }) })
        assert.deepStrictEqual(yield* waiting(), [0, 1, 1])
        yield* run.commit({ ledgerUpdates: [ledgerUpdate("e", { outcome: "gone" })] })
        assert.deepStrictEqual(yield* waiting(), [0, 2, 2])
        yield* pass(run, [], { covers: [{ prefix: "a/" }], complete: false })
        yield* run.commit({ page: page({ listing: "a listing", deleted: ["d"] }) })
        assert.deepStrictEqual(yield* waiting(), [0, 2, 3])
        // A pass that is replaced by another is not complete: its deletions wait for the other pass.
        yield* pass(run, [], { listing: "next", covers: [{ prefix: "b/" }], complete: false })
        assert.deepStrictEqual(yield* waiting(), [0, 2, 3])
        yield* run.commit({ page: page({ listing: "next", complete: true }) })
        assert.deepStrictEqual(yield* waiting(), [3, 5, 5])
        assert.strictEqual(yield* deleteStaged(run.fence, { changes: false, listing: false }), 3)
        assert.deepStrictEqual(yield* stored(run.id), ["c", "e"])
      })
    )

    it.effect(
      "a deleted content whose body key another stored one has moved, unless that one is to be deleted too",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const run = yield* running()
          const keyed = (id: string, bodyKey: string) => item(id, { bodyKey })
          yield* run.commit({
            items: [keyed("a", "1"), keyed("b", "2"), keyed("new b", "2"), keyed("c", "3"), item("d")]
          })
          yield* run.commit({ items: [keyed("other c", "3")] })
          yield* run.commit({ page: page({ deleted: ["a", "b", "c", "other c", "d"] }) })
          assert.deepStrictEqual(yield* store.readyDeletions(run.id, allRead), { waiting: 5, moved: 1, held: 0 })
        })
    )

    it.effect("what a pass found absent and the source then tells as deleted is an event", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["a", "b"])
        yield* pass(run, ["b"], { complete: false })
        yield* run.commit({ page: page({ deleted: ["a"] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a event"])
        // The pass is abandoned, and the source reports the deletion only once.
        yield* store.changeScope(run.fence, "another")
        assert.strictEqual(yield* deleteStaged(run.fence, { changes: true, listing: false }), 1)
      })
    )

    it.effect("a deletion that is held stays held where the source tells it again", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ page: page({ deleted: ["a"] }) })
        yield* pass(run, ["a", "c"])
        yield* run.commit({ page: page({ deleted: ["a"] }) })
        yield* store.holdDeletions(run.fence, allRead)
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        assert.strictEqual((yield* store.deletions(run.id, { which: "held", limit: 9 })).total, 2)
        assert.strictEqual(yield* deleteStaged(run.fence), 0)
      })
    )

    it.effect(
      "deletions are measured against what was stored when the first pass or reading that found one began",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const before = Effect.fnUntraced(function* (id: ConnectionId) {
            return yield* store.storedBeforeDeletions(id, allRead, 1000)
          })
          const of = (word: string, count: number) => Array.from({ length: count }, (_, n) => `${word} ${n}`)
          const first = yield* withStored(of("old", 10))
          yield* first.commit({ items: [item("new")], page: page({ seen: ["new"] }) })
          const second = yield* nextRun(first)
          yield* second.commit({ page: page({ seen: ["new"] }) })
          yield* second.commit({
            items: of("newer", 5).map((id) => item(id)),
            page: page({ deleted: ["old 0", "old 1"] })
          })
          assert.strictEqual(yield* before(first.id), 10)
          assert.strictEqual(yield* store.storedBeforeDeletions(first.id, allRead, 7), 7)
          // Contents that were deleted since then count as stored, unless they were deleted after a complete reading.
          yield* deleteStaged(second.fence)
          yield* aMomentLater
          const third = yield* nextRun(second)
          yield* third.commit({ page: page({ deleted: ["old 2", "old 3"] }) })
          assert.strictEqual(yield* before(first.id), 14)
          yield* deleteStaged(third.fence, { changes: false, listing: true })
          yield* third.commit({ page: page({ deleted: ["old 4"] }) })
          assert.strictEqual(yield* before(first.id), 14)
          yield* deleteStaged(third.fence)
          // A reading that reported no deletion ends with its run.
          yield* third.commit({ items: [item("last")], page: page({ seen: ["last"] }) })
          yield* aMomentLater
          yield* store.release(third.fence, { changesRead: true })
          const fourth = yield* nextRun(third)
          yield* fourth.commit({ page: page({ deleted: ["old 5"] }) })
          assert.strictEqual(yield* before(first.id), 12)
          yield* deleteStaged(fourth.fence)
          yield* aMomentLater
          // A pass begins with its first run, whatever is stored and deleted until its last run.
          const fifth = yield* nextRun(fourth)
          yield* fifth.commit({ page: page({ listing: "l", seen: ["new", "last"] }) })
          yield* fifth.commit({ items: of("newest", 7).map((id) => item(id)), page: page({ deleted: ["old 6"] }) })
          yield* deleteStaged(fifth.fence)
          const sixth = yield* nextRun(fifth)
          yield* pass(sixth, ["old 7"], { listing: "l" })
          assert.strictEqual(yield* before(first.id), 11)
          assert.strictEqual((yield* staged(first.id)).length, 7)
        })
    )

    lawsOfScope(it)
    lawsOfHeldDeletions(it)
  })
}
