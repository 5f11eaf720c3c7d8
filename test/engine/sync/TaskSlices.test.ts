/** The row of a task after each of its slices: ended, or due again at a time. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TaskId, type TaskRequest } from "../../../src/engine/model/Task.ts"
import type { Next, SliceResult } from "../../../src/engine/sync/SliceResult.ts"
import { nothing } from "../../../src/engine/sync/SliceResult.ts"
import * as TaskQueue from "../../../src/engine/sync/TaskQueue.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { begin, fenceOf, live, request, sync } from "../../stores/taskFixture.ts"
import { connect, ledgerUpdate, nextRun, running } from "../../stores/scenario.ts"

const wait: Next = { _tag: "Wait", delay: Duration.minutes(7), askedWait: undefined, isRefusal: false }
const error = (reason: string) => ({ reason, message: "why" })

/** Returns a task's state after a slice with this result: how it ended, or when it is due again. */
const after = Effect.fnUntraced(function* (
  result: Partial<SliceResult>,
  options: { readonly failures?: number; readonly lastRow?: string; readonly requested?: boolean } = {}
) {
  const store = yield* WholeStore
  const { id } = yield* connect()
  const fence = yield* fenceOf(id)
  const { failures = 0, lastRow, requested = true } = options
  const row = requested
    ? yield* request(id, sync())
    : yield* store.openTask(id, { task: sync().task, spec: "--force", resumeWithin: Duration.days(1) })
  yield* store.requeueTask(fence, row.id, { dueIn: Duration.hours(9), failures })
  const next = { row: { ...row, failures }, purpose: { _tag: "Task", row }, lastRow } as const
  yield* TaskQueue.afterSlice(fence, next, { ...nothing, ...result })
  const left = Option.getOrThrow(yield* store.task(row.id))
  if (left.finishedAt !== null) return { ended: left.error?.reason ?? "well" }
  const dueIn = Duration.toSeconds(DateTime.distance(yield* DateTime.now, left.dueAt))
  return { dueIn, failures: left.failures, checkpoint: Option.getOrUndefined(left.checkpoint) }
})

const untouched = { dueIn: 9 * 3600, failures: 1, checkpoint: undefined }

it.layer(Memory.layer)("after a slice", (it) => {
  describe("a requested task", () => {
    it.effect("ends once nothing is left, and is due again where something is", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* after({ next: { _tag: "Done" } }), { ended: "well" })
        const more = { dueIn: 0, failures: 0, checkpoint: undefined }
        assert.deepStrictEqual(yield* after({ next: { _tag: "More" } }, { failures: 1 }), more)
        assert.deepStrictEqual(yield* after({ next: { _tag: "More" } }, { failures: 1, lastRow: "z" }), more)
        assert.deepStrictEqual(yield* after({ next: wait }, { failures: 1 }), { ...more, dueIn: 420 })
        assert.deepStrictEqual(yield* after({ next: { _tag: "Done" } }, { lastRow: "z" }), { ...more, checkpoint: "z" })
      })
    )

    it.effect(
      "is tried again after what may pass, five times with doubled waits, and ends with any other failure",
      () =>
        Effect.gen(function* () {
          for (const reason of [
            "Transient",
            "TooManyFailures",
            "StoreError",
            "ContentExistenceCheckerError",
            "Stalled"
          ]) {
            const again = { dueIn: 40, failures: 3, checkpoint: undefined }
            assert.deepStrictEqual(yield* after({ error: error(reason) }, { failures: 2 }), again)
          }
          assert.deepInclude(yield* after({ error: error("Transient") }), { dueIn: 10, failures: 1 })
          assert.deepStrictEqual(yield* after({ error: error("Transient") }, { failures: 4 }), { ended: "Transient" })
          assert.deepStrictEqual(yield* after({ error: error("Forbidden") }), { ended: "Forbidden" })
        })
    )

    it.effect("stays as it is where the run was superseded", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* after({ error: error("Superseded") }, { failures: 1 }), untouched)
      })
    )
  })

  it.effect("a command's task ends once nothing is left, and not before", () =>
    Effect.gen(function* () {
      const left = { requested: false, failures: 1 }
      assert.deepStrictEqual(yield* after({ next: { _tag: "Done" } }, left), { ended: "well" })
      for (const result of [{ error: error("Forbidden") }, { next: { _tag: "More" } }, { next: wait }] as const) {
        assert.deepStrictEqual(yield* after(result, left), untouched)
      }
    })
  )
})

it.layer(Memory.layer)("the next slice", (it) => {
  const next = Effect.fnUntraced(function* (given: TaskRequest, begins: boolean) {
    const { id } = yield* connect()
    const fence = yield* fenceOf(id)
    const task = yield* request(id, given)
    if (begins) yield* begin(fence, task)
    return yield* TaskQueue.nextSlice(fence, task.id)
  })

  it.effect("of a sync is recorded, and tries failed items again the first time only", () =>
    Effect.gen(function* () {
      const first = { _tag: "Live", recorded: true, retryFailed: true } as const
      assert.deepStrictEqual((yield* next(live, false))?.purpose, first)
      assert.deepStrictEqual((yield* next(live, true))?.purpose, { ...first, retryFailed: false })
    })
  )

  it.effect("of a task whose row is gone fails, and says so", () =>
    Effect.gen(function* () {
      const { id } = yield* connect()
      const failed = yield* Effect.flip(TaskQueue.nextSlice(yield* fenceOf(id), TaskId.make("gone")))
      assert.strictEqual(failed._tag, "TaskRemoved")
    })
  )

  it.effect("of a retry takes 500 rows at most, and names the last of them where more follow", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const run = yield* running()
      const ids = Array.from({ length: 1000 }, (_, index) => `m${String(index).padStart(4, "0")}`)
      yield* run.commit({ ledgerUpdates: ids.map((id) => ledgerUpdate(id)) })
      const later = yield* nextRun(run)
      const { fence } = later
      const task = yield* request(run.id, sync({ kind: "retry", spec: "retry" }))
      const first = yield* TaskQueue.nextSlice(fence, task.id)
      assert.deepStrictEqual(first?.purpose, { _tag: "Ledger", externalIds: ids.slice(0, 500) })
      assert.strictEqual(first?.lastRow, "m0499")
      // One item has failed again since the task began.
      yield* later.commit({ ledgerUpdates: [ledgerUpdate("m0700")] })
      yield* store.requeueTask(fence, task.id, { dueIn: Duration.zero, failures: 0, checkpoint: "m0499" })
      const second = yield* TaskQueue.nextSlice(fence, task.id)
      const rest = ids.slice(500).filter((id) => id !== "m0700")
      assert.deepStrictEqual(second?.purpose, { _tag: "Ledger", externalIds: rest })
      assert.isUndefined(second?.lastRow)
    })
  )
})
