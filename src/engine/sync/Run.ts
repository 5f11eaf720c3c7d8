/** A connection's next slice: what it goes on from, the run itself, and what the connection does after it. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Schema from "effect/Schema"
import { createHash, randomUUID } from "node:crypto"
import type { Problem } from "../../contract/Page.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import * as RunCounts from "../model/RunCounts.ts"
import type { Progress } from "../Engine.ts"
import * as RunFailure from "./RunFailure.ts"
import type { Integrations } from "../source/Integrations.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as OpenSource from "../source/OpenSource.ts"
import type { Quotas } from "../source/Quotas.ts"
import * as TaskQueue from "../schedule/TaskQueue.ts"
import * as Slice from "./Slice.ts"
import { type Connection, pausedByPerson, type Problems } from "../model/Connection.ts"
import { RunId, type RunStatus, statusOf } from "../model/Run.ts"
import type { TaskRow } from "../model/Task.ts"
import { type Fence, Store } from "../Store.ts"
import type { Vault } from "../secrets/Vault.ts"
import type { Plan } from "./PageReader.ts"

/** What a slice is for. */
export type Request =
  /** The connection's own sync. `recorded`: a person asked, so it has a run row, and failed items are tried now. */
  | { readonly _tag: "Live"; readonly recorded: boolean; readonly retryFailed: boolean }
  | { readonly _tag: "Task"; readonly row: TaskRow }
  | TaskQueue.Rows
  /** The next slice of a task that waits in the connection's queue, whatever it is for. */
  | { readonly _tag: "Requested"; readonly row: TaskRow }

/** What a slice did, and its run. */
export type Outcome = Slice.SliceResult & { readonly runId: RunId }

/** The wait after a failed run; it doubles with each failure in a row, up to the longest or the connection's own. */
const firstBackoff = Duration.minutes(1)
const longestBackoff = Duration.hours(1)

const digest = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex")

/**
 * Where a task of this connection goes on from. `isAfresh`: it has no checkpoint of this scope (that is the first run
 * too), so it lists in full, and absence deletes nothing of what is stored until a listing has shown it.
 */
export const plan = Effect.fnUntraced(function* (
  { config, integration }: OpenSource.Openable,
  options: {
    readonly task: SyncTask.SyncTask
    readonly checkpoint: Option.Option<Schema.Json>
    readonly scope: string | null
    readonly done: ReadonlySet<string>
    readonly ledger: Plan["ledger"]
  }
) {
  const scope = digest(config.scope)
  const { checkpoint, done, ledger, task } = options
  const plan: Plan = { task, scope, done, ledger, checkpoint }
  const afresh = { isAfresh: true, plan: { ...plan, checkpoint: Option.none() } }
  if (options.scope === null) return { ...afresh, notes: [] }
  if (options.scope !== scope) {
    return { ...afresh, notes: ["what the connection covers was changed: listing in full, deleting nothing"] }
  }
  if (Option.isSome(checkpoint) && !(yield* integration.readsCheckpoint(checkpoint.value))) {
    return { ...afresh, notes: ["the stored checkpoint can't be read: listing in full, deleting nothing"] }
  }
  return { isAfresh: false, plan, notes: [] }
})

const nothing: Slice.SliceResult = {
  counts: RunCounts.zero,
  problems: [],
  notes: [],
  error: null,
  more: false,
  changesRead: false,
  waitFor: undefined,
  refused: false
}

const failed = (error: RunFailure.Failure): Slice.SliceResult => ({ ...nothing, error, more: true })

