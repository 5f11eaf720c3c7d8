/** Copies rows between two databases in batches. Rows are transferred as JSON, which PostgreSQL produces. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import type { BlobStore } from "../Blobs.ts"
import { allRows } from "../postgres/RowDecoders.ts"

/** A database, and the store of its large bodies. */
export interface Side {
  readonly sql: SqlClient.SqlClient
  readonly blobs: BlobStore["Service"]
}

/** The two sides of a copy. */
export interface Sides {
  readonly source: Side
  readonly target: Side
}

/** How many rows are read at once, to bound the memory. */
const rowsAtOnce = 200

/** The tables with rows of a connection, except `connection` itself. */
export const belongings = [
  "content",
  "totals",
  "staged_deletion",
  "listing",
  "seen",
  "part",
  "task",
  "task_key",
  "task_done",
  "run"
]

/** Returns the condition that selects the rows of a connection. */
export const ofConnection = (table: string, id: ConnectionId): string =>
  table === "task_done"
    ? `task_id IN (SELECT id FROM task WHERE connection_id = '${id}')`
    : `${table === "connection" ? "id" : "connection_id"} = '${id}'`

const decodeJson = allRows(Schema.Struct({ json: Schema.String }))
const decodeColumns = allRows(Schema.Struct({ name: Schema.String }))

/** Returns the error for a row or body that can't be copied. */
export const wrong = (what: string) => new StoreError({ message: `copying: ${what}`, cause: what })

/** Reads the rows of a query in batches through a cursor. Needs a transaction. */
export const through = <A, E, R>(
  sql: SqlClient.SqlClient,
  cursor: string,
  query: string,
  use: (rows: ReadonlyArray<unknown>) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function* () {
    yield* sql.unsafe(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${query}`).unprepared
    yield* sql.unsafe(`FETCH ${rowsAtOnce} FROM ${cursor}`).unprepared.pipe(
      Effect.tap((rows) => (rows.length > 0 ? use(rows) : Effect.void)),
      Effect.repeat({ while: (rows) => rows.length === rowsAtOnce })
    )
    yield* sql.unsafe(`CLOSE ${cursor}`).unprepared
  })

/**
 * Copies these rows of a table. Changes are announced again, because transaction ids are valid only in one database.
 */
export const copyRows = Effect.fnUntraced(function* ({ source, target }: Sides, table: string, where: string) {
  const columns = yield* decodeColumns(
    yield* target.sql`SELECT column_name AS name FROM information_schema.columns
      WHERE table_schema = current_schema() AND table_name = ${table} ORDER BY ordinal_position`
  )
  const names = columns.map(({ name }) => name)
  const values = names.map((name) =>
    name === "changed_xid" || name === "stored_xid"
      ? "CASE WHEN changed_xid IS NOT NULL THEN pg_current_xact_id() END"
      : name === "undeleted_xid"
        ? "NULL"
        : name
  )
  const insert = `INSERT INTO ${table} (${names.join(", ")})
    SELECT ${values.join(", ")} FROM json_populate_recordset(NULL::${table}, $1::json)`
  yield* through(
    source.sql,
    `rows_of_${table}`,
    `SELECT row_to_json(whole)::text AS json FROM ${table} AS whole WHERE ${where}`,
    Effect.fnUntraced(function* (rows) {
      const json = (yield* decodeJson(rows)).map((row) => row.json)
      yield* target.sql.unsafe(insert, [`[${json.join(",")}]`])
    })
  )
})

/** Copies the rows of a connection in one table. */
export const copyTable = (sides: Sides, id: ConnectionId, table: string) =>
  copyRows(sides, table, ofConnection(table, id))
