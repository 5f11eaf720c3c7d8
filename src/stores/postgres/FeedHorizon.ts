/** The transaction that the feed of changes waits for: the oldest in the server that writes, or is prepared. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { FeedHolder } from "../../engine/model/Change.ts"

const decode = Schema.decodeUnknownEffect(Schema.Array(FeedHolder))

/**
 * Returns the holder of the feed's horizon, or null if nothing writes. A role without `pg_read_all_stats` sees its own
 * sessions only. The transaction of this statement is not counted.
 */
export const holder = (sql: SqlClient.SqlClient): Effect.Effect<FeedHolder | null, SqlError> =>
  Effect.flatMap(
    sql`SELECT seconds, process, application FROM (
        SELECT backend_xid AS xid, pid AS process, application_name AS application,
          greatest(0, extract(epoch FROM clock_timestamp() - xact_start))::float8 AS seconds
        FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
        UNION ALL
        SELECT transaction, NULL, 'prepared transaction ' || gid,
          greatest(0, extract(epoch FROM clock_timestamp() - prepared))::float8
        FROM pg_prepared_xacts
      ) AS writing ORDER BY age(xid) DESC LIMIT 1`,
    (rows) => Effect.map(Effect.orDie(decode(rows)), ([found]) => found ?? null)
  )
