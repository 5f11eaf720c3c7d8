/** Runs: their status, counts, problems and notes. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Struct from "effect/Struct"
import type { Fragment } from "effect/sql/Statement"
import type { Problem } from "../../contract/Page.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { maxKept, type RunId } from "../../engine/model/Run.ts"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import { RunStore } from "../../engine/store/RunStore.ts"
import * as Storable from "../Storable.ts"
import { allRows, countColumn, runColumns, runs as decodeRuns } from "./RowDecoders.ts"
import type { CurrentEpoch } from "./FeedEpoch.ts"
import { makeCheck } from "./Fence.ts"
import { type After, atOnce, inSteps, stepOf } from "./RemovalSteps.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"
import { interval } from "./Parameters.ts"

type Methods = RunStore["Service"]

/** Adds to a run's counts and problems. If the run was never begun, that is a defect of the caller. */
export const addToRun = (
  sql: SqlClient.SqlClient,
  runId: RunId,
  counts: Partial<RunCounts.Counts>,
  problems: ReadonlyArray<Problem>,
  also?: Fragment
) => {
  // Sets all counts, changed or not, so that there is one statement to prepare instead of one for each combination.
  const sets = RunCounts.names.map((name) => {
    const column = sql.literal(countColumn(name))
    return sql`${column} = ${column} + ${PgTypes.float8(counts[name] ?? 0)}`
  })
  const kept = problems.slice(0, maxKept).map(Storable.problem)
  sets.push(
    sql`problems = jsonb_path_query_array(problems || ${JSON.stringify(kept)}::jsonb, ${`$[0 to ${maxKept - 1}]`}::jsonpath)`
  )
  const all = also === undefined ? sets : [...sets, also]
  return Effect.flatMap(sql`UPDATE run SET ${sql.join(", ", false)(all)} WHERE id = ${runId} RETURNING 1`, (rows) =>
    rows.length === 0 ? Effect.die(new Error(`run ${runId} was not begun`)) : Effect.void
  )
}

/** Marks runs that are still `running` as `interrupted`: their lease has ended, so they were cut off. */
export const interruptRuns = (sql: SqlClient.SqlClient, connectionId: ConnectionId) => sql`
  UPDATE run SET status = 'interrupted', finished_at = clock_timestamp()
  WHERE connection_id = ${connectionId} AND status = 'running'`

/** Removes old runs, except the last one of a connection: the step passes it. */
const pruneRuns = (sql: SqlClient.SqlClient, olderThan: Duration.Duration, after: After) => sql`
  WITH old AS MATERIALIZED (
      SELECT id, connection_id, started_at, finished_at AS at FROM run
      WHERE finished_at < clock_timestamp() - ${interval(sql, olderThan)}
        AND (finished_at, id) > (${after.at}::timestamptz, ${after.id})
      ORDER BY finished_at, id LIMIT ${atOnce}),
    removed AS (DELETE FROM run WHERE id IN (
        SELECT id FROM old WHERE EXISTS (SELECT 1 FROM run AS later
          WHERE later.connection_id = old.connection_id AND later.started_at > old.started_at))
      RETURNING 1)
  SELECT ${stepOf(sql)}`

/** Removes old tasks without progress, with their rows in other tables, except tasks that wait for a process. */
const pruneTasks = (sql: SqlClient.SqlClient, olderThan: Duration.Duration, after: After) => {
  const before = sql`clock_timestamp() - ${interval(sql, olderThan)}`
  return sql`
    WITH old AS MATERIALIZED (
        SELECT id, created_at AS at FROM task
        WHERE created_at < ${before} AND (created_at, id) > (${after.at}::timestamptz, ${after.id}::uuid)
        ORDER BY created_at, id LIMIT ${atOnce}),
      removed AS (DELETE FROM task WHERE id IN (SELECT id FROM old)
          AND moved_at < ${before} AND NOT (requested AND finished_at IS NULL)
        RETURNING id, connection_id),
      keys AS (DELETE FROM task_key WHERE task_id IN (SELECT id FROM removed)),
      parts AS (DELETE FROM part USING removed
        WHERE part.connection_id = removed.connection_id AND part.owner_id = removed.id),
      done AS (DELETE FROM task_done WHERE task_id IN (SELECT id FROM removed))
    SELECT ${stepOf(sql)}`
}

