/** The boundary to PostgreSQL: typed parameters, errors in words for people, transactions, and the fence. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import * as Schema from "effect/Schema"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { type Fence, StoreError, Superseded } from "../../engine/Store.ts"

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

/** True for what can be the id of a row: anything else matches none, and PostgreSQL would refuse it. */
export const isUuid = (id: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)

/** An error that the server sent: unlike one of Node's, which has a code too, it has a severity. */
const ServerError = Schema.Struct({ code: Schema.String, severity: Schema.String, message: Schema.String })
const isServerError = Schema.is(ServerError)

/** What happened, and what people can do about it, by SQLSTATE (PostgreSQL's documentation, appendix A). */
const advice = (error: SqlError): string => {
  const cause = error.reason.cause
  const said = cause instanceof Error ? cause.message : error.message
  const code = isServerError(cause) ? cause.code : ""
  if (code === "IDKEY") return said
  if (code === "57P03") return `the database is not ready yet (${said}); try again in a moment`
  if (code.startsWith("57P")) return `the database was stopped or restarted (${said}); try again`
  if (code.startsWith("53")) return `the database is out of room (${said}); give it disk, memory or connections`
  if (code === "3D000" || code.startsWith("28")) return `the database refuses us (${said}); check DATABASE_URL`
  if (code === "" && error.reason._tag === "ConnectionError") {
    return `the database can't be reached (${said}); check that it runs, and DATABASE_URL`
  }
  return `the database failed: ${said}`
}

/**
 * Failures of the database become `StoreError`, with what was being done. What only a mistake in our own SQL can cause
 * (its syntax, a broken constraint, a value of a wrong form, an id twice in a batch) is a defect.
 */
export const attempt =
  (doing: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, Exclude<E, SqlError> | StoreError, R> =>
    Effect.catch(effect, (error): Effect.Effect<never, Exclude<E, SqlError> | StoreError> => {
      // The guard narrows a generic's values, not the generic itself.
      if (!isSqlError(error)) return Effect.fail(error as Exclude<E, SqlError>)
      const code = isServerError(error.reason.cause) ? error.reason.cause.code : ""
      return code === "25P02" || /^(21|22|23|42)/.test(code)
        ? Effect.die(error)
        : Effect.fail(new StoreError({ message: `${doing}: ${advice(error)}`, cause: error }))
    })

const isLost = <E>(error: E): boolean =>
  isSqlError(error) && (error.reason._tag === "DeadlockError" || error.reason._tag === "SerializationError")

/**
 * A connection that breaks inside a transaction can't be rolled back either: the client makes a defect of that, and of
 * the failure that was before it.
 */
export const lostConnection = (defect: unknown): Effect.Effect<never, SqlError | StoreError> =>
  isSqlError(defect) || defect instanceof StoreError ? Effect.fail(defect) : Effect.die(defect)

/**
 * Runs in one transaction, again where it lost a deadlock or a serialization. Nothing else is repeated: after a lost
 * connection nobody knows whether it was committed.
 */
export const transaction =
  (sql: SqlClient.SqlClient) =>
  <A, E, R>(effect: Effect.Effect<A, E | SqlError, R>): Effect.Effect<A, E | SqlError | StoreError, R> =>
    Effect.retry(Effect.catchDefect(sql.withTransaction(effect), lostConnection), {
      while: isLost,
      times: 5,
      schedule: Schedule.jittered(Schedule.exponential("10 millis"))
    })

/**
 * Runs on a session of its own, in no transaction: for a single statement that may wait for a lock. On a session that is
 * shared, others' statements would queue up behind it; a transaction would cost two round trips more.
 */
export const alone =
  (sql: SqlClient.SqlClient) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, Exclude<R, Scope.Scope>> =>
    Effect.flatMap(sql.reserve, (connection) =>
      Effect.provideService(effect, sql.transactionService, [connection, 0])
    ).pipe(Effect.scoped)

/**
 * The first statement of every transaction that writes for a run: locks the connection's row if the fence is still
 * ours. It also bounds how long a process that is frozen inside its transaction can hold that lock.
 */
export const checkFence = (sql: SqlClient.SqlClient, fence: Fence): Effect.Effect<void, SqlError | Superseded> =>
  Effect.flatMap(
    sql`SELECT set_config('idle_in_transaction_session_timeout', '10s', true)
      FROM connection WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} FOR NO KEY UPDATE`,
    (rows) => (rows.length === 0 ? Effect.fail(new Superseded({ connectionId: fence.connectionId })) : Effect.void)
  )

/** Locks a connection's row for writes that a person asked for, outside of any run. False where it is gone. */
export const lockConnection = (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId
): Effect.Effect<boolean, SqlError> =>
  Effect.map(sql`SELECT 1 FROM connection WHERE id = ${connectionId} FOR NO KEY UPDATE`, (rows) => rows.length > 0)
