/** Totals of one connection, and of the whole database with Idem's sessions in it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionState } from "../../engine/model/Connection.ts"
import { LedgerState } from "../../engine/model/Content.ts"
import { Totals } from "../../engine/model/Overview.ts"
import { OverviewStore } from "../../engine/store/OverviewStore.ts"
import { toStoreError } from "./SqlErrors.ts"
import { oneRow } from "./RowDecoders.ts"

type Methods = OverviewStore["Service"]

const decode = oneRow(
  Schema.Struct({
    connections: Schema.Array(
      Schema.Struct({
        domain: Schema.String,
        state: ConnectionState,
        count: Schema.Int
      })
    ),
    ledger: Schema.Array(
      Schema.Struct({
        domain: Schema.String,
        state: LedgerState,
        count: Schema.Int
      })
    ),
    deletionsHeld: Schema.Array(Schema.Struct({ domain: Schema.String, count: Schema.Int })),
    sessions: Schema.Array(Schema.Struct({ state: Schema.String, count: Schema.Int })),
    overdueSeconds: Schema.Finite
  })
)

const decodeTotals = oneRow(Totals)

/** Reads the overview in one statement. The sessions are those with the application name `idem` in this database. */
const query = `WITH summed AS (
    SELECT domain, sum(failed)::float8 AS failed, sum(dead)::float8 AS dead, sum(deferred)::float8 AS deferred,
      sum(deletions_held)::float8 AS held
    FROM totals JOIN connection ON connection.id = connection_id GROUP BY domain
  ), ledger AS (
    SELECT domain, state, count
    FROM summed, LATERAL (VALUES ('failed', failed), ('dead', dead), ('deferred', deferred)) AS each (state, count)
    WHERE count > 0
  ), held AS (
    SELECT domain, held AS count FROM summed WHERE held > 0
  ), connections AS (
    SELECT domain, CASE WHEN lease_until > clock_timestamp() THEN 'running' WHEN credentials IS NULL THEN 'disconnected'
      WHEN paused IS NOT NULL THEN 'paused' ELSE 'idle' END AS state, count(*) AS count
    FROM connection GROUP BY 1, 2
  ), sessions AS (
    SELECT coalesce(state, 'unknown') AS state, count(*) AS count FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'idem' GROUP BY 1
  )
  SELECT (SELECT coalesce(json_agg(connections), '[]') FROM connections) AS connections,
    (SELECT coalesce(json_agg(ledger), '[]') FROM ledger) AS ledger,
    (SELECT coalesce(json_agg(held), '[]') FROM held) AS "deletionsHeld",
    (SELECT coalesce(json_agg(sessions), '[]') FROM sessions) AS sessions,
    (SELECT greatest(0, coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0))::float8 FROM (
        SELECT due_at, paused IS NULL AS counts, lease_until FROM connection
        UNION ALL
        SELECT task.due_at, true, lease_until FROM task JOIN connection ON connection.id = connection_id
        WHERE requested AND finished_at IS NULL
      ) AS waiting WHERE counts AND (lease_until IS NULL OR lease_until <= clock_timestamp())) AS "overdueSeconds"`

const make: Effect.Effect<Methods, never, SqlClient.SqlClient> = Effect.map(SqlClient.SqlClient, (sql) => ({
  totals: (connectionId) =>
    sql`SELECT coalesce(sum(stored), 0)::float8 AS stored, coalesce(sum(failed), 0)::float8 AS failed,
        coalesce(sum(dead), 0)::float8 AS dead, coalesce(sum(deferred), 0)::float8 AS deferred,
        coalesce(sum(deleted), 0)::float8 AS deleted, coalesce(sum(bytes), 0)::float8 AS bytes,
        coalesce(sum(deletions_held), 0)::float8 AS "deletionsHeld"
      FROM totals WHERE connection_id = ${connectionId}`.pipe(
      Effect.flatMap(decodeTotals),
      toStoreError("reading totals")
    ),

  overview: sql.unsafe(query).pipe(Effect.flatMap(decode), toStoreError("looking at the whole"))
}))

export const layer: Layer.Layer<OverviewStore, never, SqlClient.SqlClient> = Layer.effect(OverviewStore, make)
