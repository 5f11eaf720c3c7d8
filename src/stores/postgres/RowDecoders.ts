/** The columns of each kind of row, and their decoders. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { SyncTask } from "../../contract/SyncTask.ts"
import { type Connection, ConnectionId, ItemEstimate } from "../../engine/model/Connection.ts"
import { type ContentRow, ContentState, type LedgerRow, LedgerState } from "../../engine/model/Content.ts"
import { type Run, RunId, RunKind, RunStatus, type TaskSummary } from "../../engine/model/Run.ts"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import { TaskId, type TaskRow } from "../../engine/model/Task.ts"

const Time = Schema.DateTimeUtcFromDate

/** Like `Schema.NullOr`, which would first try, and fail, to read null as the other schema. */
const nullOr = <S extends Schema.Top>(schema: S) => Schema.Union([Schema.Null, schema])

/** Makes a decoder of rows. A row of another shape is a defect: a mistake in our code, or a changed schema. */
export const allRows = <A, I>(schema: Schema.Codec<A, I>) => {
  const decode = Schema.decodeUnknownEffect(Schema.Array(schema))
  return (rows: unknown): Effect.Effect<ReadonlyArray<A>> => Effect.orDie(decode(rows))
}

/** Makes a decoder of the row of a statement that returns exactly one. */
export const oneRow = <A, I>(schema: Schema.Codec<A, I>) => {
  const decode = Schema.decodeUnknownEffect(Schema.Tuple([schema]))
  return (rows: unknown): Effect.Effect<A> => Effect.map(Effect.orDie(decode(rows)), ([row]) => row)
}

export const ids = allRows(Schema.Struct({ id: Schema.String }))
export const connectionIds = allRows(Schema.Struct({ id: ConnectionId }))

// The array distinguishes JSON's null from a missing checkpoint.
const checkpointColumn =
  "CASE WHEN checkpoint IS NULL THEN '[]'::json ELSE json_build_array(checkpoint) END AS checkpoint"

const Problems = Schema.Array(Schema.Struct({ place: Schema.String, message: Schema.String }))

export const connectionColumns = `id, name, domain, account, config, credentials, every_ms AS every, fence,
  paused, ${checkpointColumn}, scope, last_checked_at AS "lastCheckedAt", problems, next_poll_at AS "nextPollAt", lease_holder AS holder,
  lease_until AS until, failures, guarded, asked_wait_until AS "askedWaitUntil", member_of AS "memberOf",
  member_id AS "memberId", estimate, created_at AS "createdAt"`

const decodeConnectionRows = allRows(
  Schema.Struct({
    id: ConnectionId,
    name: Schema.String,
    domain: Schema.String,
    account: Schema.String,
    config: Schema.Json,
    credentials: nullOr(Schema.Uint8Array),
    every: Schema.DurationFromMillis,
    fence: Schema.BigInt,
    paused: nullOr(Schema.String),
    checkpoint: Schema.Array(Schema.Json),
    scope: nullOr(Schema.String),
    lastCheckedAt: nullOr(Time),
    problems: Schema.Struct({ current: Problems, found: Problems, hints: Schema.optionalKey(Schema.String) }),
    nextPollAt: Time,
    holder: nullOr(Schema.String),
    until: nullOr(Time),
    failures: Schema.Int,
    guarded: Schema.Boolean,
    askedWaitUntil: nullOr(Time),
    memberOf: nullOr(ConnectionId),
    memberId: nullOr(Schema.String),
    estimate: nullOr(ItemEstimate),
    createdAt: Time
  })
)

export const connections = (rows: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<Connection>> =>
  Effect.map(decodeConnectionRows(rows), (decoded) =>
    decoded.map(({ holder, memberId, memberOf, until, ...row }) => ({
      ...row,
      checkpoint: Arr.head(row.checkpoint),
      lease: holder === null || until === null ? null : { holder, until },
      member: memberOf === null || memberId === null ? null : { of: memberOf, externalId: memberId }
    }))
  )

export const taskColumns = `id, connection_id AS "connectionId", kind, task::text AS task, spec,
  to_json(external_ids)::text AS "externalIds", requested, ${checkpointColumn}, scope, created_at AS "createdAt",
  due_at AS "dueAt", failures, EXISTS (SELECT FROM run WHERE run.task_id = task.id) AS begun,
  finished_at AS "finishedAt", error_reason AS reason, error_message AS message`

const taskFields = {
  id: TaskId,
  connectionId: ConnectionId,
  kind: Schema.Literals(["sync", "retry"]),
  task: Schema.fromJsonString(Schema.toCodecJson(SyncTask)),
  spec: Schema.String,
  externalIds: nullOr(Schema.fromJsonString(Schema.Array(Schema.String))),
  requested: Schema.Boolean,
  checkpoint: Schema.Array(Schema.Json),
  scope: nullOr(Schema.String),
  createdAt: Time,
  dueAt: Time,
  failures: Schema.Int,
  begun: Schema.Boolean,
  finishedAt: nullOr(Time),
  reason: nullOr(Schema.String),
  message: nullOr(Schema.String)
}
const taskFieldNames = Struct.keys(taskFields)
const TaskFields = Schema.Struct(taskFields)
const decodeTaskRows = allRows(TaskFields)

const taskOf = ({ message, reason, ...row }: typeof TaskFields.Type): TaskRow => ({
  ...row,
  checkpoint: Arr.head(row.checkpoint),
  error: reason === null || message === null ? null : { reason, message }
})

export const encodeTask = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(SyncTask)))

