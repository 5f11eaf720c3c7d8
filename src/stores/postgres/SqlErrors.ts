/** Turns failures of PostgreSQL into `StoreError`s that people can act on. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { StoreError } from "../../engine/store/StoreError.ts"

/** An error of the server. It has a severity, which distinguishes it from an error of Node with a code. */
const ServerError = Schema.Struct({ code: Schema.String, severity: Schema.String, message: Schema.String })
const isServerError = Schema.is(ServerError)

/** Returns the SQLSTATE of a server error, or "". */
const codeOf = (error: SqlError): string => (isServerError(error.reason.cause) ? error.reason.cause.code : "")

/** Returns the message of the server or the system. */
export const messageOf = (error: SqlError): string =>
  error.reason.cause instanceof Error ? error.reason.cause.message : error.message

/** Returns true for a write that the server refused because it, or this session, is read-only (25006). */
export const isReadOnly = (error: unknown): boolean => isSqlError(error) && codeOf(error) === "25006"

/** Returns true if a table, a schema or another object of this name exists already. */
export const isDuplicate = (error: SqlError): boolean => ["42P06", "42P07", "42710", "42723"].includes(codeOf(error))

/** Describes the failure and the next step, by SQLSTATE (PostgreSQL's documentation, appendix A). */
const advice = (error: SqlError): string => {
  const said = messageOf(error)
  const code = codeOf(error)
  if (code === "IDKEY") return said
  if (code === "25006") {
    return `the database is read-only (${said}): Idem connects again, and needs the primary; of a primary, check default_transaction_read_only`
  }
  if (code === "57P03") return `the database is not ready yet (${said}); try again in a moment`
  if (code.startsWith("57P")) return `the database was stopped or restarted (${said}); try again`
  if (code.startsWith("53")) return `the database is out of resources (${said}); give it disk, memory or connections`
  if (code === "42501") {
    const next =
      "let it own the database (ALTER DATABASE … OWNER TO …), or grant it CREATE on the database and the schema"
    return `the role of DATABASE_URL lacks a privilege (${said}): ${next}`
  }
  if (code === "3D000" || code.startsWith("28")) return `the database refuses the login (${said}); check DATABASE_URL`
  if (code === "" && error.reason._tag === "ConnectionError") {
    // The error does not say which server closed the connection. The disk of the embedded server may be full.
    const own = "Idem's own database starts again by itself: see postgres.log beside its data"
    return `the database can't be reached (${said}); check that it runs, and DATABASE_URL; ${own}`
  }
  return `the database failed: ${said}`
}

/**
 * Turns database failures into `StoreError`, which names the operation. Failures that only a mistake in our SQL can
 * cause (its syntax, a violated constraint, a malformed value, an id twice in a batch) become defects. A missing
 * privilege (42501) is in the class of syntax errors, but is the database's setting.
 */
export const toStoreError =
  (doing: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, Exclude<E, SqlError> | StoreError, R> =>
    Effect.catch(effect, (error): Effect.Effect<never, Exclude<E, SqlError> | StoreError> => {
      // The guard narrows a generic's values, not the generic itself.
      if (!isSqlError(error)) return Effect.fail(error as Exclude<E, SqlError>)
      const code = codeOf(error)
      return code === "25P02" || /^(21|22|23|42(?!501))/.test(code)
        ? Effect.die(error)
        : Effect.fail(new StoreError({ message: `${doing}: ${advice(error)}`, cause: error }))
    })

/**
 * Turns the defect of a broken connection back into its failure. The client can't roll back a transaction whose
 * connection broke, and reports a defect instead.
 */
export const lostConnection = (defect: unknown): Effect.Effect<never, SqlError | StoreError> =>
  isSqlError(defect) || defect instanceof StoreError ? Effect.fail(defect) : Effect.die(defect)
