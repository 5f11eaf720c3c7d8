/** Tasks: those that commands open, and the queue of requested ones. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { maxKept } from "../../engine/model/Run.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import { resumes, TaskId, type TaskRequest } from "../../engine/model/Task.ts"
import { TaskStore } from "../../engine/store/TaskStore.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import * as Storable from "../Storable.ts"
import { allRows, countColumn, encodeTask, ids as decodeIds, taskColumns, tasks, taskSummaries } from "./RowDecoders.ts"
import type { CurrentEpoch } from "./FeedEpoch.ts"
import { lockConnection, makeCheck } from "./Fence.ts"
import { interval, isUuid, texts } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"

type Methods = TaskStore["Service"]

const decodeConnected = allRows(Schema.Struct({ connected: Schema.Boolean }))
const decodeKnown = allRows(Schema.Struct({ same: Schema.Boolean, id: TaskId }))

// Held deletions are a state and not a sum: the number of the last run is used.
const sums = RunCounts.names
  .map((name) =>
    name === "deletionsHeld"
      ? `coalesce((array_agg(deletions_held ORDER BY started_at DESC) FILTER (WHERE deletions_held > 0))[1], 0)::float8
          AS "deletionsHeld"`
      : `coalesce(sum(${countColumn(name)}), 0)::float8 AS "${name}"`
  )
  .join(", ")

/** The notes or problems of all runs of a task, the earliest first, at most `maxKept`. */
const kept = (column: "notes" | "problems") => `(SELECT coalesce(jsonb_agg(item), '[]') FROM (
  SELECT item FROM run, jsonb_array_elements(run.${column}) AS item WHERE run.task_id = task.id
  ORDER BY run.started_at LIMIT ${maxKept}) AS kept) AS ${column}`

