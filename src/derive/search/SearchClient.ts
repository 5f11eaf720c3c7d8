/** `Search` by the functions in the database: `QueryParser` reads the syntax of a query, `Ranking` finds and ranks. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { UsageError } from "../../engine/Engine.ts"
import { CursorInvalid } from "../../engine/feed/Cursor.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { texts } from "../../stores/postgres/Parameters.ts"
import { toStoreError } from "../../stores/postgres/SqlErrors.ts"
import * as Storable from "../../stores/Storable.ts"
import { marks } from "./Ranking.ts"
import type { Query, Results, Search } from "./Search.ts"

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
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

/** An error that the functions raise, or that PostgreSQL raises where they are not there yet. */
const isRaised = Schema.is(Schema.Struct({ code: Schema.String, message: Schema.String }))

const notIndexed = new UsageError({
  message: "nothing is indexed yet: run `idem derive`, or `idem serve`, which indexes what it stores"
})

/** Turns a failure of the database into an error for the caller. */
const explained = (error: SqlError): SqlError | UsageError | CursorInvalid => {
  const { cause } = error.reason
  if (!isRaised(cause)) return error
  if (cause.code === "IDM01") return new UsageError({ message: cause.message })
  if (cause.code === "IDM02") return new CursorInvalid({ reason: "malformed", message: cause.message })
  return cause.code === "42883" || cause.code === "42P01" ? notIndexed : error
}

/** The snippet without its marks, and where they were. */
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

  const search = Effect.fn("Search.search")(function* (query: Query) {
    const rows = yield* sql`SELECT found.connection_id AS "connectionId", connection.name AS connection,
        found.external_id AS "externalId", content.kind, content.title, found.sender AS "from",
        nullif(found.occurred_at, '-infinity') AS "occurredAt", found.snippet, found.score, found.next
      FROM derived.search_page(${Storable.text(query.text)}, ${query.connectionIds === undefined ? null : texts(query.connectionIds)}::uuid[],
          ${query.kind?.toLowerCase() ?? null}, ${query.from ?? null},
          ${query.since === undefined ? null : new Date(query.since.epochMilliseconds)}::timestamptz,
          ${query.until === undefined ? null : new Date(query.until.epochMilliseconds)}::timestamptz,
          ${query.limit}, ${query.after ?? null})
        WITH ORDINALITY AS found(connection_id, external_id, occurred_at, sender, snippet, score, next, position)
      JOIN connection ON connection.id = found.connection_id
      JOIN derived.content AS content ON content.connection_id = found.connection_id
        AND content.external_id = found.external_id
      ORDER BY found.position`
    const found = yield* Effect.orDie(decodeRows(rows))
    return {
      results: found.map(({ next: _next, snippet, ...row }) => ({ ...row, ...highlighted(snippet) })),
      next: found.at(-1)?.next ?? null
    } satisfies Results
  })

  return {
    search: (query) => search(query).pipe(Effect.mapError(explained), toStoreError("searching"))
  } satisfies Search
})
