/** Checks the fence of a run, and locks the row of its connection. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { type Fence, Superseded } from "../../engine/store/Fence.ts"
import { CurrentEpoch } from "./FeedEpoch.ts"

/**
 * Makes the check of a fence: it locks the connection's row if the fence is current, and otherwise fails with
 * `Superseded`. This is the first statement of every transaction that writes for a run. It also limits how long a
 * process that is frozen inside its transaction holds the lock.
 *
 * After a failover that lost commits, the fence may be unchanged while pages of the run are lost. So the check also
 * fails until a new epoch has superseded every run.
 */
export const makeCheck: Effect.Effect<
  (fence: Fence) => Effect.Effect<void, SqlError | Superseded>,
  never,
  SqlClient.SqlClient | CurrentEpoch
> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { isCurrent } = yield* CurrentEpoch
  return (fence) =>
    Effect.flatMap(
      sql`SELECT set_config('idle_in_transaction_session_timeout', '10s', true)
        FROM connection WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)}
          AND EXISTS (SELECT 1 FROM meta WHERE ${isCurrent}) FOR NO KEY UPDATE`,
      failIfSuperseded(fence)
    )
})

/** Locks the connection's row for a write outside of a run. Returns false if the connection does not exist. */
export const lockConnection = (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId
): Effect.Effect<boolean, SqlError> =>
  Effect.map(sql`SELECT 1 FROM connection WHERE id = ${connectionId} FOR NO KEY UPDATE`, (rows) => rows.length > 0)

/** Fails with `Superseded` if the statement found no row. For statements with the fence in their condition. */
export const failIfSuperseded =
  (fence: Fence) =>
  (rows: ReadonlyArray<unknown>): Effect.Effect<void, Superseded> =>
    rows.length === 0 ? Effect.fail(new Superseded({ connectionId: fence.connectionId })) : Effect.void
