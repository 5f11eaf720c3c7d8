/** Browser sessions that were signed out before they expired. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { SessionStore } from "../../engine/store/SessionStore.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"
import { fromHex, interval } from "./Parameters.ts"

type Methods = SessionStore["Service"]

const make: Effect.Effect<Methods, never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const inTransaction = transaction(sql)

  return {
    endSession: (hash, ttl) =>
      Effect.gen(function* () {
        yield* sql`DELETE FROM ended_session WHERE expires_at <= clock_timestamp()`
        yield* sql`INSERT INTO ended_session (hash, expires_at)
          VALUES (${fromHex(hash)}, clock_timestamp() + ${interval(sql, ttl)})
          ON CONFLICT (hash) DO NOTHING`
      }).pipe(inTransaction, toStoreError("ending a session")),

    isSessionEnded: (hash) =>
      sql`SELECT 1 FROM ended_session WHERE hash = ${fromHex(hash)} AND expires_at > clock_timestamp()`.pipe(
        Effect.map((rows) => rows.length > 0),
        toStoreError("checking a session")
      )
  }
})

export const layer: Layer.Layer<SessionStore, never, SqlClient.SqlClient> = Layer.effect(SessionStore, make)
