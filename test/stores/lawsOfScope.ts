/**
 * The laws of absence: what a listing would find absent, and that after a change of scope content outside the new scope
 * is not absent until it was listed.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Coverage } from "../../src/contract/Page.ts"
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
  staged,
  stored,
  type Laws
} from "./scenario.ts"

export const lawsOfScope = (it: Laws): void => {
  it.effect("tells what a listing would find absent: of an open one, what is older and was not seen", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const before = yield* withStored(["a", "b", "c/1", "c/2"])
      const unseen = (listing: string, coverage: Coverage = { prefix: "" }, after = "", limit = 10) =>
        store.unseen(before.id, listing, { coverage, after, limit })
      assert.deepStrictEqual(yield* unseen("l"), ["a", "b", "c/1", "c/2"])
      assert.deepStrictEqual(yield* unseen("l", { prefix: "c/" }), ["c/1", "c/2"])
      assert.deepStrictEqual(yield* unseen("l", { prefix: "", except: ["a", "c/1"] }), ["b", "c/2"])
      assert.deepStrictEqual(yield* unseen("l", { prefix: "" }, "a", 2), ["b", "c/1"])
      const run = yield* nextRun(before)
      yield* run.commit({ page: page({ listing: "l", seen: ["a"] }) })
      yield* aMomentLater
      yield* run.commit({ items: [item("new")] })
      assert.deepStrictEqual(yield* unseen("l"), ["b", "c/1", "c/2"])
      assert.deepStrictEqual(yield* unseen("another"), ["a", "b", "c/1", "c/2", "new"])
      yield* run.commit({ page: page({ listing: "l", covers: [{ prefix: "b" }] }) })
      assert.deepStrictEqual(yield* unseen("l"), ["c/1", "c/2"])
      yield* run.commit({ ledgerUpdates: [ledgerUpdate("failed")] })
      assert.deepStrictEqual(yield* unseen("another", { prefix: "f" }), [])
    })
  )

  it.effect("after a change of scope, content from before it is not absent until a listing has shown it again", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* withStored(["in", "out"])
      yield* run.commit({ page: page({ listing: "before", seen: ["in", "out"] }) })
      yield* store.changeScope(run.fence, "another")
      const changed = Option.getOrThrow(yield* store.connection(run.id))
      assert.deepStrictEqual([changed.checkpoint, changed.scope], [Option.none(), "another"])
      // Runs, crashes and listings may come between: a listing that began before, or has another name, deletes nothing.
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

  it.effect("content that a listing showed before a change of scope can be absent after the change", () =>
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

  it.effect("content that is stored after a change of scope can be absent in the next run", () =>
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
      const ledgerUpdates = ["retried", "listed", "seen"].map((id) => ledgerUpdate(id))
      yield* run.commit({ ledgerUpdates, listed: ["listed"], page: page({ seen: ["seen"] }) })
      // Items that are downloaded by id: new, deleted before, or from the ledger.
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
      yield* run.commit({ ledgerUpdates: [ledgerUpdate("b")], listed: [] })
      yield* run.commit({ items: [item("b")], listed: [] })
      yield* aMomentLater
      yield* pass(yield* nextRun(run), ["a"], { listing: "next" })
      assert.deepStrictEqual(yield* staged(run.id), [])
    })
  )
}
