/**
 * What the command line and the HTTP API show, as Schemas: their encoded form is the JSON of both. Times are ISO 8601 in
 * UTC, hashes hex, durations milliseconds unless the name says otherwise. No field holds a secret.
 */
import * as Schema from "effect/Schema"
import { SyncStatus, type SyncResult } from "./Engine.ts"
import { ConnectionId } from "./model/Connection.ts"
import { ContentState } from "./model/Content.ts"
import { RunId, RunStatus } from "./model/Run.ts"
import { Counts } from "./model/RunCounts.ts"
import { TaskId } from "./model/Task.ts"
import { SyncTask } from "../contract/SyncTask.ts"

const Time = Schema.DateTimeUtcFromString

const Failed = Schema.Struct({ reason: Schema.String, message: Schema.String })
const Problem = Schema.Struct({ place: Schema.String, message: Schema.String })

const ConnectionState = Schema.Literals(["running", "disconnected", "paused", "idle"])

const Totals = Schema.Struct({
  stored: Schema.Int,
  failed: Schema.Int,
  dead: Schema.Int,
  deferred: Schema.Int,
  deleted: Schema.Int,
  bytes: Schema.Int,
  deletionsHeld: Schema.Int
}).annotate({ identifier: "Totals" })

export const Connection = Schema.Struct({
  name: Schema.String,
  id: ConnectionId,
  domain: Schema.String,
  account: Schema.String,
  state: ConnectionState,
  /** Why it is paused, in words. */
  paused: Schema.NullOr(Schema.String),
  /** As Effect writes a duration: `5 minutes`. */
  every: Schema.String,
  nextPollAt: Schema.NullOr(Time),
  /** Failures of whole runs in a row. */
  failures: Schema.Int,
  /** Who runs it now. */
  holder: Schema.NullOr(Schema.String),
  config: Schema.Json,
  createdAt: Time
}).annotate({ identifier: "Connection" })
export type Connection = typeof Connection.Type

export const Run = Schema.Struct({
  run: RunId,
  task: Schema.NullOr(TaskId),
  status: RunStatus,
  ...Counts.fields,
  startedAt: Time,
  finishedAt: Schema.NullOr(Time),
  durationMs: Schema.NullOr(Schema.Finite),
  error: Schema.NullOr(Failed),
  notes: Schema.Array(Schema.String),
  problems: Schema.Array(Problem)
}).annotate({ identifier: "Run" })
export type Run = typeof Run.Type

/** A task that has not ended, as `idem status` shows it. */
const Unfinished = Schema.Struct({ task: TaskId, spec: Schema.String, createdAt: Time })

/** A connection with what is stored of it and its last run. `ledger` is failed, dead and deferred together. */
export const Status = Schema.Struct({
  ...Connection.fields,
  totals: Totals,
  ledger: Schema.Int,
  lastRun: Schema.NullOr(Run),
  unfinished: Schema.Array(Unfinished)
}).annotate({ identifier: "Status" })
export type Status = typeof Status.Type

export const ContentRow = Schema.Struct({
  externalId: Schema.String,
  kind: Schema.NullOr(Schema.String),
  state: ContentState,
  revision: Schema.NullOr(Schema.String),
  hash: Schema.NullOr(Schema.String),
  size: Schema.Int,
  title: Schema.NullOr(Schema.String),
  occurredAt: Schema.NullOr(Time),
  updatedAt: Time
}).annotate({ identifier: "ContentRow" })
export type ContentRow = typeof ContentRow.Type

export const Content = Schema.Struct({
  ...ContentRow.fields,
  createdAt: Time,
  mediaType: Schema.NullOr(Schema.String),
  metadata: Schema.JsonObject,
  volatile: Schema.JsonObject
}).annotate({ identifier: "Content" })
export type Content = typeof Content.Type

export const LedgerRow = Schema.Struct({
  externalId: Schema.String,
  state: Schema.Literals(["failed", "dead", "deferred"]),
  revision: Schema.NullOr(Schema.String),
  reason: Schema.String,
  message: Schema.String,
  attempts: Schema.Int,
  nextAttemptAt: Schema.NullOr(Time)
}).annotate({ identifier: "LedgerRow" })
export type LedgerRow = typeof LedgerRow.Type

export const StagedDeletion = Schema.Struct({
  externalId: Schema.String,
  cause: Schema.Literals(["event", "absence"]),
  stagedAt: Time
}).annotate({ identifier: "StagedDeletion" })
export type StagedDeletion = typeof StagedDeletion.Type

/** One change of content, as the feed tells it. An id that changed again since is told once, with its latest change. */
export const Change = Schema.Struct({
  connection: ConnectionId,
  change: Schema.Literals(["stored", "updated", "deleted", "undeleted"]),
  content: ContentRow,
  /** Where a reader that has handled this change goes on. */
  cursor: Schema.String
}).annotate({ identifier: "Change" })
export type Change = typeof Change.Type

/** What a dry run found. */
const Planned = Schema.Struct({ download: Schema.Int, delete: Schema.Int, patch: Schema.Int })

/**
 * What a task is asked to do: a sync (with nothing set, what a poll does, now), or `retry`: these rows of the ledger, or
 * all of them where it is empty.
 */
export const TaskRequest = Schema.Union([
  Schema.TaggedStruct("sync", { task: SyncTask, spec: Schema.String }),
  Schema.TaggedStruct("retry", { externalIds: Schema.Array(Schema.String) })
])
export type TaskRequest = typeof TaskRequest.Type

/**
 * `spec` is the task as a command line: the flags of a sync, or `retry` with its ids. It is `queued` until a run takes it,
 * and `running` between its first run and its last. The counts are summed over its runs.
 */
export const Task = Schema.Struct({
  task: TaskId,
  connection: ConnectionId,
  spec: Schema.String,
  status: Schema.Literals(["queued", "running", "succeeded", "partial", "failed"]),
  counts: Counts,
  /** Its last run. */
  run: Schema.NullOr(RunId),
  createdAt: Time,
  finishedAt: Schema.NullOr(Time),
  error: Schema.NullOr(Failed),
  notes: Schema.Array(Schema.String),
  problems: Schema.Array(Problem)
}).annotate({ identifier: "Task" })
export type Task = typeof Task.Type

/** How a sync went, summed over its slices: what `idem sync --json` prints. */
export const Synced = Schema.Struct({
  connection: Schema.String,
  run: Schema.NullOr(RunId),
  task: Schema.NullOr(TaskId),
  status: SyncStatus,
  ...Counts.fields,
  durationMs: Schema.Finite,
  /** Where it failed. */
  error: Schema.optionalKey(Failed),
  /** Of a dry run. */
  planned: Schema.optionalKey(Planned),
  /** Where there are some. */
  notes: Schema.optionalKey(Schema.Array(Schema.String)),
  problems: Schema.optionalKey(Schema.Array(Problem))
}).annotate({ identifier: "Synced" })
export type Synced = typeof Synced.Type

/** A sync's outcome as its document. */
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

/** What the runs that began within one hour did. `hour` is when it began. */
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

/** A kind of source: how it is connected. The schemas are JSON Schema (2020-12). */
export const Integration = Schema.Struct({
  domain: Schema.String,
  /** True where a person can sign in at the provider instead of giving credentials. */
  signIn: Schema.Boolean,
  config: Schema.JsonObject,
  credentials: Schema.JsonObject
}).annotate({ identifier: "Integration" })
export type Integration = typeof Integration.Type