const planFor = Effect.fnUntraced(function* (
  connection: Connection,
  request: Exclude<Request, { readonly _tag: "Requested" }>,
  opened: OpenSource.Openable
) {
  const store = yield* Store
  switch (request._tag) {
    case "Live": {
      const planned = yield* plan(opened, {
        task: SyncTask.poll,
        checkpoint: connection.checkpoint,
        scope: connection.scope,
        done: new Set(),
        ledger: request.retryFailed ? "all" : "due"
      })
      // Stored before anything is listed: no slice, listing or crash that comes between ends it.
      if (planned.isAfresh) {
        yield* store.changeScope({ connectionId: connection.id, fence: connection.fence }, planned.plan.scope)
      }
      return planned
    }
    case "Task": {
      // The request is made once for all slices of the task: where the last one ended, the store knows.
      const row = Option.getOrUndefined(yield* store.task(request.row.id))
      // Without its row the task keeps no checkpoint, and each slice would begin it again.
      if (row === undefined) {
        return yield* new RunFailure.NotOpenable({
          reason: "TaskRemoved",
          message: "the task was removed while it ran, since IDEM_KEEP_RUNS is shorter than its pauses: run it again"
        })
      }
      return yield* plan(opened, {
        task: row.task,
        checkpoint: row.checkpoint,
        scope: row.scope,
        done: yield* store.taskDone(request.row.id),
        ledger: "none"
      })
    }
    case "Ledger": {
      const { externalIds } = request
      const rows = yield* store.ledger(connection.id, { externalIds, limit: externalIds.length })
      return yield* plan(opened, {
        task: SyncTask.poll,
        checkpoint: Option.none(),
        scope: null,
        done: new Set(),
        ledger: { rows: rows.filter((row) => row.attempts === 0) }
      })
    }
  }
})

/** When the connection is polled next, after this. Jitter keeps a thousand connections from waking at once. */
const pollIn = (connection: Connection, result: Slice.SliceResult, failures: number) =>
  Effect.map(Random.nextBetween(0.9, 1.1), (jitter) => {
    if (result.waitFor !== undefined) return result.waitFor
    if (result.error === null) return result.more ? Duration.zero : Duration.times(connection.every, jitter)
    const backoff = Duration.times(firstBackoff, 2 ** Math.min(failures - 1, 10))
    return Duration.times(Duration.min(backoff, Duration.max(connection.every, longestBackoff)), jitter)
  })

/**
 * The pause that a run sets, or lifts. A person's pause stays. The release of the lease writes it, under the fence and only
 * where the pause is still what it was when the run began: new credentials take a new fence, and are not paused.
 */
const pauseAfter = (
  { domain, name, paused }: Connection,
  { error }: Slice.SliceResult
): { readonly from: string | null; readonly to: string | null } | undefined => {
  if (paused === pausedByPerson) return undefined
  const command = `idem connect ${domain} --name '${name}' --credentials @FILE`
  switch (error?.reason) {
    case undefined:
      return paused === null ? undefined : { from: paused, to: null }
    case "Unauthorized":
      return { from: paused, to: `the source refuses our credentials (${error?.message}); mend it with: ${command}` }
    case "Vault":
      // The key is another one, or lost: no later run can open them either. What is stored needs no key.
      return { from: paused, to: `${error?.message}, with: ${command}` }
    default:
      return undefined
  }
}

/** Problems that a connection keeps. */
const problemsKept = 100

/** Each place once, with what was said of it last. */
const together = (before: ReadonlyArray<Problem>, after: ReadonlyArray<Problem>): ReadonlyArray<Problem> =>
  [...new Map([...before, ...after].map((problem) => [problem.place, problem])).values()].slice(0, problemsKept)

/** The problems of a connection after a slice of its own. Those of the poll before go when this poll comes to its end. */
const problemsAfter = (
  { problems: { current, found } }: Connection,
  { error, more, problems, waitFor }: Slice.SliceResult
): Problems => {
  const all = together(found, problems)
  return error === null && !more && waitFor === undefined
    ? { current: all, found: [] }
    : { current: together(current, problems), found: all }
}

/**
 * Runs one slice of a connection that was just acquired, then gives the lease back: also when it is interrupted. A grant
 * that is gone pauses the connection; a live slice that works lifts such a pause.
 */
