/** The implementation of `Engine`: runs the slices of a sync until the task is done. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { isLive, type SyncTask } from "../../contract/SyncTask.ts"
import { connect } from "../source/Connect.ts"
import * as RunCounts from "../model/RunCounts.ts"
import * as DryRun from "./DryRun.ts"
import { Engine, type Progress, type SyncResult, type SyncStatus } from "../Engine.ts"
import * as RunFailure from "./RunFailure.ts"
import * as Lease from "../locks/Lease.ts"
import * as TaskQueue from "./TaskQueue.ts"
import { Limits } from "../Limits.ts"
import * as Listing from "./Listing.ts"
import * as LeasedSlice from "./LeasedSlice.ts"
import type { Connection } from "../model/Connection.ts"
import { statusOf } from "../model/Run.ts"
import type { Failure, TaskId } from "../model/Task.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import { LedgerStore } from "../store/LedgerStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import { TaskStore } from "../store/TaskStore.ts"
import { Vault } from "../secrets/Vault.ts"

/**
 * The longest wait for quota. A sync that would have to wait longer ends. Later, the scheduler continues the
 * connection's own sync, and the same command continues a task.
 */
const longestWait = Duration.minutes(15)

/** A sync ends after this many refusals for quota in a row without progress. */
const refusalsInARow = 10

/** A sync ends after this many slices in a row that listed only what earlier slices had listed. */
const repeatsInARow = 8

type SyncOptions = Parameters<Engine["Service"]["sync"]>[2]

/** The sums over the slices of one sync so far. */
interface Total extends Pick<SyncResult, "counts" | "run" | "notes" | "problems"> {
  /** The number of refusals for quota in a row without progress. */
  readonly refusals: number
}

const nothing: Total = { counts: RunCounts.zero, run: null, notes: [], problems: [], refusals: 0 }

const withSlice = (total: Total, slice: LeasedSlice.RunResult): Total => {
  const { next } = slice
  const { existing, stored, unchanged, updated } = slice.counts
  const hasMoved = stored + updated + unchanged + existing > 0
  return {
    counts: RunCounts.sum(total.counts, slice.counts),
    run: slice.runId,
    notes: [...total.notes, ...slice.notes],
    problems: [...total.problems, ...slice.problems],
    refusals: next._tag !== "Wait" ? total.refusals : next.isRefusal && !hasMoved ? total.refusals + 1 : 0
  }
}

/** The end of a sync, with the sums over its slices. */
interface Ended {
  readonly total: Total
  readonly status?: SyncStatus
  readonly error: Failure | null
}

