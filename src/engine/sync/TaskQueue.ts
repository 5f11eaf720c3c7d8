/**
 * The queue of a connection's requested tasks: finds the next slice of a task, and updates the task after the slice.
 * The task's row is the only state, so another process continues the task if this one dies.
 *
 * A task fails at the first error that a retry would not fix (refused credentials, a config that no longer fits, a
 * forbidden listing). Errors that may pass by themselves (the source or the database can't be reached, no progress) are
 * retried with exponential back-off, at most `tries` times in a row. Waiting for quota is not a failure. Committed
 * content stays, and the same request continues from there.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isLive } from "../../contract/SyncTask.ts"
import { UsageError } from "../Engine.ts"
import * as MessageText from "../MessageText.ts"
import type { Connection, ConnectionId } from "../model/Connection.ts"
import type { TaskId, TaskRow } from "../model/Task.ts"
import type { SliceResult } from "./SliceResult.ts"
import type { SlicePurpose } from "./SyncPlan.ts"
import type { Fence, Superseded } from "../store/Fence.ts"
import { LedgerStore } from "../store/LedgerStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import { TaskStore } from "../store/TaskStore.ts"

/** The number of failed slices in a row after which a task ends as failed. */
const tries = 5

/** The delay after the first failure. It doubles from 10 to 80 seconds: two and a half minutes in all. */
const firstWait = Duration.seconds(10)

/** Failures that may pass by themselves. */
const passing: ReadonlySet<string> = new Set([
  "Transient",
  "TooManyFailures",
  "StoreError",
  "ContentExistenceCheckerError",
  "Stalled"
])

/** The most ledger rows that one slice of a retry takes. */
const rowsAtOnce = 500

/** The row of the task was removed. */
export class TaskRemoved extends Schema.TaggedError<TaskRemoved>()("TaskRemoved", { message: Schema.String }) {}

/** The next slice of a task. */
interface TaskSlice {
  /** The task, read once a slice, under the lease. */
  readonly row: TaskRow
  readonly purpose: SlicePurpose
  /** The last row of this slice of a retry, if more rows follow. */
  readonly lastRow: string | undefined
}

const decodeLastRow = Schema.decodeUnknownOption(Schema.String)

/** Returns the next slice of a task, under the lease; undefined if the task has ended meanwhile. */
export const nextSlice = Effect.fnUntraced(function* (
  fence: Fence,
  taskId: TaskId
): Effect.fn.Return<TaskSlice | undefined, StoreError | Superseded | TaskRemoved, LedgerStore | TaskStore> {
  const tasks = yield* TaskStore
  const ledger = yield* LedgerStore
  const row = Option.getOrUndefined(yield* tasks.task(taskId))
  // Without its row the task can't keep a checkpoint, so each slice would begin it again.
  if (row === undefined) {
    return yield* new TaskRemoved({
      message: "the task was removed while it ran, since IDEM_KEEP_RUNS is shorter than its pauses: run it again"
    })
  }
  if (row.finishedAt !== null) return undefined
  if (row.kind === "sync") {
    const purpose: SlicePurpose = isLive(row.task)
      ? { _tag: "Live", recorded: true, retryFailed: !row.begun }
      : { _tag: "Task", row }
    return { row, purpose, lastRow: undefined }
  }
  const externalIds = row.externalIds ?? undefined
  const before = Option.flatMap(row.checkpoint, decodeLastRow)
  if (Option.isNone(before)) {
    yield* ledger.redrive(fence.connectionId, externalIds)
    yield* tasks.requeueTask(fence, row.id, { dueIn: Duration.zero, failures: 0, checkpoint: "" })
  }
  const redrivenAfter = Option.getOrElse(before, () => "")
  const { ids, last } = yield* redriven(ledger, fence.connectionId, { externalIds, redrivenAfter })
  return { row, purpose: { _tag: "Ledger", externalIds: ids }, lastRow: last }
})

/** Rows of a retry, and the last of them if more follow. */
export interface Redriven {
  readonly ids: ReadonlyArray<string>
  readonly last: string | undefined
}

/** Returns the next rows of a retry. Items that failed after the retry began have an attempt, so they are left out. */
export const redriven = Effect.fnUntraced(function* (
  { ledger }: Pick<LedgerStore["Service"], "ledger">,
  connectionId: ConnectionId,
  options: { readonly externalIds: ReadonlyArray<string> | undefined; readonly redrivenAfter: string }
) {
  const rows = yield* ledger(connectionId, { ...options, limit: rowsAtOnce + 1 })
  const ids = rows.slice(0, rowsAtOnce).map(({ externalId }) => externalId)
  return { ids, last: rows.length > rowsAtOnce ? ids.at(-1) : undefined } satisfies Redriven
})

/**
 * Ends the task after a slice, or sets when it continues. A superseded run changes nothing: the task stays due. A task
 * that a command runs ends only when it is done, because the same command continues it.
 */
export const afterSlice = Effect.fnUntraced(function* (
  fence: Fence,
  { lastRow, row }: TaskSlice,
  { error, next }: SliceResult
) {
  const tasks = yield* TaskStore
  if (error?.reason === "Superseded") return
  if (!row.requested) {
    if (error === null && next._tag === "Done") yield* tasks.finishTask(fence, row.id)
    return
  }
  if (error !== null) {
    const failures = row.failures + 1
    if (!passing.has(error.reason) || failures >= tries) return yield* tasks.finishTask(fence, row.id, error)
    const dueIn = Duration.times(firstWait, 2 ** row.failures)
    return yield* tasks.requeueTask(fence, row.id, { dueIn, failures })
  }
  if (next._tag === "Wait") return yield* tasks.requeueTask(fence, row.id, { dueIn: next.delay, failures: 0 })
  if (next._tag === "More" || lastRow !== undefined) {
    const checkpoint = next._tag === "More" ? undefined : lastRow
    return yield* tasks.requeueTask(fence, row.id, { dueIn: Duration.zero, failures: 0, checkpoint })
  }
  return yield* tasks.finishTask(fence, row.id)
})

/** Fails if any of these ids is not in the connection's ledger, and names them. Makes one bulk query. */
export const requireInLedger = Effect.fnUntraced(function* (
  { ledger }: Pick<LedgerStore["Service"], "ledger">,
  connection: Connection,
  externalIds: ReadonlyArray<string>
) {
  const rows = yield* ledger(connection.id, { externalIds, limit: externalIds.length })
  const found = new Set(rows.map((row) => row.externalId))
  const notInLedger = externalIds.filter((id) => !found.has(id))
  if (notInLedger.length === 0) return
  const shown = notInLedger.slice(0, 3).map(MessageText.quoted).join(", ")
  const more = notInLedger.length > 3 ? ` and ${notInLedger.length - 3} more` : ""
  return yield* new UsageError({
    notInLedger,
    message: `${shown}${more}: not in the ledger of ${MessageText.quoted(connection.name)}`
  })
})