export const run = Effect.fn("run")(function* (
  connection: Connection,
  request: Request,
  onProgress: (progress: Progress) => Effect.Effect<void>
) {
  const store = yield* Store
  const fence: Fence = { connectionId: connection.id, fence: connection.fence }
  const runId = RunId.make(randomUUID())
  yield* Effect.annotateCurrentSpan({
    "idem.connection": connection.name,
    "idem.domain": connection.domain,
    "idem.run": runId,
    "idem.kind": request._tag
  })
  const startedAt = yield* Clock.currentTimeMillis
  const ended = (status: RunStatus, result?: Slice.SliceResult) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Metrics.ended(connection.domain, {
        status,
        seconds: (now - startedAt) / 1000,
        isLeaseLost: result?.error?.reason === "Superseded",
        problems: result?.problems.length ?? 0
      })
    )

  const requested = request._tag === "Requested" ? request.row : undefined
  // Whether the connection's own schedule moves with it. What a queued task is for is found out under the lease.
  let isLive = request._tag === "Live"

  const work = Effect.gen(function* () {
    const opened = yield* OpenSource.openable(connection)
    const slice = request._tag === "Requested" ? yield* TaskQueue.next(fence, request.row) : request
    if (slice === undefined) return { result: nothing, done: undefined }
    isLive = slice._tag === "Live"
    const planned = yield* planFor(connection, slice, opened)
    yield* Effect.forEach(planned.notes, (note) => Effect.logWarning(`${connection.name}: ${note}`), { discard: true })
    const taskRow = slice._tag === "Task" ? slice.row : undefined
    const result = yield* Slice.slice({
      connection,
      ...opened,
      runId,
      taskRow,
      taskId: requested?.id ?? taskRow?.id,
      plan: planned.plan,
      notes: planned.notes,
      recorded: slice._tag !== "Live" || slice.recorded,
      onProgress
    })
    const finished = result.error === null && !result.more && result.waitFor === undefined
    if (requested === undefined && taskRow !== undefined && finished) yield* store.finishTask(fence, taskRow.id)
    return { result, done: slice._tag === "Ledger" ? slice.done : undefined }
  }).pipe(
    Effect.catch((error) => Effect.succeed({ done: undefined, result: failed(RunFailure.of(error)) })),
    Effect.tap(({ done, result }) =>
      requested === undefined
        ? Effect.void
        : TaskQueue.settle(fence, requested, result, done).pipe(
            // The task is due as it was, and tried again.
            Effect.catch((error) => Effect.logWarning(error.message))
          )
    ),
    Effect.map(({ result }) => result)
  )

  const release = Effect.fnUntraced(function* (result: Slice.SliceResult) {
    const paused = pauseAfter(connection, result)
    const isResumed = paused !== undefined && paused.to === null
    const failures = result.error === null ? 0 : connection.failures + 1
    yield* store.release(fence, {
      // A connection that works again is due at once, whatever the run was for.
      ...(isLive
        ? {
            pollIn: yield* pollIn(connection, result, failures),
            failures,
            // Our own budget may still wait for what the source asked of an earlier poll.
            askedWait: result.refused ? true : result.waitFor === undefined ? false : undefined,
            changesRead: result.changesRead
          }
        : {}),
      ...(!isLive && isResumed ? { pollIn: Duration.zero, failures: 0 } : {}),
      paused,
      problems: isLive ? problemsAfter(connection, result) : undefined,
      checked: isLive && result.error === null && !result.refused,
      // A run that failed may have left its row open, where the store failed too.
      interrupted: result.error !== null
    })
  })

  // A database that is away can't take the lease back: it expires by itself. Whoever took the lease uninterruptibly can
  // hand it over to this so: nothing comes between the two.
  const result = yield* Effect.interruptible(work).pipe(
    Effect.annotateLogs({ connection: connection.name, domain: connection.domain, run: runId }),
    Effect.onInterrupt(() =>
      Effect.andThen(ended("interrupted"), Effect.ignore(store.release(fence, { interrupted: true })))
    ),
    Effect.tap((done) =>
      Effect.uninterruptible(Effect.catch(release(done), (error) => Effect.logWarning(error.message)))
    )
  )
  yield* ended(statusOf(result), result)
  return { ...result, runId } satisfies Outcome
})

/** Services that running a connection needs. */
export type Services = Store | Integrations | Vault | Quotas
