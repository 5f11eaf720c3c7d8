import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

/** Makes a migration that runs these statements in order. */
export const statements = (all: ReadonlyArray<string>) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.forEach(all, (statement) => sql.unsafe(statement).unprepared, { discard: true })
  )