export const make = Effect.gen(function* () {
  const context = yield* Effect.context<LeasedSlice.Services>()
  const connections = Context.get(context, ConnectionStore)
  const tasks = Context.get(context, TaskStore)
  const ledger = Context.get(context, LedgerStore)
  const vault = Context.get(context, Vault)
  const limits = yield* Limits

  const result = Effect.fnUntraced(function* (
    connection: Connection,
    startedAt: number,
    { error, status, total }: Ended,
    taskId: TaskId | null = null
  ) {
    const { counts, notes, problems, run } = total
    return {
      connection: connection.name,
      run,
      task: taskId,
      status: status ?? statusOf({ counts, problems, error }),
      counts,
      durationMs: (yield* Clock.currentTimeMillis) - startedAt,
      error,
      notes,
      problems,
      planned: null
    } satisfies SyncResult
  })

  /** The failure of a process without a key. The process begins no run, because another process may have the key. */
  const withoutKey = Effect.match(vault.keys, {
    onFailure: ({ message }): Failure => ({ reason: "VaultError", message }),
    onSuccess: () => undefined
  })

  /** The result of a task that another command or the scheduler completed, summed over its runs. */
  const endedTask = Effect.fnUntraced(function* (
    { id }: Connection,
    taskId: TaskId,
    before: Total
  ): Effect.fn.Return<Ended, StoreError> {
    const [summary] = yield* tasks.taskSummaries(id, { taskId, limit: 1 })
    if (summary === undefined) return { total: before, error: null }
    const { counts, lastRun, notes, problems, task } = summary
    return { total: { ...before, counts, run: lastRun, notes, problems }, error: task.error }
  })

  /** Runs slices until nothing is left to do, or the sync has to end. */
  const untilDone = Effect.fnUntraced(function* (
    connection: Connection,
    before: Total,
    firstRequest: LeasedSlice.SliceRequest,
    { onProgress, onWait, wait }: Pick<SyncOptions, "wait" | "onWait" | "onProgress">
  ): Effect.fn.Return<Ended, StoreError, LeasedSlice.Services> {
    let total = before
    let request = firstRequest
    const acquire = wait
      ? Lease.acquireWaiting(connection.id, onWait ?? (() => Effect.void))
      : Lease.acquire(connection.id)
    const reportProgress = (progress: Progress) =>
      onProgress?.({ ...progress, counts: RunCounts.sum(total.counts, progress.counts) }) ?? Effect.void
    while (true) {
      const turn = yield* LeasedSlice.turn(acquire, () => Effect.sync(() => request), reportProgress).pipe(
        Effect.catchTag("Superseded", () => Effect.succeed({ _tag: "Removed" } as const))
      )
      if (turn._tag === "Removed") {
        return { total, error: { reason: "UnknownConnection", message: "the connection was removed" } }
      }
      if (turn._tag === "Skipped") return { total, error: null }
      if (turn._tag === "Taken") {
        return { total, status: "skipped", error: { reason: "Held", message: `held by ${turn.holder}` } }
      }
      const { error, isTaskOver, next, repeats } = turn.result
      if (isTaskOver && request._tag === "TaskSlice") return yield* endedTask(connection, request.taskId, total)
      total = withSlice(total, turn.result)
      if (error !== null || next._tag === "Done") return { total, error }
      // A sync that a person starts retries failed items once, and not again in its next slices.
      if (request._tag === "Live") request = { ...request, retryFailed: false }
      if (next._tag === "More") continue
      if (repeats >= repeatsInARow) return { total, error: RunFailure.of(Listing.endless(repeats)) }
      const { delay, isRefusal } = next
      const asks = `the source asks to wait ${Duration.format(delay)}`
      if (total.refusals >= refusalsInARow || Duration.isGreaterThan(delay, longestWait)) {
        const rest =
          request._tag === "TaskSlice"
            ? `the same command continues it within ${Duration.format(limits.resumeWithin)}, and starts anew later`
            : "a later poll continues"
        return { total, error: { reason: "RateLimited", message: `${asks}: ${rest}` } }
      }
      if (isRefusal) yield* Effect.logWarning(`${connection.name}: ${asks}`)
      const waitingUntil = (yield* Clock.currentTimeMillis) + Duration.toMillis(delay)
      yield* onProgress?.({ counts: total.counts, remaining: undefined, waitingUntil }) ?? Effect.void
      yield* Effect.sleep(delay)
    }
  })

  const dryRun = Effect.fnUntraced(function* (given: Connection, task: SyncTask, options: SyncOptions) {
    const startedAt = yield* Clock.currentTimeMillis
    const connection = Option.getOrElse(yield* connections.connection(given.id), () => given)
    const planned = yield* Effect.result(DryRun.run(connection, task, options.onProgress ?? (() => Effect.void)))
    if (Result.isFailure(planned)) {
      return yield* result(connection, startedAt, { total: nothing, error: RunFailure.of(planned.failure) })
    }
    const { counts, notes, problems } = planned.success
    const total = { ...nothing, counts, notes, problems }
    const done = yield* result(connection, startedAt, { total, status: "planned", error: null })
    return { ...done, planned: planned.success.planned }
  })

  const sync = Effect.fn("sync")(function* (connection: Connection, task: SyncTask, options: SyncOptions) {
    const startedAt = yield* Clock.currentTimeMillis
    const keyless = yield* withoutKey
    if (keyless !== undefined) return yield* result(connection, startedAt, { total: nothing, error: keyless })
    if (task.dryRun) return yield* dryRun(connection, task, options)
    if (isLive(task)) {
      const request = { _tag: "Live", recorded: true, retryFailed: true } as const
      return yield* result(connection, startedAt, yield* untilDone(connection, nothing, request, options))
    }
    const { id } = yield* tasks.openTask(connection.id, {
      task,
      spec: options.spec,
      resumeWithin: limits.resumeWithin
    })
    const ended = yield* untilDone(connection, nothing, { _tag: "TaskSlice", taskId: id }, options)
    return yield* result(connection, startedAt, ended, id)
  })

  const retry = Effect.fn("retry")(function* (connection: Connection, externalIds: ReadonlyArray<string> | undefined) {
    if (externalIds !== undefined) yield* TaskQueue.requireInLedger(ledger, connection, externalIds)
    const startedAt = yield* Clock.currentTimeMillis
    const keyless = yield* withoutKey
    if (keyless !== undefined) return yield* result(connection, startedAt, { total: nothing, error: keyless })
    yield* ledger.redrive(connection.id, externalIds)
    let ended: Ended = { total: nothing, error: null }
    let redrivenAfter: string | undefined = ""
    while (redrivenAfter !== undefined && ended.error === null) {
      const rows: TaskQueue.Redriven = yield* TaskQueue.redriven(ledger, connection.id, { externalIds, redrivenAfter })
      if (rows.ids.length > 0) {
        ended = yield* untilDone(connection, ended.total, { _tag: "Ledger", externalIds: rows.ids }, { wait: true })
      }
      redrivenAfter = rows.last
    }
    return yield* result(connection, startedAt, ended)
  })

  return Engine.of({
    connect: (input) => Effect.provide(connect(input), context),
    sync: (connection, task, options) => Effect.provide(sync(connection, task, options), context),
    retry: (connection, externalIds) => Effect.provide(retry(connection, externalIds), context)
  })
})

export const layer: Layer.Layer<Engine, never, LeasedSlice.Services> = Layer.effect(Engine, make)
