/**
 * Tasks and runs as documents of the API and of commands. Times are ISO 8601 in UTC; durations are milliseconds unless
 * the name says otherwise.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { SyncStatus, type SyncResult } from "../../engine/Engine.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import * as Model from "../../engine/model/Run.ts"
import { Counts } from "../../engine/model/RunCounts.ts"
import { TaskId } from "../../engine/model/Task.ts"
import type { TaskSummary } from "../../engine/model/Run.ts"

const Time = Schema.DateTimeUtcFromString

const Failed = Schema.Struct({ reason: Schema.String, message: Schema.String })
export const Problem = Schema.Struct({ place: Schema.String, message: Schema.String })

export const Run = Schema.Struct({
  run: Model.RunId,
  task: Schema.NullOr(TaskId),
  /** The purpose of the run; null for runs of versions that did not store it. */
  kind: Schema.NullOr(Model.RunKind),
  status: Model.RunStatus,
  ...Counts.fields,
  startedAt: Time,
  finishedAt: Schema.NullOr(Time),
  durationMs: Schema.NullOr(Schema.Finite),
  error: Schema.NullOr(Failed),
  notes: Schema.Array(Schema.String),
  problems: Schema.Array(Problem)
}).annotate({ identifier: "Run" })
export type Run = typeof Run.Type

/**
 * A task. `spec` is the task as a command line: the flags of a sync, or `retry` with its ids. It is `queued` before its
 * first run, and `running` between its first run and its last. The counts are summed over its runs.
 */
export const Task = Schema.Struct({
  task: TaskId,
  connection: ConnectionId,
  spec: Schema.String,
  status: Schema.Literals(["queued", "running", "succeeded", "partial", "failed"]),
  counts: Counts,
  /** The last run; null before the first one. */
  run: Schema.NullOr(Model.RunId),
  createdAt: Time,
  finishedAt: Schema.NullOr(Time),
  error: Schema.NullOr(Failed),
  notes: Schema.Array(Schema.String),
  problems: Schema.Array(Problem)
}).annotate({ identifier: "Task" })
export type Task = typeof Task.Type

/** The result of a dry run. */
const Planned = Schema.Struct({
  download: Schema.Int,
  delete: Schema.Int,
  patch: Schema.Int,
  /** The number of deletions that would be held for approval. */
  held: Schema.Int
})

/** The result of a sync, summed over its slices: the output of `idem sync --json`. */
export const Synced = Schema.Struct({
  connection: Schema.String,
  run: Schema.NullOr(Model.RunId),
  task: Schema.NullOr(TaskId),
  status: SyncStatus,
  ...Counts.fields,
  durationMs: Schema.Finite,
  /** The error of a failed task. */
  error: Schema.optionalKey(Failed),
  /** The plan of a dry run. */
  planned: Schema.optionalKey(Planned),
  /** Absent if there are none. */
  notes: Schema.optionalKey(Schema.Array(Schema.String)),
  problems: Schema.optionalKey(Schema.Array(Problem))
}).annotate({ identifier: "Synced" })
export type Synced = typeof Synced.Type

/** Makes the document of a sync's result. */
export const synced = (of: SyncResult): Synced => ({
  connection: of.connection,
  run: of.run,
  task: of.task,
  status: of.status,
  ...of.counts,
  durationMs: Math.round(of.durationMs),
  ...(of.error === null ? {} : { error: of.error }),
  ...(of.planned === null ? {} : { planned: of.planned }),
  ...(of.notes.length === 0 ? {} : { notes: of.notes }),
  ...(of.problems.length === 0 ? {} : { problems: of.problems })
})

/** The sums of the runs that began in the hour that starts at `hour`. */
export const Hour = Schema.Struct({
  hour: Time,
  runs: Schema.Int,
  stored: Schema.Int,
  updated: Schema.Int,
  unchanged: Schema.Int,
  failed: Schema.Int,
  deleted: Schema.Int,
  apiCalls: Schema.Int,
  quotaUnits: Schema.Finite
}).annotate({ identifier: "Hour" })
export type Hour = typeof Hour.Type

export const run = (of: Model.Run): Run => ({
  run: of.id,
  task: of.taskId,
  kind: of.kind,
  status: of.status,
  ...of.counts,
  startedAt: of.startedAt,
  finishedAt: of.finishedAt,
  durationMs: of.finishedAt === null ? null : Duration.toMillis(DateTime.distance(of.startedAt, of.finishedAt)),
  error: of.error,
  notes: of.notes,
  problems: of.problems
})

const taskStatus = ({ counts, problems, task }: TaskSummary): Task["status"] =>
  task.finishedAt !== null ? Model.statusOf({ counts, problems, error: task.error }) : task.begun ? "running" : "queued"

export const task = (of: TaskSummary): Task => ({
  task: of.task.id,
  connection: of.task.connectionId,
  spec: of.task.spec,
  status: taskStatus(of),
  counts: of.counts,
  run: of.lastRun,
  createdAt: of.task.createdAt,
  finishedAt: of.task.finishedAt,
  error: of.task.error,
  notes: of.notes,
  problems: of.problems
})
