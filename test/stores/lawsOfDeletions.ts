/** The laws of deletions: what absence proves, and when it is acted upon. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { PageEnd } from "../../src/engine/model/Batch.ts"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Readiness } from "../../src/engine/model/Content.ts"
import { Limits } from "../../src/engine/Limits.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import {
  allRead,
  aMomentLater,
  approve,
  deleteStaged,
  item,
  listed,
  miss,
  nextRun,
  page,
  row,
  running,
  type Running,
  settle,
  staged,
  stored,
  Time
} from "./scenario.ts"

/** A pass over the source that saw these ids and covers this. */
const pass = (
  { commit }: Running,
  seen: ReadonlyArray<string>,
  options: Partial<Pick<PageEnd, "complete" | "covers" | "forgetsParts" | "listing">> = {}
) => commit({ page: page({ listing: "a listing", complete: true, covers: [{ prefix: "" }], ...options, seen }) })

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

    it.effect("a listing that begins from the start drops what an unfinished one found absent", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["a/1", "a/2", "a/3", "b/1"])
        yield* pass(run, ["a/2", "a/3", "b/1"], { listing: "finished", complete: true })
        yield* run.commit({ page: page({ listing: "given up", seen: ["a/3", "b/1"], covers: [{ prefix: "a/" }] }) })
        yield* run.commit({ page: page({ deleted: ["b/1"] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a/1 absence", "a/2 absence", "b/1 event"])
        // A task of its own that begins from the start says nothing of the connection's listing.
        const task = yield* store.openTask(run.id, {
          task: { force: true, forceIds: [], dryRun: false },
          spec: "--force",
          resumeWithin: Duration.days(1)
        })
        yield* run.commit({ taskId: task.id, page: page({ forgetsParts: true }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a/1 absence", "a/2 absence", "b/1 event"])
        // This pass shows nothing of a/, and does not cover it.
        yield* pass(run, [], { listing: "in full", forgetsParts: true, covers: [{ prefix: "b/" }], complete: true })
        assert.deepStrictEqual(yield* staged(run.id), ["a/1 absence", "b/1 event"])
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

    it.effect("after a change of scope nothing that was stored before is absent until it was seen again", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["in", "out"])
        yield* run.commit({ page: page({ listing: "before", seen: ["in", "out"] }) })
        yield* store.changeScope(run.fence, "another")
        const changed = Option.getOrThrow(yield* store.connection(run.id))
        assert.deepStrictEqual([changed.checkpoint, changed.scope], [Option.none(), "another"])
        // Whatever comes between: a listing that began before, a crash, another run, another name of the listing.
        yield* pass(run, [], { listing: "before" })
        const next = yield* nextRun(run)
        yield* next.commit({ page: page({ listing: "after", seen: ["in"] }) })
        const last = yield* nextRun(next)
        yield* pass(last, ["in"], { listing: "again" })
        yield* pass(last, ["in"], { listing: "and again" })
        assert.deepStrictEqual(yield* staged(run.id), [])
        assert.deepStrictEqual(yield* stored(run.id), ["in", "out"])
        yield* pass(last, ["in", "out"], { listing: "third" })
        yield* pass(last, ["in"], { listing: "fourth" })
        assert.deepStrictEqual(yield* staged(run.id), ["out absence"])
      })
    )

    it.effect("a change of scope drops what was found absent under the old one, unless it is held", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["a", "b", "c", "d"])
        yield* pass(run, ["b", "c", "d"])
        yield* store.holdDeletions(run.fence, allRead)
        yield* pass(run, ["c", "d"], { listing: "next" })
        yield* run.commit({ page: page({ deleted: ["c"] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a absence", "b absence", "c event"])
        yield* store.changeScope(run.fence, "another")
        assert.deepStrictEqual(yield* staged(run.id), ["a absence", "c event"])
      })
    )

    it.effect("what a listing saw before a change of scope can be absent from it after the change", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["a", "b"])
        yield* run.commit({ page: page({ listing: "a listing", seen: ["a", "b"] }) })
        yield* store.changeScope(run.fence, "another")
        yield* run.commit({ page: page({ seen: ["a", "b"] }) })
        yield* pass(run, ["a"])
        assert.deepStrictEqual(yield* staged(run.id), ["b absence"])
      })
    )

    it.effect("what is stored after a change of scope can be absent in the next run", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["old"])
        yield* store.changeScope(run.fence, "another")
        yield* run.commit({ items: [item("new")] })
        yield* aMomentLater
        yield* pass(yield* nextRun(run), [])
        assert.deepStrictEqual(yield* staged(run.id), ["new absence"])
      })
    )

    it.effect("content that no page in scope listed is never absent, until one lists it", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["old", "deleted"])
        yield* pass(run, ["old"])
        yield* deleteStaged(run.fence)
        const misses = ["retried", "listed", "seen"].map((id) => miss(id))
        yield* run.commit({ misses, listed: ["listed"], page: page({ seen: ["seen"] }) })
        // Downloaded by id: a row that is new, was deleted, or is from the ledger.
        const items = ["forced", "deleted", "retried", "listed", "seen"].map((id) => item(id))
        yield* run.commit({ items, listed: [] })
        // A task with its own checkpoint lists another scope.
        const seen = ["of a task"]
        yield* run.commit({ items: seen.map((id) => item(id)), inScope: false, page: page({ seen }) })
        yield* aMomentLater
        const next = yield* nextRun(run)
        yield* pass(next, ["old"], { listing: "next" })
        assert.deepStrictEqual(yield* staged(run.id), ["listed absence", "seen absence"])
        const all = ["deleted", "forced", "of a task", "old", "retried"]
        yield* pass(next, all, { listing: "third" })
        yield* pass(next, ["old"], { listing: "fourth" })
        const absent = ["deleted", "forced", "listed", "of a task", "retried", "seen"]
        assert.deepStrictEqual(
          yield* staged(run.id),
          absent.map((id) => `${id} absence`)
        )
      })
    )

    it.effect("a deleted id that fails when it is back begins outside the scope again", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b"])
        yield* pass(run, ["a"])
        yield* deleteStaged(run.fence)
        yield* run.commit({ misses: [miss("b")], listed: [] })
        yield* run.commit({ items: [item("b")], listed: [] })
        yield* aMomentLater
        yield* pass(yield* nextRun(run), ["a"], { listing: "next" })
        assert.deepStrictEqual(yield* staged(run.id), [])
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
        yield* run.commit({ misses: [miss("e", { outcome: "gone" })] })
        assert.deepStrictEqual(yield* waiting(), [0, 2, 2])
        yield* pass(run, [], { covers: [{ prefix: "a/" }], complete: false })
        yield* run.commit({ page: page({ listing: "a listing", deleted: ["d"] }) })
        assert.deepStrictEqual(yield* waiting(), [0, 2, 3])
        // A pass that another takes the place of is not complete: what it found waits for that one.
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
        // Its pass is given up, and the deletion is told only once.
        yield* store.changeScope(run.fence, "another")
        assert.strictEqual(yield* deleteStaged(run.fence, { changes: true, listing: false }), 1)
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
          // Contents that were deleted since then count as stored, but not those that were deleted after a complete
          // reading.
          yield* deleteStaged(second.fence)
          yield* aMomentLater
          const third = yield* nextRun(second)
          yield* third.commit({ page: page({ deleted: ["old 2", "old 3"] }) })
          assert.strictEqual(yield* before(first.id), 14)
          yield* deleteStaged(third.fence, { changes: false, listing: true })
          yield* third.commit({ page: page({ deleted: ["old 4"] }) })
          assert.strictEqual(yield* before(first.id), 14)
          yield* deleteStaged(third.fence)
          // A reading that told no deletion ends with its run.
          yield* third.commit({ items: [item("last")], page: page({ seen: ["last"] }) })
          yield* aMomentLater
          yield* store.release(third.fence, { changesRead: true })
          const fourth = yield* nextRun(third)
          yield* fourth.commit({ page: page({ deleted: ["old 5"] }) })
          assert.strictEqual(yield* before(first.id), 12)
          yield* deleteStaged(fourth.fence)
          yield* aMomentLater
          // A pass began with its first run, whatever was stored and deleted until its last.
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
        const store = yield* WholeStore
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
        const store = yield* WholeStore
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ misses: [miss("b")] })
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

    it.effect("what is held counts with what comes later, and only a person ends that, or the id seen again", () =>
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

    it.effect("what is held is listed with titles and dates, and approved just as it was listed", () =>
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

    it.effect("what is staged and not held is not approved", () =>
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

    it.effect("what a run that died has staged, the next one finds, holds or applies", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        const next = yield* nextRun(run)
        assert.deepStrictEqual(yield* staged(run.id), ["a event", "b event"])
        assert.deepStrictEqual(yield* settle(next.fence, { atMost: 2, share: 0 }), { deleted: 2, held: 0 })
        assert.deepStrictEqual(yield* stored(run.id), ["c"])
      })
    )

    it.effect("totals count what is stored, in the ledger and deleted, and the bytes that are stored", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* withStored(["a"])
        yield* run.commit({
          items: [item("b", { text: "12345" }), item("c", { text: "123" })],
          misses: [miss("d"), miss("e", { outcome: "deferred" }), miss("f", { retryIn: undefined })],
          page: page({ deleted: ["c"] })
        })
        yield* run.commit({ misses: [miss("b")] })
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
  })
}
