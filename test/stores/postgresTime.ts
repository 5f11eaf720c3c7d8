/** Simulates the passing of time over PostgreSQL, and waits until writes are visible. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { Time, AwaitVisible } from "./scenario.ts"
import { awaitVisible } from "./awaitVisible.ts"

/** Simulates the passing of time by making all stored times older. */
const time = Layer.effect(
  Time,
  SqlClient.SqlClient.use((sql) =>
    Effect.succeed({
      pass: (by: Duration.Duration) =>
        Effect.gen(function* () {
          // The rows of a partition are updated through the partitioned table.
          const columns = yield* sql<{ readonly table: string; readonly column: string }>`
            SELECT table_name AS table, column_name AS column FROM information_schema.columns
            WHERE table_schema = 'public' AND data_type = 'timestamp with time zone' AND table_name <> 'idem_migration'
              AND column_name <> 'occurred_at'
              AND table_name NOT IN (SELECT relname FROM pg_class WHERE relispartition)`
          for (const { column, table } of columns) {
            yield* sql`UPDATE ${sql(table)} SET ${sql(column)} =
              ${sql(column)} - ${Duration.toMillis(by)}::float8 * interval '1 millisecond'`
          }
        }).pipe(Effect.orDie)
    })
  )
)

const waiting = Layer.effect(
  AwaitVisible,
  SqlClient.SqlClient.use((sql) =>
    Effect.succeed(Effect.orDie(Effect.provideService(awaitVisible, SqlClient.SqlClient, sql)))
  )
)

export const layer = Layer.merge(time, waiting)
