/** Submits a task to a server, and watches it until it has ended. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"
import type { SyncTask } from "../contract/SyncTask.ts"
import type { Connection } from "../http/connections/ConnectionDocuments.ts"
import type * as Documents from "../http/tasks/TaskDocuments.ts"
import type { Progress } from "../engine/Engine.ts"
import * as RunCounts from "../engine/model/RunCounts.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as CommandFailure from "./CommandFailure.ts"

interface WatchOptions {
  /** Called with the process that runs the connection, while the task waits for its turn. */
  readonly onWait: (holder: string) => Effect.Effect<void>
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
  /** Called with the reason of a failed slice that the server will retry. */
  readonly onTrouble: (message: string) => Effect.Effect<void>
}

/** Returns the delay between two requests: short at first, for short tasks, then one second. */
const pollInterval = (asked: number): Duration.Duration => Duration.millis(Math.min(1000, 50 * 1.3 ** asked))

/** A server that does not answer for up to 30 seconds may be restarting. */
const restart = { schedule: Schedule.spaced("1 second"), times: 30 }

const resultOf = (
  connection: string,
  task: Documents.Task,
  status: Documents.Synced["status"],
  durationMs: number
): Documents.Synced => ({
  connection,
  run: task.run,
  task: task.task,
  status,
  ...task.counts,
  durationMs,
  ...(task.error === null ? {} : { error: task.error }),
  ...(task.notes.length === 0 ? {} : { notes: task.notes }),
  ...(task.problems.length === 0 ? {} : { problems: task.problems })
})

/** Requests the state of the task until it has ended. */
const watch = Effect.fnUntraced(function* (
  connection: Connection,
  submitted: Documents.Task,
  startedAt: number,
  options: Partial<WatchOptions>
) {
  const api = yield* ApiClient
  const params = { connection: connection.id }
  let task = submitted
  let holderSeen: string | null = null
  let failedRun: string | null = null
  for (let asked = 0; task.status === "queued" || task.status === "running"; asked += 1) {
    const isWaiting = task.status === "queued" && options.onWait !== undefined
    const holder: string | null = isWaiting ? (yield* api.connections.get({ params })).holder : null
    // While the server waits before a retry, the failed run is still the task's last run.
    if (task.run !== null && task.run !== failedRun && options.onTrouble !== undefined) {
      const run: Documents.Run | undefined = yield* Effect.catchTag(
        api.tasks.run({ params: { run: task.run } }),
        "NotFoundProblem",
        () => Effect.succeed(undefined)
      )
      if (run?.status === "failed") {
        failedRun = run.run
        yield* options.onTrouble(run.error?.message ?? "a run of the task failed")
      }
    }
    yield* options.onProgress?.({ counts: task.counts, remaining: undefined }) ?? Effect.void
    yield* Effect.sleep(pollInterval(asked))
    task = yield* Effect.retry(api.tasks.get({ params: { ...params, task: task.task } }), {
      ...restart,
      while: (error) =>
        error._tag === "UnavailableProblem" || (error._tag === "ServerError" && error.reason === "Unreachable")
    })
    // If the task has begun since the holder was read, the holder was the run of the task itself.
    if (holder !== null && holder !== holderSeen && task.status === "queued") {
      holderSeen = holder
      yield* options.onWait?.(holder) ?? Effect.void
    }
  }
  return resultOf(connection.name, task, task.status, (yield* Clock.currentTimeMillis) - startedAt)
})

const skipped = (connection: string, holder: string): Documents.Synced => ({
  connection,
  run: null,
  task: null,
  status: "skipped",
  ...RunCounts.zero,
  durationMs: 0,
  error: { reason: "Held", message: `held by ${holder}` }
})

/** Submits a sync and watches it. A dry run returns at once. */
export const sync = Effect.fnUntraced(function* (
  name: string,
  { dryRun, force, forceIds, window }: SyncTask,
  options: WatchOptions & { readonly spec: string; readonly wait: boolean }
) {
  const api = yield* ApiClient
  const startedAt = yield* Clock.currentTimeMillis
  const connection = yield* api.connections.get({ params: { connection: name } })
  if (!dryRun && !options.wait && connection.holder !== null) return skipped(connection.name, connection.holder)
  const answer = yield* api.tasks.submit({
    params: { connection: connection.id },
    headers: dryRun ? {} : { "idempotency-key": randomUUID() },
    payload: {
      ...(force ? { force } : {}),
      ...(forceIds.length === 0 ? {} : { forceIds }),
      ...(window?.since === undefined ? {} : { since: window.since }),
      ...(window?.until === undefined ? {} : { until: window.until }),
      ...(dryRun ? { dryRun } : { spec: options.spec })
    }
  })
  if (!("createdAt" in answer)) return answer
  if (dryRun) return yield* CommandFailure.failed("NotIdem", "the server started a task instead of a dry run")
  return yield* watch(connection, answer, startedAt, options)
})

/** Submits a retry of these rows of the ledger, or of all rows if there are none, and watches it. */
export const retry = Effect.fnUntraced(function* (name: string, externalIds: ReadonlyArray<string>) {
  const api = yield* ApiClient
  const startedAt = yield* Clock.currentTimeMillis
  const connection = yield* api.connections.get({ params: { connection: name } })
  const task = yield* api.connections.redrive({
    params: { connection: connection.id },
    payload: externalIds.length === 0 ? null : { externalIds }
  })
  return yield* watch(connection, task, startedAt, {})
})
