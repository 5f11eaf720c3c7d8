/** Sessions of browsers that were signed out before their end. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { Store } from "../../engine/Store.ts"
import { attempt, millis, transaction } from "./Sql.ts"

type Methods = Pick<Store["Service"], "endSession" | "isSessionEnded">

const hex = (text: string) => Buffer.from(text, "hex")

export const make: Effect.Effect<Methods, never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const inTransaction = transaction(sql)

  return {
    endSession: (hash, ttl) =>
      Effect.gen(function* () {
        yield* sql`DELETE FROM ended_session WHERE expires_at <= clock_timestamp()`
        yield* sql`INSERT INTO ended_session (hash, expires_at)
          VALUES (${hex(hash)}, clock_timestamp() + ${PgTypes.float8(millis(ttl))}::float8 * interval '1 millisecond')
          ON CONFLICT (hash) DO NOTHING`
      }).pipe(inTransaction, attempt("ending a session")),

    isSessionEnded: (hash) =>
      sql`SELECT 1 FROM ended_session WHERE hash = ${hex(hash)} AND expires_at > clock_timestamp()`.pipe(
        Effect.map((rows) => rows.length > 0),
        attempt("checking a session")
      )
  }
})
