/** Leases: acquiring, renewing and releasing them, and the connections that are due. */
import * as Arr from "effect/Array"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { LeaseStore } from "../../engine/store/LeaseStore.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import * as Storable from "../Storable.ts"
import { failIfSuperseded, lockConnection } from "./Fence.ts"
import * as Migrations from "./Migrations.ts"
import { interval } from "./Parameters.ts"
import { connectionColumns, connections as decodeConnections } from "./RowDecoders.ts"
import { interruptRuns } from "./RunStore.ts"
import { toStoreError } from "./SqlErrors.ts"
import { onOwnSession } from "./Transactions.ts"
import { Superseded } from "../../engine/store/Fence.ts"

const decodeDue = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.Struct({ connectionId: ConnectionId, dueAt: Schema.DateTimeUtcFromDate, requested: Schema.Boolean })
  )
)

const decodeWasHeld = Schema.decodeUnknownEffect(
  Schema.TupleWithRest(Schema.Tuple([Schema.Struct({ wasHeld: Schema.Boolean })]), [Schema.Unknown])
)

const decodeWaiting = Schema.decodeUnknownEffect(
  Schema.TupleWithRest(
    Schema.Tuple([
      Schema.Struct({
        acquiredAt: Schema.DateTimeUtcFromDate,
        waiting: Schema.Struct({ retries: Schema.Boolean, deletions: Schema.Boolean, deletionsHeld: Schema.Int })
      })
    ]),
    [Schema.Unknown]
  )
)

const isDue = (state: "failed" | "deferred") => `EXISTS (SELECT FROM content
  WHERE connection_id = connection.id AND pending = '${state}' AND next_attempt_at <= statement_timestamp())`

/** The work that waits for a run of the connection, read in the statement that acquires its lease. */
const waiting = `json_build_object(
  'retries', ${isDue("failed")} OR ${isDue("deferred")},
  'deletions', EXISTS (SELECT FROM staged_deletion WHERE connection_id = connection.id AND NOT held),
  'deletionsHeld', coalesce((SELECT deletions_held FROM totals WHERE connection_id = connection.id), 0)) AS waiting`

const storedText = (text: string | null): string | null => (text === null ? null : Storable.text(text))