const make: Effect.Effect<Methods, never, SqlClient.SqlClient | CurrentEpoch> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const checkFence = yield* makeCheck
  const inTransaction = transaction(sql)
  const ofTask = sql.literal(taskColumns)
  const first = (rows: unknown) => Effect.map(tasks(rows), ([row]) => Option.fromUndefinedOr(row))
  const one = (rows: unknown) => Effect.flatMap(first(rows), (row) => Effect.orDie(Effect.fromOption(row)))
  const byId = (id: TaskId) => Effect.flatMap(sql`SELECT ${ofTask} FROM task WHERE id = ${id}`, first)

  /**
   * Returns the open task of an earlier request for the same, if any. The task becomes due now, unless it waits for a
   * quota.
   */
  const reuseOpenTask = Effect.fnUntraced(function* (connectionId: ConnectionId, request: TaskRequest) {
    const sameIds = request.externalIds === null ? sql`IS NULL` : sql`= ${texts(request.externalIds)}`
    const unbegun = resumes(request) ? sql`` : sql`AND NOT EXISTS (SELECT FROM run WHERE run.task_id = task.id)`
    const rows = yield* sql`UPDATE task SET requested = true, moved_at = clock_timestamp(), failures = 0,
        due_at = CASE WHEN requested AND failures = 0 THEN due_at ELSE clock_timestamp() END
      WHERE id = (
        SELECT id FROM task WHERE connection_id = ${connectionId} AND finished_at IS NULL AND kind = ${request.kind}
          AND spec = ${Storable.text(request.spec)} AND external_ids ${sameIds}
          AND (requested OR moved_at > clock_timestamp() - ${interval(sql, request.resumeWithin)}) ${unbegun}
        ORDER BY requested DESC, created_at DESC LIMIT 1)
      RETURNING ${ofTask}`
    return yield* first(rows)
  })

  /** Makes a new task. It resumes from the last task with the same text if that task failed. */
  const begin = Effect.fnUntraced(function* (connectionId: ConnectionId, request: TaskRequest) {
    const { externalIds, kind, task } = request
    const spec = Storable.text(request.spec)
    const last = yield* sql`SELECT id FROM (
        SELECT id, error_reason FROM task WHERE connection_id = ${connectionId} AND kind = 'sync' AND spec = ${spec}
          AND finished_at > clock_timestamp() - ${interval(sql, request.resumeWithin)}
        ORDER BY created_at DESC LIMIT 1) AS last
      WHERE error_reason IS NOT NULL`
    const [failed] = resumes(request) ? yield* decodeIds(last) : []
    const before = failed?.id ?? null
    const rows =
      yield* sql`INSERT INTO task (connection_id, kind, task, spec, external_ids, requested, checkpoint, scope)
      VALUES (${connectionId}, ${kind}, ${encodeTask(task)}::json, ${spec},
        ${externalIds === null ? null : texts(externalIds)}, true,
        (SELECT checkpoint FROM task WHERE id = ${before}), (SELECT scope FROM task WHERE id = ${before}))
      RETURNING ${ofTask}`
    const row = yield* one(rows)
    if (before !== null) {
      yield* sql`UPDATE task_done SET task_id = ${row.id} WHERE task_id = ${before}`
      yield* sql`UPDATE part SET owner_id = ${row.id} WHERE connection_id = ${connectionId} AND owner_id = ${before}`
    }
    return row
  })

  return {
    openTask: (connectionId, { resumeWithin, spec, task }) =>
      Effect.gen(function* () {
        // With this lock, simultaneous requests for the same task get one task.
        if (!(yield* lockConnection(sql, connectionId))) {
          const message = "beginning a task: the connection is gone"
          return yield* new StoreError({ message, cause: message })
        }
        const open = yield* sql`UPDATE task SET moved_at = clock_timestamp() WHERE id = (
            SELECT id FROM task WHERE connection_id = ${connectionId} AND finished_at IS NULL AND NOT requested
              AND spec = ${Storable.text(spec)} AND moved_at > clock_timestamp() - ${interval(sql, resumeWithin)}
            ORDER BY created_at DESC LIMIT 1)
          RETURNING ${ofTask}`
        const rows =
          open.length > 0
            ? open
            : yield* sql`INSERT INTO task (connection_id, task, spec)
                VALUES (${connectionId}, ${encodeTask(task)}::json, ${Storable.text(spec)}) RETURNING ${ofTask}`
        return yield* one(rows)
      }).pipe(inTransaction, toStoreError("beginning a task")),

    openTasks: (connectionId) =>
      sql`SELECT ${ofTask} FROM task WHERE connection_id = ${connectionId} AND finished_at IS NULL AND NOT requested
        ORDER BY created_at, id`.pipe(Effect.flatMap(tasks), toStoreError("reading open tasks")),

    taskDone: (taskId) =>
      sql`SELECT external_id AS id FROM task_done WHERE task_id = ${taskId}`.pipe(
        Effect.flatMap(decodeIds),
        Effect.map((rows) => new Set(rows.map(({ id }) => id))),
        toStoreError("reading what a task has done")
      ),

    finishTask: (fence, taskId, error = null) =>
      Effect.gen(function* () {
        yield* checkFence(fence)
        yield* sql`UPDATE task SET finished_at = clock_timestamp(),
            error_reason = ${error === null ? null : Storable.text(error.reason)},
            error_message = ${error === null ? null : Storable.text(error.message)}
          WHERE id = ${taskId} AND connection_id = ${fence.connectionId} AND finished_at IS NULL`
        if (error !== null) return
        yield* sql`DELETE FROM task_done WHERE task_id = ${taskId}`
        yield* sql`DELETE FROM part WHERE connection_id = ${fence.connectionId} AND owner_id = ${taskId}`
      }).pipe(inTransaction, toStoreError("ending a task")),

    requestTask: (connectionId, request) =>
      Effect.gen(function* () {
        // The lock makes the second of two simultaneous requests find the task of the first.
        const [connection] = yield* Effect.flatMap(
          sql`SELECT credentials IS NOT NULL AS connected FROM connection WHERE id = ${connectionId} FOR NO KEY UPDATE`,
          decodeConnected
        )
        if (connection === undefined) return { _tag: "Gone" } as const
        const { key } = request
        const digest = key === undefined ? null : Buffer.from(key.digest, "hex")
        if (key !== undefined) {
          const [known] = yield* Effect.flatMap(
            sql`SELECT digest = ${PgTypes.bytea(digest)} AS same, task_id AS id FROM task_key
              WHERE connection_id = ${connectionId} AND key = ${Storable.text(key.key)}`,
            decodeKnown
          )
          if (known !== undefined && !known.same) return { _tag: "KeyTaken" } as const
          const before = known === undefined ? Option.none() : yield* byId(known.id)
          if (Option.isSome(before)) return { _tag: "Requested", task: before.value } as const
        }
        if (!connection.connected) return { _tag: "Disconnected" } as const
        const open = yield* reuseOpenTask(connectionId, request)
        const task = Option.isSome(open) ? open.value : yield* begin(connectionId, request)
        if (key !== undefined) {
          yield* sql`INSERT INTO task_key (connection_id, key, digest, task_id)
            VALUES (${connectionId}, ${Storable.text(key.key)}, ${PgTypes.bytea(digest)}, ${task.id})`
        }
        return { _tag: "Requested", task } as const
      }).pipe(inTransaction, toStoreError("requesting a task")),

    task: (taskId) => (isUuid(taskId) ? toStoreError("reading a task")(byId(taskId)) : Effect.succeedNone),

    nextTask: (connectionId) =>
      sql`SELECT ${ofTask} FROM task WHERE connection_id = ${connectionId} AND finished_at IS NULL AND requested
        AND due_at <= clock_timestamp() ORDER BY due_at, created_at, id LIMIT 1`.pipe(
        Effect.flatMap(first),
        toStoreError("looking for a task that is due")
      ),

    requeueTask: (fence, taskId, next) =>
      Effect.gen(function* () {
        yield* checkFence(fence)
        const checkpoint = next.checkpoint === undefined ? null : JSON.stringify(next.checkpoint)
        yield* sql`UPDATE task SET due_at = clock_timestamp() + ${interval(sql, next.dueIn)}, moved_at = clock_timestamp(),
            failures = ${PgTypes.int4(next.failures)}, checkpoint = coalesce(${checkpoint}::json, checkpoint)
          WHERE id = ${taskId} AND connection_id = ${fence.connectionId} AND finished_at IS NULL`
      }).pipe(inTransaction, toStoreError("queueing a task again")),

    taskSummaries: (connectionId, { limit, taskId }) =>
      taskId !== undefined && !isUuid(taskId)
        ? Effect.succeed([])
        : sql`SELECT ${ofTask}, ran.*, ${sql.literal(kept("notes"))}, ${sql.literal(kept("problems"))}
            FROM task, LATERAL (SELECT (array_agg(run.id ORDER BY started_at DESC, run.id DESC))[1] AS "lastRun",
              ${sql.literal(sums)} FROM run WHERE run.task_id = task.id) AS ran
            WHERE connection_id = ${connectionId} ${taskId === undefined ? sql`` : sql`AND id = ${taskId}`}
            ORDER BY created_at DESC, id DESC LIMIT ${limit}`.pipe(
            Effect.flatMap(taskSummaries),
            toStoreError("reading the tasks of a connection")
          )
  } satisfies Methods
})

