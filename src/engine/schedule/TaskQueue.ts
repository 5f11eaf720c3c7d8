/**
 * The queue of a connection's requested tasks: the next slice of a task, and the task's state after the slice. The
 * task's row is the only state, so another process continues the task if this one dies.
 *
 * A task fails at the first error that a retry would not mend (a refused grant, a config that no longer fits, a
 * forbidden listing). Errors that may pass by themselves (the source or the database is away, no progress) are retried
 * with exponential back-off, at most `tries` times in a row. Waiting for quota is not a failure. What was committed
 * stays, and the same request continues from there.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isLive } from "../../contract/SyncTask.ts"
import type { SliceResult } from "../sync/Slice.ts"
import type { TaskRow } from "../model/Task.ts"
import { type Fence, Store } from "../Store.ts"

/** Slices of a task that fail in a row before it ends as failed. */
const tries = 5

/** The delay after the first of them. It doubles from 10 to 80 seconds: two and a half minutes in all. */
const firstWait = Duration.seconds(10)

/** Failures that may pass by themselves. */
const passing: ReadonlySet<string> = new Set([
  "Transient",
  "TooManyFailures",
  "StoreError",
  "ContentExistenceCheckerError",
  "Stalled"
])

/** Rows that one slice of a `retry` takes. */
const chunk = 500

/** A slice that retries these ids of the ledger, and lists nothing. */
export interface Rows {
  readonly _tag: "Ledger"
  readonly externalIds: ReadonlyArray<string>
  /** How many rows of the task are done after this slice; undefined if these are the last ones. */
  readonly done?: number | undefined
}

type Slice =
  | { readonly _tag: "Live"; readonly recorded: true; readonly retryFailed: boolean }
  | { readonly _tag: "Task"; readonly row: TaskRow }
  | Rows

const decodeDone = Schema.decodeUnknownOption(Schema.Int)

/** The next slice of a task, under the lease; undefined if the task has ended meanwhile. */
export const next = Effect.fnUntraced(function* (fence: Fence, given: TaskRow) {
  const store = yield* Store
  const row = Option.getOrUndefined(yield* store.task(given.id))
  if (row === undefined || row.finishedAt !== null) return undefined
  if (row.kind === "sync") {
    return (
      isLive(row.task) ? { _tag: "Live", recorded: true, retryFailed: !row.begun } : { _tag: "Task", row }
    ) satisfies Slice
  }
  const before = Option.flatMap(row.checkpoint, decodeDone)
  let ids = row.externalIds ?? []
  if (Option.isNone(before)) {
    // Which rows they are is settled once: what fails later is not part of this task.
    ids = yield* store.redrive(fence.connectionId, row.externalIds ?? undefined)
    yield* store.requeueTask(fence, row.id, { dueIn: Duration.zero, failures: 0, checkpoint: 0, externalIds: ids })
  }
  const from = Option.getOrElse(before, () => 0)
  const done = from + chunk
  return {
    _tag: "Ledger",
    externalIds: ids.slice(from, done),
    done: done < ids.length ? done : undefined
  } satisfies Slice
})

/**
 * Ends the task, or says when it goes on: `done` is how many rows of a retry are done, where some are left. A run that
 * was superseded says nothing: the task is due as it was.
 */
export const settle = Effect.fnUntraced(function* (
  fence: Fence,
  row: TaskRow,
  { error, more, waitFor }: Pick<SliceResult, "error" | "more" | "waitFor">,
  done: number | undefined
) {
  const store = yield* Store
  if (error?.reason === "Superseded") return
  if (error !== null) {
    const failures = row.failures + 1
    if (!passing.has(error.reason) || failures >= tries) return yield* store.finishTask(fence, row.id, error)
    const dueIn = Duration.times(firstWait, 2 ** row.failures)
    return yield* store.requeueTask(fence, row.id, { dueIn, failures })
  }
  if (waitFor !== undefined) return yield* store.requeueTask(fence, row.id, { dueIn: waitFor, failures: 0 })
  if (more || done !== undefined) {
    const checkpoint = more ? undefined : done
    return yield* store.requeueTask(fence, row.id, { dueIn: Duration.zero, failures: 0, checkpoint })
  }
  return yield* store.finishTask(fence, row.id)
})