export const tasks = (rows: unknown): Effect.Effect<ReadonlyArray<TaskRow>> =>
  Effect.map(decodeTaskRows(rows), (decoded) => decoded.map(taskOf))

const decodeTaskSummaries = allRows(
  Schema.Struct({
    ...taskFields,
    ...RunCounts.Counts.fields,
    lastRun: nullOr(RunId),
    notes: Schema.Array(Schema.String),
    problems: Problems
  })
)

export const taskSummaries = (rows: unknown): Effect.Effect<ReadonlyArray<TaskSummary>> =>
  Effect.map(decodeTaskSummaries(rows), (decoded) =>
    decoded.map((row) => ({
      task: taskOf(Struct.pick(row, taskFieldNames)),
      counts: Struct.pick(row, RunCounts.names),
      lastRun: row.lastRun,
      notes: row.notes,
      problems: row.problems
    }))
  )

export const countColumn = (name: keyof RunCounts.Counts): string =>
  name.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)

export const runColumns = `id, connection_id AS "connectionId", task_id AS "taskId", kind, status,
  ${RunCounts.names.map((name) => `${countColumn(name)}::float8 AS "${name}"`).join(", ")}, problems, notes,
  error_reason AS "reason", error_message AS "message", started_at AS "startedAt", finished_at AS "finishedAt"`

const decodeRunRows = allRows(
  Schema.Struct({
    id: RunId,
    connectionId: ConnectionId,
    taskId: nullOr(TaskId),
    kind: nullOr(RunKind),
    status: RunStatus,
    ...RunCounts.Counts.fields,
    problems: Problems,
    notes: Schema.Array(Schema.String),
    reason: nullOr(Schema.String),
    message: nullOr(Schema.String),
    startedAt: Time,
    finishedAt: nullOr(Time)
  })
)

export const runs = (rows: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<Run>> =>
  Effect.map(decodeRunRows(rows), (decoded) =>
    decoded.map(
      ({
        id,
        connectionId,
        taskId,
        kind,
        status,
        problems,
        notes,
        reason,
        message,
        startedAt,
        finishedAt,
        ...counts
      }) => ({
        id,
        connectionId,
        taskId,
        kind,
        status,
        counts,
        problems,
        notes,
        error: reason === null || message === null ? null : { reason, message },
        startedAt,
        finishedAt
      })
    )
  )

export const ledgerColumns = `external_id AS "externalId", pending AS state, tried_revision AS revision,
  coalesce(reason, '') AS reason, coalesce(message, '') AS message, attempts,
  CASE WHEN pending = 'failed' THEN next_attempt_at END AS "nextAttemptAt"`

const decodeLedgerRows = allRows(
  Schema.Struct({
    externalId: Schema.String,
    state: LedgerState,
    revision: nullOr(Schema.String),
    reason: Schema.String,
    message: Schema.String,
    attempts: Schema.Int,
    nextAttemptAt: nullOr(Time)
  })
)

export const ledger = (rows: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<LedgerRow>> =>
  Effect.map(decodeLedgerRows(rows), (decoded) =>
    decoded.map((row) => ({ ...row, revision: row.revision ?? undefined }))
  )

export const contentColumns = `external_id AS "externalId", kind, state, revision, encode(body_hash, 'hex') AS hash,
  size::float8 AS size, title, media_type AS "mediaType", occurred_at AS "occurredAt", metadata, volatile,
  created_at AS "createdAt", updated_at AS "updatedAt"`

export const contentFields = {
  externalId: Schema.String,
  kind: nullOr(Schema.String),
  state: ContentState,
  revision: nullOr(Schema.String),
  hash: nullOr(Schema.String),
  size: Schema.Int,
  title: nullOr(Schema.String),
  mediaType: nullOr(Schema.String),
  occurredAt: nullOr(Time),
  metadata: Schema.JsonObject,
  volatile: Schema.JsonObject,
  createdAt: Time,
  updatedAt: Time
}

export const contents: (rows: unknown) => Effect.Effect<ReadonlyArray<ContentRow>> = allRows(
  Schema.Struct(contentFields)
)
