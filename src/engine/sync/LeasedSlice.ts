/**
 * Runs one slice under the lease of its connection: acquires the lease, runs `Slice.ts`, updates the task and the
 * connection, and releases the lease.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { randomUUID } from "node:crypto"
import type { Progress } from "../Engine.ts"
import { Limits } from "../Limits.ts"
import type { LeasedConnection } from "../model/Connection.ts"
import { RunId, type RunStatus, statusOf } from "../model/Run.ts"
import type { Failure, TaskId } from "../model/Task.ts"
import * as Lease from "../locks/Lease.ts"
import * as TaskQueue from "./TaskQueue.ts"
import type { Vault } from "../secrets/Vault.ts"
import type { Integrations } from "../source/Integrations.ts"
import * as Members from "../source/Members.ts"
import * as OpenSource from "../source/OpenSource.ts"
import type { Quotas } from "../source/Quotas.ts"
import type { Store } from "../Store.ts"
import { fenceOf } from "../store/Fence.ts"
import { LeaseStore } from "../store/LeaseStore.ts"
import { RunStore } from "../store/RunStore.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Spans from "../telemetry/Spans.ts"
import * as ConnectionUpdate from "./ConnectionUpdate.ts"
import * as Repetition from "./Repetition.ts"
import * as RunFailure from "./RunFailure.ts"
import * as Slice from "./Slice.ts"
import * as SliceResult from "./SliceResult.ts"
import * as SyncPlan from "./SyncPlan.ts"

/** The slice that a caller asks for. The task of a `TaskSlice` is read under the lease. */
export type SliceRequest =
  | Exclude<SyncPlan.SlicePurpose, { readonly _tag: "Task" }>
  /** The next slice of this task, whatever the task is. */
  | { readonly _tag: "TaskSlice"; readonly taskId: TaskId }

/** A slice of the connection's own sync, as the scheduler requests it. A quiet slice leaves no row. */
export const poll = { _tag: "Live", recorded: false, retryFailed: false } as const satisfies SliceRequest

/** The result of a run. */
export type RunResult = SliceResult.SliceResult & {
  readonly runId: RunId
  /** True if the task had already ended, so that nothing was run. */
  readonly isTaskOver: boolean
}

interface Options {
  readonly connection: LeasedConnection
  readonly runId: RunId
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
}

/**
 * Records a run that failed before its slice could record it: the connection can't be opened, or there was a defect.
 * Without the database, or after another run took the connection over, nothing can be recorded.
 */
const recordFailure = Effect.fnUntraced(function* (
  error: Failure,
  { connection, runId }: Options,
  purpose: SyncPlan.SlicePurpose,
  taskId: TaskId | undefined
) {
  if (error.reason !== "StoreError" && error.reason !== "Superseded") {
    const runs = yield* RunStore
    const fence = fenceOf(connection)
    const begin = runs.beginRun(fence, { runId, taskId, kind: SyncPlan.kindOf(purpose) })
    const finish = runs.finishRun(fence, { runId, status: "failed", counts: {}, notes: [], error })
    yield* RunFailure.capture(Effect.andThen(begin, finish))
  }
  return SliceResult.failed(error)
})

/** Plans and runs a slice. Never fails: a defect becomes a failed run, so that the connection backs off. */
const runSlice = Effect.fnUntraced(
  function* ({ connection, onProgress, runId }: Options, purpose: SyncPlan.SlicePurpose, taskId: TaskId | undefined) {
    const source = yield* OpenSource.decode(connection)
    const { notes, plan } = yield* SyncPlan.forPurpose(connection, purpose, source)
    for (const note of notes) yield* Effect.logWarning(`${connection.name}: ${note}`)
    const limits = yield* Limits
    const result = yield* Slice.run({
      connection,
      source,
      run: { runId, taskId, kind: SyncPlan.kindOf(purpose) },
      checkpointTask: purpose._tag === "Task" ? purpose.row.id : undefined,
      plan,
      notes,
      recorded: purpose._tag !== "Live" || purpose.recorded,
      onProgress
    }).pipe(Effect.provideService(Limits, { ...limits, ...source.integration.deletionLimits }))
    if (purpose._tag === "Live" && result.error === null) yield* Members.reconcile(connection, source)
    return yield* Repetition.delayIfRepeated(taskId ?? connection.id, result)
  },
  RunFailure.capture,
  (captured, options, purpose, taskId) =>
    Effect.flatMap(captured, (result) =>
      Result.isSuccess(result)
        ? Effect.succeed(result.success)
        : recordFailure(result.failure, options, purpose, taskId)
    )
)

