/**
 * Runs a person's query on the schema `mirror`: read-only, bounded in time and size, and with the rights of a role that
 * may read nothing else (`ReadOnlyRole.ts`).
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { UsageError } from "../engine/Engine.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import { onOwnSession } from "../stores/postgres/Transactions.ts"
import { allRows } from "../stores/postgres/RowDecoders.ts"

export interface Query {
  readonly query: string
  /** The most rows to return. */
  readonly most: number
  readonly timeout: Duration.Duration
}

export interface Result {
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<Schema.Json>>
  /** True if there may be more rows than were returned. */
  readonly truncated: boolean
}

/** The most characters of all rows together. */
const mostBytes = 50_000_000

/** The most bytes of one row as JSON: a message of PostgreSQL's protocol has at most 64 MB. */
const mostRowBytes = 60_000_000

const rowTooLarge = new UsageError({
  message:
    `a row of the result has more than ${mostRowBytes / 1_000_000} MB: ` +
    "select fewer columns, or the beginning of one, as in left(text, 1000)"
})

const decodeLines = allRows(Schema.Struct({ line: Schema.NullOr(Schema.String) }))
const decodeColumns = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(Schema.String)))
const decodeRow = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(Schema.Json)))

const ServerError = Schema.Struct({ code: Schema.String, message: Schema.String })
const isServerError = Schema.is(ServerError)

/** Returns the server's own message for a refused query; undefined if the server itself failed. */
const refusal = (error: SqlError, timeout: Duration.Duration): string | undefined => {
  const { cause } = error.reason
  if (!isServerError(cause)) return undefined
  if (cause.code === "42P11") return "give one query that only reads: SELECT, WITH, VALUES or TABLE"
  if (cause.code === "57014") return `the query took longer than ${Duration.format(timeout)}`
  return /^(08|57|58|XX|53)/.test(cause.code) ? undefined : cause.message
}

/** Runs the query. Fails with `UsageError` if the server refuses it. */
export const run = ({ most, query, timeout }: Query) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const statement = query.trim().replace(/;\s*$/, "")
    if (statement === "") return yield* new UsageError({ message: "the query is empty" })
    if (statement.includes("\0")) return yield* new UsageError({ message: "the query holds a NUL character" })
    // A query can take session-level locks, which outlive its transaction, so they are released afterwards.
    const lines = yield* Effect.gen(function* () {
      yield* sql`BEGIN READ ONLY`.unprepared
      yield* sql`SELECT set_config('statement_timeout', ${String(Duration.toMillis(timeout))}, true),
        set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true),
        set_config('enable_seqscan', 'on', true)`
      // The names of a result without columns are null.
      const rows = yield* sql`SELECT CASE WHEN line IS NULL THEN '[]'
          WHEN octet_length(line::text) <= ${mostRowBytes} THEN line::text END AS line
        FROM derived.query(${statement}, ${most + 1}, ${mostBytes}::bigint) AS line`.unprepared
      const found = (yield* decodeLines(rows)).map(({ line }) => line)
      return found.every((line) => line !== null) ? found : yield* rowTooLarge
    }).pipe(
      Effect.ensuring(
        Effect.ignore(Effect.andThen(sql`ROLLBACK`.unprepared, sql`SELECT pg_advisory_unlock_all()`.unprepared))
      ),
      // Mapped before the session ends, because a refused write of the query does not mean that the database is
      // read-only.
      Effect.mapError((error) => {
        const message = isSqlError(error) ? refusal(error, timeout) : undefined
        return message === undefined ? error : new UsageError({ message })
      }),
      onOwnSession(sql)
    )
    const [head = "[]", ...body] = lines
    const columns = yield* Effect.orDie(decodeColumns(head))
    const rows = yield* Effect.orDie(Effect.forEach(body.slice(0, most), (line) => decodeRow(line)))
    const size = body.reduce((sum, line) => sum + line.length, 0)
    return { columns, rows, truncated: body.length > most || size > mostBytes } satisfies Result
  }).pipe(toStoreError("querying the schema mirror"))