/** The counts in the statistics by hour. */
const byHour = ["stored", "updated", "unchanged", "failed", "deleted", "apiCalls", "quotaUnits"] as const

const decodeHours = allRows(
  Schema.Struct({
    hour: Schema.DateTimeUtcFromDate,
    runs: Schema.Int,
    ...Struct.pick(RunCounts.Counts.fields, byHour)
  })
)

const make: Effect.Effect<Methods, never, SqlClient.SqlClient | CurrentEpoch> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const checkFence = yield* makeCheck
  const inTransaction = transaction(sql)
  const ofRun = sql.literal(runColumns)
  const summed = sql.literal(byHour.map((name) => `sum(${countColumn(name)})::float8 AS "${name}"`).join(", "))
  const filled = sql.literal(byHour.map((name) => `coalesce("${name}", 0) AS "${name}"`).join(", "))

  return {
    beginRun: (fence, run) =>
      Effect.gen(function* () {
        yield* checkFence(fence)
        yield* sql`INSERT INTO run (id, connection_id, task_id, kind, status)
          VALUES (${run.runId}, ${fence.connectionId}, ${run.taskId ?? null}, ${run.kind ?? null}, 'running') ON CONFLICT (id) DO NOTHING`
      }).pipe(inTransaction, toStoreError("beginning a run")),

    finishRun: (fence, run) =>
      Effect.gen(function* () {
        yield* checkFence(fence)
        const notes = JSON.stringify(run.notes.slice(0, maxKept).map(Storable.text))
        yield* addToRun(
          sql,
          run.runId,
          run.counts,
          [],
          sql`status = ${run.status}, finished_at = clock_timestamp(), notes = ${notes}::jsonb,
            error_reason = ${run.error === null ? null : Storable.text(run.error.reason)},
            error_message = ${run.error === null ? null : Storable.text(run.error.message)}`
        )
      }).pipe(inTransaction, toStoreError("ending a run")),

    run: (runId) =>
      Storable.isId(runId)
        ? sql`SELECT ${ofRun} FROM run WHERE id = ${runId}`.pipe(
            Effect.flatMap(decodeRuns),
            Effect.map((rows) => Option.fromUndefinedOr(rows[0])),
            toStoreError("reading a run")
          )
        : Effect.succeedNone,

    pruneRuns: (olderThan) =>
      Effect.gen(function* () {
        const removed = yield* inSteps(sql, (after) => pruneRuns(sql, olderThan, after))
        yield* inSteps(sql, (after) => pruneTasks(sql, olderThan, after))
        return removed
      }).pipe(toStoreError("removing old runs")),

    runs: (connectionId, limit) =>
      sql`SELECT ${ofRun} FROM run WHERE connection_id = ${connectionId}
        ORDER BY started_at DESC, id DESC LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeRuns),
        toStoreError("reading the runs of a connection")
      ),

    statistics: (connectionId, hours) =>
      sql`WITH last AS (SELECT date_trunc('hour', statement_timestamp(), 'UTC') AS hour),
          began AS (SELECT hour - ${PgTypes.int4(hours - 1)} * interval '1 hour' AS hour FROM last),
          ran AS (SELECT date_trunc('hour', started_at, 'UTC') AS hour, count(*)::float8 AS runs, ${summed} FROM run
            WHERE connection_id = ${connectionId} AND started_at >= (SELECT hour FROM began) GROUP BY 1)
        SELECT each.hour, coalesce(runs, 0) AS runs, ${filled}
        FROM generate_series((SELECT hour FROM began), (SELECT hour FROM last), interval '1 hour') AS each (hour)
        LEFT JOIN ran USING (hour) ORDER BY each.hour`.pipe(
        Effect.flatMap(decodeHours),
        toStoreError("summing up the runs of a connection")
      )
  } satisfies Methods
})

export const layer: Layer.Layer<RunStore, never, SqlClient.SqlClient | CurrentEpoch> = Layer.effect(RunStore, make)
