/** The boundary to PostgreSQL: typed parameters, errors in words for people, transactions, and the fence. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import * as Schema from "effect/Schema"
import { type ConnectionId, type Fence, StoreError, Superseded } from "../../engine/Store.ts"

const array = (oid: number) => (values: ReadonlyArray<unknown>) => Result.getOrThrow(PgTypes.array(values, oid))

/** Arrays with their type said: an empty one, or one of nulls only, has none to infer. */
export const texts: (values: ReadonlyArray<string | null>) => PgTypes.Parameter = array(PgTypes.OID.text)
export const byteas: (values: ReadonlyArray<Uint8Array | null>) => PgTypes.Parameter = array(PgTypes.OID.bytea)
export const int8s: (values: ReadonlyArray<bigint | null>) => PgTypes.Parameter = array(PgTypes.OID.int8)
export const float8s: (values: ReadonlyArray<number | null>) => PgTypes.Parameter = array(PgTypes.OID.float8)
export const timestamps: (values: ReadonlyArray<Date | null>) => PgTypes.Parameter = array(PgTypes.OID.timestamptz)

/** The longest span that is added to a time, in milliseconds (100 years): later dates are no use, and can overflow. */
const longest = 3_155_760_000_000

/** A duration in milliseconds, for `$1::float8 * interval '1 millisecond'`. */
export const millis = (duration: Duration.Duration): number => Math.min(Duration.toMillis(duration), longest)

const ServerError = Schema.Struct({ code: Schema.String, message: Schema.String })
const isServerError = Schema.is(ServerError)

/** What people can do something about, by SQLSTATE (PostgreSQL's documentation, appendix A). */
const advice = (error: SqlError): string => {
  const cause = error.reason.cause
  if (isServerError(cause)) {
    if (cause.code === "57P03") return `it is not ready yet (${cause.message}); try again in a moment`
    if (cause.code.startsWith("57P")) return `it was stopped or restarted (${cause.message}); try again`
    if (cause.code.startsWith("53")) return `it is out of room (${cause.message}); give it disk, memory or connections`
    if (cause.code === "3D000" || cause.code.startsWith("28")) {
      return `it refuses us (${cause.message}); check DATABASE_URL`
    }
    return cause.message
  }
  if (error.reason._tag === "ConnectionError") {
    return `it can't be reached (${cause instanceof Error ? cause.message : error.message}); check that it runs`
  }
  return cause instanceof Error ? cause.message : error.message
}

/**
 * Failures of the database become `StoreError`, with what was being done. What only a mistake in our own SQL can cause
 * (its syntax, a broken constraint, a value of a wrong form) is a defect.
 */
export const attempt =
  (doing: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, Exclude<E, SqlError> | StoreError, R> =>
    Effect.catch(effect, (error): Effect.Effect<never, Exclude<E, SqlError> | StoreError> => {
      // The guard narrows a generic's values, not the generic itself.
      if (!isSqlError(error)) return Effect.fail(error as Exclude<E, SqlError>)
      const code = isServerError(error.reason.cause) ? error.reason.cause.code : ""
      return code === "25P02" || /^(22|23|42)/.test(code)
        ? Effect.die(error)
        : Effect.fail(new StoreError({ message: `${doing}: the database failed: ${advice(error)}`, cause: error }))
    })

const isLost = <E>(error: E): boolean =>
  isSqlError(error) && (error.reason._tag === "DeadlockError" || error.reason._tag === "SerializationError")

/** A connection that breaks inside a transaction can't be rolled back either, which the client makes a defect. */
const lostConnection = (defect: unknown): Effect.Effect<never, SqlError> =>
  isSqlError(defect) ? Effect.fail(defect) : Effect.die(defect)

/**
 * Runs in one transaction, again where it lost a deadlock or a serialization. Nothing else is repeated: after a lost
 * connection nobody knows whether it was committed.
 */
export const transaction =
  (sql: SqlClient.SqlClient) =>
  <A, E, R>(effect: Effect.Effect<A, E | SqlError, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.retry(Effect.catchDefect(sql.withTransaction(effect), lostConnection), {
      while: isLost,
      times: 5,
      schedule: Schedule.jittered(Schedule.exponential("10 millis"))
    })

/**
 * The first statement of every transaction that writes for a run: locks the connection's row if the fence is still
 * ours. It also bounds how long a process that is frozen inside its transaction can hold that lock.
 */
export const checkFence = (sql: SqlClient.SqlClient, fence: Fence): Effect.Effect<void, SqlError | Superseded> =>
  Effect.flatMap(
    sql`SELECT set_config('idle_in_transaction_session_timeout', '60s', true)
      FROM connection WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} FOR NO KEY UPDATE`,
    (rows) => (rows.length === 0 ? Effect.fail(new Superseded({ connectionId: fence.connectionId })) : Effect.void)
  )

/** Locks a connection's row for writes that a person asked for, outside of any run. False where it is gone. */
export const lockConnection = (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId
): Effect.Effect<boolean, SqlError> =>
  Effect.map(sql`SELECT 1 FROM connection WHERE id = ${connectionId} FOR NO KEY UPDATE`, (rows) => rows.length > 0)
