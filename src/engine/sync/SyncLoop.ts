/** The engine as the command line and the HTTP API know it. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { isLive, type SyncTask } from "../../contract/SyncTask.ts"
import type { Problem } from "../../contract/Page.ts"
import { connect } from "../source/Connect.ts"
import * as RunCounts from "../model/RunCounts.ts"
import * as DryRun from "./DryRun.ts"
import { Engine, type Progress, type SyncResult, type SyncStatus, UsageError } from "../Engine.ts"
import * as RunFailure from "./RunFailure.ts"
import * as Lease from "../schedule/Lease.ts"
import { Limits } from "../Limits.ts"
import * as Run from "./Run.ts"
import type { Connection } from "../model/Connection.ts"
import { type RunId, statusOf } from "../model/Run.ts"
import type { Counts } from "../model/RunCounts.ts"
import type { TaskId } from "../model/Task.ts"
import { Store } from "../Store.ts"
import { Vault } from "../secrets/Vault.ts"

/** A sync that is told to wait longer than this for quota ends; the poller goes on when the time has come. */
const longestWait = Duration.minutes(15)

/** Refusals for quota in a row, with nothing done in between, after which a sync ends. */
const refusalsInARow = 10

/** Rows that `retry` runs in one slice. */
const retryChunk = 500

type SyncOptions = Parameters<Engine["Service"]["sync"]>[2]

/** What has been done so far, over the slices of one sync. */
interface Total {
  counts: Counts
  run: RunId | null
  notes: Array<string>
  problems: Array<Problem>
}

const begin = (): Total => ({ counts: RunCounts.zero, run: null, notes: [], problems: [] })

const absorb = (total: Total, result: Run.Outcome): void => {
  total.counts = RunCounts.sum(total.counts, result.counts)
  total.run = result.runId
  total.notes.push(...result.notes)
  total.problems.push(...result.problems)
}