/** Records a task's done ids and moves it, in a transaction that holds the fence. */
export const moveTask = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  taskId: string,
  done: ReadonlyArray<string>,
  end: { readonly checkpoint: Schema.Json; readonly scope: string } | undefined
) {
  if (done.length > 0) {
    yield* sql`INSERT INTO task_done (task_id, external_id) SELECT ${taskId}::uuid, * FROM unnest(${texts(done)})
      ON CONFLICT DO NOTHING`
  }
  if (end === undefined) {
    yield* sql`UPDATE task SET moved_at = clock_timestamp() WHERE id = ${taskId}`
    return
  }
  yield* sql`UPDATE task SET moved_at = clock_timestamp(), checkpoint = ${JSON.stringify(end.checkpoint)}::json,
    scope = ${end.scope} WHERE id = ${taskId}`
  // The checkpoint now covers the ids of the pages. The task's own `forceIds` are recorded nowhere else.
  yield* sql`DELETE FROM task_done WHERE task_id = ${taskId} AND external_id NOT IN (
    SELECT json_array_elements_text(task -> 'forceIds') FROM task WHERE id = ${taskId})`
})

export const layer: Layer.Layer<TaskStore, never, SqlClient.SqlClient | CurrentEpoch> = Layer.effect(TaskStore, make)