/** Runs the next slice of a task, and updates the task. Returns undefined if the task has ended meanwhile. */
const runTask = Effect.fnUntraced(function* (options: Options, taskId: TaskId) {
  const fence = fenceOf(options.connection)
  const slice = yield* TaskQueue.nextSlice(fence, taskId)
  if (slice === undefined) return undefined
  const { purpose, row } = slice
  const worked = yield* runSlice(options, purpose, row.id)
  // If the task's row can't be written, it stays as it was. A requested task is then still due, and continues. A
  // command's task is not done, and the same command continues it.
  const result = yield* TaskQueue.afterSlice(fence, slice, worked).pipe(
    Effect.as(worked),
    Effect.catch((error) => {
      const isLeft = row.requested || worked.error !== null
      return Effect.as(Effect.logWarning(error.message), isLeft ? worked : { ...worked, error: RunFailure.of(error) })
    })
  )
  return { result, isLive: purpose._tag === "Live" }
})

/** Runs the requested slice. `isLive`: it was the connection's own sync. */
const runRequest = Effect.fnUntraced(
  function* (options: Options, request: SliceRequest) {
    if (request._tag !== "TaskSlice") {
      return {
        result: yield* runSlice(options, request, undefined),
        isLive: request._tag === "Live",
        isTaskOver: false
      }
    }
    const done = yield* runTask(options, request.taskId)
    return done === undefined
      ? { result: SliceResult.nothing, isLive: false, isTaskOver: true }
      : { ...done, isTaskOver: false }
  },
  RunFailure.capture,
  Effect.map(Result.getOrElse((error) => ({ result: SliceResult.failed(error), isLive: false, isTaskOver: false })))
)

const runAndRelease = Effect.fnUntraced(function* (
  connection: LeasedConnection,
  request: SliceRequest,
  runId: RunId,
  onProgress: (progress: Progress) => Effect.Effect<void>
) {
  const leases = yield* LeaseStore
  const fence = fenceOf(connection)
  const startedAt = yield* Clock.currentTimeMillis
  const count = (status: RunStatus, result: SliceResult.SliceResult) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Metrics.ended(connection.domain, {
        status,
        seconds: (now - startedAt) / 1000,
        isLeaseLost: result.error?.reason === "Superseded",
        problems: result.problems.length
      })
    )

  // `turn` acquires the lease uninterruptibly. Only the work is interruptible, so the lease is always released. If the
  // database can't be reached, the release fails, and the lease expires by itself.
  const { isTaskOver, result } = yield* Effect.interruptible(
    runRequest({ connection, runId, onProgress }, request)
  ).pipe(
    Effect.annotateLogs({ connection: connection.name, domain: connection.domain, run: runId }),
    Effect.onInterrupt(() =>
      Effect.andThen(
        count("interrupted", SliceResult.nothing),
        Effect.ignore(leases.release(fence, { interrupted: true }))
      )
    ),
    Effect.tap(({ isLive, result: done }) =>
      ConnectionUpdate.make(connection, done, isLive).pipe(
        Effect.flatMap((changes) => leases.release(fence, changes)),
        Effect.catch((error) => Effect.logWarning(error.message)),
        Effect.uninterruptible
      )
    )
  )
  yield* count(statusOf(result), result)
  return { ...result, runId, isTaskOver } satisfies RunResult
})

/**
 * Runs one slice of a connection whose lease was just acquired, then releases the lease, also after an interruption.
 * Refused credentials pause the connection; a live slice that succeeds ends such a pause.
 */
export const run = Effect.fnUntraced(function* (
  connection: LeasedConnection,
  request: SliceRequest,
  onProgress: (progress: Progress) => Effect.Effect<void>
) {
  const runId = RunId.make(randomUUID())
  const span = yield* Spans.make
  const attributes = {
    "idem.connection": connection.name,
    "idem.domain": connection.domain,
    "idem.run": runId,
    "idem.kind": request._tag
  }
  return yield* span("run", attributes, runAndRelease(connection, request, runId, onProgress))
})

/**
 * Acquires the lease of a connection, runs the slice that `choose` returns, and releases the lease. This is one
 * uninterruptible region, because an interruption in between would leave the lease held. All slices, of commands and of
 * the scheduler, run through this function. Returns `Taken` if another process has the lease, and `Skipped` if `choose`
 * returned undefined.
 */
export const turn = Effect.fnUntraced(function* <E, R, R2>(
  acquire: Effect.Effect<Lease.Acquired | Lease.Taken, E, R>,
  choose: (connection: LeasedConnection) => Effect.Effect<SliceRequest | undefined, never, R2>,
  onProgress: (progress: Progress) => Effect.Effect<void> = () => Effect.void
) {
  const acquired = yield* acquire
  if (acquired._tag === "Taken") return acquired
  const { connection } = acquired
  const request = yield* choose(connection)
  if (request === undefined) {
    const leases = yield* LeaseStore
    yield* leases.release(fenceOf(connection), { interrupted: false })
    return { _tag: "Skipped" } as const
  }
  return { _tag: "Ran", connection, result: yield* run(connection, request, onProgress) } as const
}, Effect.uninterruptible)

/** The services that running a connection needs. */
export type Services = Store | Integrations | Vault | Quotas