const make: Effect.Effect<LeaseStore["Service"], never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const columns = sql.literal(connectionColumns)
  const waitingColumn = sql.literal(waiting)
  const onSession = onOwnSession(sql)
  const checkSchema = Effect.provideService(Migrations.checkNotNewer, SqlClient.SqlClient, sql)

  return {
    checkSchema,

    acquire: (connectionId, options) =>
      Effect.gen(function* () {
        const rows =
          yield* sql`UPDATE connection SET fence = fence + 1, lease_holder = ${Storable.text(options.holder)},
            lease_until = clock_timestamp() + ${interval(sql, options.ttl)},
            acquired_at = greatest(clock_timestamp(), acquired_at + interval '1 microsecond')
          FROM (SELECT id AS locked, lease_holder IS NOT NULL AS was_held FROM connection
            WHERE id = ${connectionId} FOR NO KEY UPDATE) AS was
          WHERE id = locked AND (lease_until IS NULL OR lease_until <= clock_timestamp()
              OR lease_holder = ${options.deadHolder ?? null})
            AND NOT EXISTS (SELECT FROM idem_migration WHERE migration_id > ${Migrations.supported})
          RETURNING was_held AS "wasHeld", clock_timestamp() AS "acquiredAt", ${columns}, ${waitingColumn}`
        if (rows.length === 0) {
          yield* Effect.catchTag(checkSchema, "SchemaTooNew", (cause) =>
            Effect.fail(new StoreError({ message: cause.message, cause }))
          )
          // If the row exists, another process took the lease while this one waited for the lock. Without the row, the
          // connection does not exist.
          if (yield* lockConnection(sql, connectionId)) return Option.none()
          return yield* new Superseded({ connectionId })
        }
        // Only a lease that was not released can leave a running run: the release ends the run too.
        const [{ wasHeld }] = yield* Effect.orDie(decodeWasHeld(rows))
        if (wasHeld) yield* interruptRuns(sql, connectionId)
        const [{ acquiredAt, waiting }] = yield* Effect.orDie(decodeWaiting(rows))
        return Option.map(Arr.head(yield* decodeConnections(rows)), (connection) => ({
          ...connection,
          acquiredAt,
          waiting
        }))
      }).pipe(onSession, toStoreError("taking a connection for a run")),

    renew: (fence, ttl) =>
      sql`UPDATE connection SET lease_until = clock_timestamp() + ${interval(sql, ttl)}
        WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} AND lease_holder IS NOT NULL
        RETURNING 1`.pipe(Effect.flatMap(failIfSuperseded(fence)), onSession, toStoreError("renewing a run's lease")),

    release: (fence, next) =>
      Effect.gen(function* () {
        const pollAt =
          next.pollIn === undefined ? sql`next_poll_at` : sql`clock_timestamp() + ${interval(sql, next.pollIn)}`
        const dueAt =
          next.retriesWait === true
            ? pollAt
            : sql`least(${pollAt}, (SELECT min(next_attempt_at) FROM content
                WHERE connection_id = ${fence.connectionId} AND pending = 'failed'))`
        const askedUntil =
          next.askedWait === undefined
            ? sql`asked_wait_until`
            : next.askedWait === null
              ? sql`NULL`
              : sql`clock_timestamp() + ${interval(sql, next.askedWait)}`
        const problems = next.problems === undefined ? null : JSON.stringify(Storable.problems(next.problems))
        const paused =
          next.paused === undefined
            ? sql`paused`
            : sql`CASE WHEN paused IS NOT DISTINCT FROM ${storedText(next.paused.from)}::text
                THEN ${storedText(next.paused.to)} ELSE paused END`
        const released = sql`UPDATE connection SET lease_holder = NULL, lease_until = NULL,
            failures = coalesce(${PgTypes.int4(next.failures ?? null)}, failures),
            reading_since = CASE WHEN ${next.changesRead === true} THEN NULL ELSE reading_since END,
            paused = ${paused},
            last_checked_at = ${next.checked === true ? sql`clock_timestamp()` : sql`last_checked_at`},
            problems = problems || coalesce(${problems}::jsonb, '{}'),
            next_poll_at = ${pollAt},
            asked_wait_until = ${askedUntil},
            due_at = ${dueAt}
          WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} RETURNING 1`
        // In one statement, so that a run that begins once the lease is free is not marked.
        yield* next.interrupted === true
          ? sql`WITH released AS (${released}) ${interruptRuns(sql, fence.connectionId)}
              AND EXISTS (SELECT FROM released)`
          : released
      }).pipe(onSession, toStoreError("ending a run's lease")),

    due: (limit) =>
      // A connection that is due for both is returned once, so that its many tasks do not hide other connections. An
      // index can be searched for the statement's time, but not for the clock's, which advances during the statement.
      sql`SELECT id AS "connectionId", min(due_at) AS "dueAt", bool_or(requested) AS requested FROM (
          (SELECT id, due_at, false AS requested FROM connection
            WHERE paused IS NULL AND due_at <= statement_timestamp()
              AND (lease_until IS NULL OR lease_until <= statement_timestamp())
            ORDER BY due_at LIMIT ${limit})
          UNION ALL
          (SELECT connection.id, task.due_at, true FROM (
              SELECT connection_id, min(due_at) AS due_at FROM task
              WHERE requested AND finished_at IS NULL AND due_at <= statement_timestamp() GROUP BY connection_id
            ) AS task JOIN connection ON connection.id = connection_id
            WHERE lease_until IS NULL OR lease_until <= statement_timestamp()
            ORDER BY task.due_at LIMIT ${limit})
        ) AS either GROUP BY id ORDER BY min(due_at) LIMIT ${limit}`.pipe(
        Effect.flatMap((rows) => Effect.orDie(decodeDue(rows))),
        toStoreError("looking for connections that are due")
      )
  }
})

export const layer: Layer.Layer<LeaseStore, never, SqlClient.SqlClient> = Layer.effect(LeaseStore, make)
