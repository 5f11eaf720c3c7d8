/** Implements `Search` with the functions in the database: `QueryParser` parses a query, `Ranking` finds and ranks. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { UsageError } from "../../engine/Engine.ts"
import { CursorInvalid } from "../../engine/feed/Cursor.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { texts } from "../../stores/postgres/Parameters.ts"
import { toStoreError } from "../../stores/postgres/SqlErrors.ts"
import { transaction } from "../../stores/postgres/Transactions.ts"
import * as Storable from "../../stores/Storable.ts"
import { marks } from "./Ranking.ts"
import type { Query, Results, Search } from "./Search.ts"
import { allRows } from "../../stores/postgres/RowDecoders.ts"

const Row = Schema.Struct({
  connectionId: ConnectionId,
  connection: Schema.String,
  externalId: Schema.String,
  kind: Schema.NullOr(Schema.String),
  title: Schema.NullOr(Schema.String),
  from: Schema.NullOr(Schema.String),
  occurredAt: Schema.NullOr(Schema.DateTimeUtcFromDate),
  snippet: Schema.NullOr(Schema.String),
  score: Schema.Finite,
  next: Schema.NullOr(Schema.String)
})
const decodeRows = allRows(Row)

/** An error that the functions raise, or that PostgreSQL raises if they do not exist yet. */
const isRaised = Schema.is(Schema.Struct({ code: Schema.String, message: Schema.String }))

const notIndexed = new UsageError({
  message: "nothing is indexed yet: run `idem derive`, or `idem serve`, which indexes what it stores"
})

/** How many searches run at the same time. Each uses a session of the pool, which runs need too. */
const searchesAtOnce = 4

const textOrNull = (value: string | undefined) => (value === undefined ? null : Storable.text(value))

/** The time limit of a search. */
const timeout = Duration.seconds(10)

const tooSlow = new UsageError({
  message: `the search took longer than ${Duration.format(timeout)}: use fewer words, or longer ones`
})

/** Turns a failure of the functions in the database into an error for the caller. */
const explained = (error: SqlError): SqlError | UsageError | CursorInvalid => {
  const { cause } = error.reason
  if (!isRaised(cause)) return error
  if (cause.code === "IDM01") return new UsageError({ message: cause.message })
  if (cause.code === "57014") return tooSlow
  if (cause.code === "IDM02") return new CursorInvalid({ reason: "malformed", message: cause.message })
  return cause.code === "42883" || cause.code === "42P01" ? notIndexed : error
}

/** Removes the marks from a snippet, and returns their positions. */
const highlighted = (marked: string | null) => {
  const highlights: Array<readonly [number, number]> = []
  let snippet = ""
  for (const [index, piece] of (marked ?? "").split(marks.start).entries()) {
    const [inside = "", ...rest] = index === 0 ? ["", piece] : piece.split(marks.stop)
    if (inside !== "") highlights.push([snippet.length, snippet.length + inside.length])
    snippet += inside + rest.join("").replaceAll(marks.stop, "")
  }
  return { snippet: marked === null ? null : snippet, highlights }
}

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const searching = Semaphore.makeUnsafe(searchesAtOnce)

  /**
   * Runs a query on a session of its own, so that other statements do not wait for it. A search may use sequential
   * scans.
   */
  const bounded = <A, E, R>(query: Effect.Effect<A, E, R>) =>
    sql`SELECT set_config('transaction_read_only', 'on', true), set_config('enable_seqscan', 'on', true),
      set_config('statement_timeout', ${String(Duration.toMillis(timeout))}, true)`.pipe(
      Effect.andThen(query),
      transaction(sql),
      searching.withPermit
    )

  const search = Effect.fn("Search.search")(function* (query: Query) {
    const rows = yield* bounded(sql`SELECT found.connection_id AS "connectionId", connection.name AS connection,
        found.external_id AS "externalId", content.kind, content.title, found.sender AS "from",
        nullif(found.occurred_at, '-infinity') AS "occurredAt", found.snippet, found.score, found.next
      FROM derived.search_page(${Storable.text(query.text)}, ${query.connectionIds === undefined ? null : texts(query.connectionIds)}::uuid[],
          ${textOrNull(query.kind)}, ${textOrNull(query.from)},
          ${query.since === undefined ? null : new Date(query.since.epochMilliseconds)}::timestamptz,
          ${query.until === undefined ? null : new Date(query.until.epochMilliseconds)}::timestamptz,
          ${query.limit}, ${textOrNull(query.after)})
        WITH ORDINALITY AS found(connection_id, external_id, occurred_at, sender, snippet, score, next, position)
      JOIN connection ON connection.id = found.connection_id
      JOIN derived.content AS content ON content.connection_id = found.connection_id
        AND content.external_id = found.external_id
      ORDER BY found.position`)
    const found = yield* decodeRows(rows)
    return {
      results: found.map(({ next: _next, snippet, ...row }) => ({ ...row, ...highlighted(snippet) })),
      next: found.at(-1)?.next ?? null
    } satisfies Results
  })

  return {
    search: (query) =>
      search(query).pipe(
        Effect.catchTag("SqlError", (error) => Effect.fail(explained(error))),
        toStoreError("searching")
      )
  } satisfies Search
})