export const make = Effect.gen(function* () {
  const context = yield* Effect.context<Run.Services>()
  const store = Context.get(context, Store)
  const vault = Context.get(context, Vault)
  const limits = yield* Limits

  const result = Effect.fnUntraced(function* (
    connection: Connection,
    startedAt: number,
    total: Total,
    ended: { readonly status?: SyncStatus; readonly task?: TaskId | null; readonly error?: RunFailure.Failure | null }
  ) {
    const error = ended.error ?? null
    return {
      connection: connection.name,
      run: total.run,
      task: ended.task ?? null,
      status: ended.status ?? statusOf({ counts: total.counts, problems: total.problems, error }),
      counts: total.counts,
      durationMs: (yield* Clock.currentTimeMillis) - startedAt,
      error,
      notes: total.notes,
      problems: total.problems,
      planned: null
    } satisfies SyncResult
  })

  /** Where this process has no key it begins nothing: the connection is not to blame, and others may run it. */
  const withoutKey = Effect.match(vault.keys, {
    onFailure: ({ message }): RunFailure.Failure => ({ reason: "VaultError", message }),
    onSuccess: () => undefined
  })

  /** Slice after slice until there is nothing more to do, or it can't go on. */
  const untilDone = Effect.fnUntraced(function* (
    connection: Connection,
    total: Total,
    requests: (first: boolean) => Run.Request,
    options: Pick<SyncOptions, "wait" | "onWait" | "onProgress">
  ) {
    let first = true
    let refusals = 0
    while (true) {
      const before = total.counts
      const onProgress = (progress: Progress) =>
        options.onProgress?.({ ...progress, counts: RunCounts.sum(before, progress.counts) }) ?? Effect.void
      const taking = options.wait
        ? Lease.acquireWaiting(connection.id, options.onWait ?? (() => Effect.void))
        : Lease.acquire(connection.id)
      const turn = Effect.gen(function* () {
        const taken = yield* taking
        return taken._tag === "Held" ? taken : yield* Run.run(taken.connection, requests(first), onProgress)
      })
      const slice = yield* Effect.uninterruptible(turn).pipe(
        Effect.catchTag("Superseded", () => Effect.succeed({ _tag: "Removed" } as const))
      )
      if ("_tag" in slice && slice._tag === "Removed") {
        return { skipped: false, error: { reason: "UnknownConnection", message: "the connection was removed" } }
      }
      if ("_tag" in slice) {
        return { skipped: true, error: { reason: "Held", message: `held by ${slice.holder}` } }
      }
      first = false
      absorb(total, slice)
      if (slice.error !== null) return { skipped: false, error: slice.error }
      if (slice.waitFor !== undefined) {
        const moved = slice.counts.stored + slice.counts.updated + slice.counts.unchanged + slice.counts.existing > 0
        refusals = moved || !slice.refused ? 0 : refusals + 1
        if (refusals >= refusalsInARow || Duration.isGreaterThan(slice.waitFor, longestWait)) {
          const message = `the source asks to wait ${Duration.format(slice.waitFor)}: what is left comes with a later poll`
          return { skipped: false, error: { reason: "RateLimited", message } }
        }
        if (slice.refused) {
          yield* Effect.logWarning(`${connection.name}: the source asks to wait ${Duration.format(slice.waitFor)}`)
        }
        yield* Effect.sleep(slice.waitFor)
      } else if (!slice.more) return { skipped: false, error: null }
    }
  })

  const dryRun = Effect.fnUntraced(function* (given: Connection, task: SyncTask, options: SyncOptions) {
    const startedAt = yield* Clock.currentTimeMillis
    const connection = Option.getOrElse(yield* store.connection(given.id), () => given)
    const planned = yield* Effect.result(DryRun.run(connection, task, options.onProgress ?? (() => Effect.void)))
    if (Result.isFailure(planned)) {
      return yield* result(connection, startedAt, begin(), { error: RunFailure.of(planned.failure) })
    }
    const { counts, notes, problems } = planned.success
    const total = { ...begin(), counts, notes: [...notes], problems: [...problems] }
    const done = yield* result(connection, startedAt, total, { status: "planned" })
    return { ...done, planned: planned.success.planned }
  })

  const sync = Effect.fn("sync")(function* (connection: Connection, task: SyncTask, options: SyncOptions) {
    if (task.dryRun) return yield* dryRun(connection, task, options)
    const startedAt = yield* Clock.currentTimeMillis
    const total = begin()
    const keyless = yield* withoutKey
    if (keyless !== undefined) return yield* result(connection, startedAt, total, { error: keyless })
    const row = isLive(task)
      ? undefined
      : yield* store.openTask(connection.id, { task, spec: options.spec, resumeWithin: limits.resumeWithin })
    const ended = yield* untilDone(
      connection,
      total,
      (first) => (row === undefined ? { _tag: "Live", recorded: true, retryFailed: first } : { _tag: "Task", row }),
      options
    )
    return yield* result(connection, startedAt, total, {
      ...(ended.skipped ? { status: "skipped" } : {}),
      error: ended.error,
      task: row?.id ?? null
    })
  })

  const retry = Effect.fn("retry")(function* (connection: Connection, externalIds: ReadonlyArray<string> | undefined) {
    if (externalIds !== undefined) {
      const there = yield* store.ledger(connection.id, { externalIds, limit: externalIds.length })
      const known = new Set(there.map((row) => row.externalId))
      const missing = externalIds.filter((id) => !known.has(id))
      if (missing.length > 0) {
        return yield* new UsageError({
          message: `not in the ledger of ${connection.name}: ${missing.map((id) => JSON.stringify(id)).join(", ")}`
        })
      }
    }
    const startedAt = yield* Clock.currentTimeMillis
    const total = begin()
    const keyless = yield* withoutKey
    if (keyless !== undefined) return yield* result(connection, startedAt, total, { error: keyless })
    const ids = yield* store.redrive(connection.id, externalIds)
    for (let from = 0; from < ids.length; from += retryChunk) {
      const chunk = ids.slice(from, from + retryChunk)
      const ended = yield* untilDone(connection, total, () => ({ _tag: "Ledger", externalIds: chunk }), { wait: true })
      if (ended.error !== null) return yield* result(connection, startedAt, total, { error: ended.error })
    }
    return yield* result(connection, startedAt, total, {})
  })

  return Engine.of({
    connect: (input) => Effect.provide(connect(input), context),
    sync: (connection, task, options) => Effect.provide(sync(connection, task, options), context),
    retry: (connection, externalIds) => Effect.provide(retry(connection, externalIds), context)
  })
})

export const layer: Layer.Layer<Engine, never, Run.Services> = Layer.effect(Engine, make)
