/** Counts the rows that were read from each table, by scans of the table and by its indexes. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"

export const contentTables = ["content", "staged_deletion", "seen", "body", "totals"]
const tables = [...contentTables, "connection", "task", "run", "part", "webhook_message"]

const decode = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ table: Schema.String, scanned: Schema.Int, looked: Schema.Int }))
)

/** Requires a single session, whose own statistics are written before it queries them. */
export const reads = SqlClient.SqlClient.use((sql) =>
  Effect.gen(function* () {
    yield* sql`SELECT pg_stat_force_next_flush()`
    yield* sql`SELECT pg_stat_clear_snapshot()`
    const rows = yield* sql`SELECT relname AS table, seq_tup_read::int AS scanned,
        coalesce((SELECT sum(idx_tup_read) FROM pg_stat_user_indexes AS i WHERE i.relid = t.relid), 0)::int AS looked
      FROM pg_stat_user_tables AS t WHERE relname = ANY(${tables}) AND schemaname = 'public' ORDER BY relname`
    return yield* Effect.orDie(decode(rows))
  })
)

/** The sum over all tables. */
export const looked = Effect.map(reads, (tables) =>
  tables.reduce((sum, table) => sum + table.looked + table.scanned, 0)
)
