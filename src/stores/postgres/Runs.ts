/** Runs and tasks. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import type { Problem } from "../../contract/Page.ts"
import { type Counts, type RunId, type Store, StoreError } from "../../engine/Store.ts"
import * as Storable from "../Storable.ts"
import { countColumn, countNames, encodeTask, runColumns, runs as decodeRuns, taskColumns, tasks } from "./Rows.ts"
import { attempt, checkFence, lockConnection, millis, texts, transaction } from "./Sql.ts"

type Methods = Pick<
  Store["Service"],
  "beginRun" | "finishRun" | "run" | "pruneRuns" | "runs" | "openTask" | "openTasks" | "taskDone" | "finishTask"
>

/** How many problems, and how many notes, a run keeps. */
const maxKept = 100

/** Adds to a run's counts and problems. A run that was never begun is a mistake of the caller: a defect. */
export const addToRun = (
  sql: SqlClient.SqlClient,
  runId: RunId,
  counts: Partial<Counts>,
  problems: ReadonlyArray<Problem>,
  also?: Fragment
) => {
  // All of them, whether they change or not: one statement to prepare instead of one for each choice of counts.
  const sets = countNames.map((name) => {
    const column = sql.literal(countColumn(name))
    return sql`${column} = ${column} + ${PgTypes.float8(counts[name] ?? 0)}`
  })
  const kept = problems.slice(0, maxKept).map(({ place, message }) => ({
    place: Storable.text(place),
    message: Storable.text(message)
  }))
  sets.push(sql`problems = jsonb_path_query_array(problems || ${JSON.stringify(kept)}::jsonb, '$[0 to 99]')`)
  const all = also === undefined ? sets : [...sets, also]
  return Effect.flatMap(sql`UPDATE run SET ${sql.join(", ", false)(all)} WHERE id = ${runId} RETURNING 1`, (rows) =>
    rows.length === 0 ? Effect.die(new Error(`run ${runId} was not begun`)) : Effect.void
  )
}

const decodeIds = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String })))

export const make: Effect.Effect<Methods, never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const inTransaction = transaction(sql)
  const ofRun = sql.literal(runColumns)
  const ofTask = sql.literal(taskColumns)

  return {
    beginRun: (fence, run) =>
      Effect.gen(function* () {
        yield* checkFence(sql, fence)
        yield* sql`INSERT INTO run (id, connection_id, task_id, status)
          VALUES (${run.runId}, ${fence.connectionId}, ${run.taskId ?? null}, 'running') ON CONFLICT (id) DO NOTHING`
      }).pipe(inTransaction, attempt("beginning a run")),

    finishRun: (fence, run) =>
      Effect.gen(function* () {
        yield* checkFence(sql, fence)
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
      }).pipe(inTransaction, attempt("ending a run")),

    run: (runId) =>
      sql`SELECT ${ofRun} FROM run WHERE id = ${runId}`.pipe(
        Effect.flatMap(decodeRuns),
        Effect.map((rows) => Option.fromUndefinedOr(rows[0])),
        attempt("reading a run")
      ),

    pruneRuns: (olderThan) =>
      Effect.gen(function* () {
        const before = sql`clock_timestamp() - ${PgTypes.float8(millis(olderThan))}::float8 * interval '1 millisecond'`
        const rows = yield* sql`DELETE FROM run WHERE finished_at < ${before} AND EXISTS (
            SELECT 1 FROM run AS later
            WHERE later.connection_id = run.connection_id AND later.started_at > run.started_at)
          RETURNING 1`
        yield* sql`WITH old AS (DELETE FROM task WHERE moved_at < ${before} RETURNING id)
          DELETE FROM task_done WHERE task_id IN (SELECT id FROM old)`
        return rows.length
      }).pipe(attempt("removing old runs")),

    runs: (connectionId, limit) =>
      sql`SELECT ${ofRun} FROM run WHERE connection_id = ${connectionId}
        ORDER BY started_at DESC, id DESC LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeRuns),
        attempt("reading the runs of a connection")
      ),

    openTask: (connectionId, { resumeWithin, spec, task }) =>
      Effect.gen(function* () {
        // Two who ask for the same at once get the same task.
        if (!(yield* lockConnection(sql, connectionId))) {
          const message = "beginning a task: the connection is gone"
          return yield* new StoreError({ message, cause: message })
        }
        const open = yield* sql`UPDATE task SET moved_at = clock_timestamp() WHERE id = (
            SELECT id FROM task WHERE connection_id = ${connectionId} AND finished_at IS NULL
              AND spec = ${Storable.text(spec)}
              AND moved_at > clock_timestamp() - ${PgTypes.float8(millis(resumeWithin))}::float8 * interval '1 millisecond'
            ORDER BY created_at DESC LIMIT 1)
          RETURNING ${ofTask}`
        const rows =
          open.length > 0
            ? open
            : yield* sql`INSERT INTO task (connection_id, task, spec)
                VALUES (${connectionId}, ${encodeTask(task)}::json, ${Storable.text(spec)}) RETURNING ${ofTask}`
        const [row] = yield* tasks(rows)
        return yield* Effect.orDie(Effect.fromNullishOr(row))
      }).pipe(inTransaction, attempt("beginning a task")),

    openTasks: (connectionId) =>
      sql`SELECT ${ofTask} FROM task WHERE connection_id = ${connectionId} AND finished_at IS NULL
        ORDER BY created_at, id`.pipe(Effect.flatMap(tasks), attempt("reading open tasks")),

    taskDone: (taskId) =>
      sql`SELECT external_id AS id FROM task_done WHERE task_id = ${taskId}`.pipe(
        Effect.flatMap((rows) => Effect.orDie(decodeIds(rows))),
        Effect.map((rows) => new Set(rows.map(({ id }) => id))),
        attempt("reading what a task has done")
      ),

    finishTask: (fence, taskId) =>
      Effect.gen(function* () {
        yield* checkFence(sql, fence)
        yield* sql`UPDATE task SET finished_at = clock_timestamp()
          WHERE id = ${taskId} AND connection_id = ${fence.connectionId} AND finished_at IS NULL`
        yield* sql`DELETE FROM task_done WHERE task_id = ${taskId}`
      }).pipe(inTransaction, attempt("ending a task"))
  } satisfies Methods
})

/** Records what is done of a task, and moves it, in a transaction that holds the fence. */
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
  // The checkpoint now stands for what its pages listed; the task's own ids have no other record.
  yield* sql`DELETE FROM task_done WHERE task_id = ${taskId} AND external_id NOT IN (
    SELECT json_array_elements_text(task -> 'forceIds') FROM task WHERE id = ${taskId})`
})
