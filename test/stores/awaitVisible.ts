import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

/**
 * Waits until all transactions of the server that have written so far have ended, so that readers of the changes see
 * all of them.
 */
export const awaitVisible = SqlClient.SqlClient.use((sql) =>
  Effect.gen(function* () {
    const [now] = yield* sql<{ readonly xmax: string }>`SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xmax`
    for (;;) {
      const rows = yield* sql`SELECT 1 WHERE pg_snapshot_xmin(pg_current_snapshot()) >= ${now?.xmax ?? ""}::text::xid8`
      if (rows.length > 0) return
      yield* Effect.yieldNow
    }
  })
)
