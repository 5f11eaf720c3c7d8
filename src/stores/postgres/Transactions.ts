/** Runs statements in a transaction, or on a session of their own. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import type { StoreError } from "../../engine/store/StoreError.ts"
import { lostConnection } from "./SqlErrors.ts"

const isLost = <E>(error: E): boolean =>
  isSqlError(error) && (error.reason._tag === "DeadlockError" || error.reason._tag === "SerializationError")

/**
 * Runs the effect in one transaction. If both the effect and the rollback fail, the client reports both as defects:
 * then the effect's own failure is restored. A commit or a rollback on a broken connection fails with the error that
 * broke it.
 */
export const transactionOnce =
  (sql: SqlClient.SqlClient) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError | StoreError, R> =>
    Effect.suspend(() => {
      let failure: { readonly error: E } | undefined
      const remembering = Effect.tapError(effect, (error) => Effect.sync(() => void (failure = { error })))
      return Effect.catchDefect(
        sql.withTransaction(remembering),
        (defect): Effect.Effect<never, E | SqlError | StoreError> =>
          failure !== undefined && failure.error === defect ? Effect.fail(failure.error) : lostConnection(defect)
      )
    })

/**
 * Runs the effect like `transactionOnce`, and repeats the transaction after a deadlock or a serialization failure.
 * Other failures are not repeated: after a lost connection it is unknown whether the transaction was committed.
 */
export const transaction =
  (sql: SqlClient.SqlClient) =>
  <A, E, R>(effect: Effect.Effect<A, E | SqlError, R>): Effect.Effect<A, E | SqlError | StoreError, R> =>
    Effect.retry(transactionOnce(sql)(effect), {
      while: isLost,
      times: 5,
      schedule: Schedule.jittered(Schedule.exponential("10 millis"))
    })

/**
 * Runs the effect on a session of its own, without a transaction: for a single statement that may wait for a lock. On a
 * shared session, other statements would queue behind it; a transaction would cost two more round trips.
 */
export const onOwnSession =
  (sql: SqlClient.SqlClient) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, Exclude<R, Scope.Scope>> =>
    Effect.flatMap(sql.reserve, (connection) =>
      Effect.provideService(effect, sql.transactionService, [connection, 0])
    ).pipe(Effect.scoped)
