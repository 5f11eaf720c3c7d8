/** Compares a connection that was copied with its source. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { belongings, ofConnection, type Side, wrong } from "./Rows.ts"
import { oneRow } from "../postgres/RowDecoders.ts"

const decodeCount = oneRow(Schema.Struct({ count: Schema.Int }))
const decodeTally = oneRow(
  Schema.Struct({ contents: Schema.Int, bodies: Schema.Int, bytes: Schema.Int, digest: Schema.NullOr(Schema.String) })
)

const countOf = (sql: SqlClient.SqlClient, table: string, id: ConnectionId) =>
  sql.unsafe(`SELECT count(*)::float8 AS count FROM ${table} WHERE ${ofConnection(table, id)}`).pipe(
    Effect.flatMap(decodeCount),
    Effect.map(({ count }) => count)
  )

/** Returns counts and a digest of a connection's contents. Equal contents have equal digests, in any order. */
const tally = (sql: SqlClient.SqlClient, id: ConnectionId) =>
  sql`SELECT count(*)::float8 AS contents, count(DISTINCT body_hash)::float8 AS bodies,
      (SELECT coalesce(sum(size), 0)::float8 FROM (
        SELECT DISTINCT body_hash, size FROM content WHERE connection_id = ${id} AND body_hash IS NOT NULL) AS each) AS bytes,
      sum(('x' || left(md5(concat_ws('|', external_id, state, pending, revision, encode(body_hash, 'hex'), metadata,
        volatile)), 15))::bit(60)::bigint)::text AS digest
    FROM content WHERE connection_id = ${id}`.pipe(Effect.flatMap(decodeTally))

/**
 * Counts the rows of a connection in the source. Runs before the target's transaction, so that the transaction need not
 * wait for it.
 */
export const measure = Effect.fnUntraced(function* (source: Side, id: ConnectionId) {
  const rows = yield* Effect.forEach(belongings, (table) => countOf(source.sql, table, id))
  return { tally: yield* tally(source.sql, id), rows: new Map(belongings.map((table, at) => [table, rows[at] ?? 0])) }
})

/**
 * Fails unless the target equals the source. The locks keep bodies from being removed until the end of the transaction.
 */
export const verify = Effect.fnUntraced(function* (
  { sql }: Side,
  { id, name }: { readonly id: ConnectionId; readonly name: string },
  expected: Effect.Success<ReturnType<typeof measure>>
) {
  yield* sql`SELECT count(*) FROM (SELECT 1 FROM body
    WHERE hash IN (SELECT body_hash FROM content WHERE connection_id = ${id}) ORDER BY hash FOR KEY SHARE) AS locked`
  const here = yield* tally(sql, id)
  if (JSON.stringify(expected.tally) !== JSON.stringify(here)) {
    return yield* wrong(`the contents of ${name} did not arrive as they are in the source`)
  }
  for (const [table, rows] of expected.rows) {
    const found = yield* countOf(sql, table, id)
    if (rows !== found) return yield* wrong(`of ${rows} rows in ${table}, ${found} arrived`)
  }
  const damaged = yield* sql`SELECT count(*)::float8 AS count
    FROM (SELECT DISTINCT body_hash AS hash FROM content WHERE connection_id = ${id} AND body_hash IS NOT NULL) AS named
    LEFT JOIN body USING (hash)
    WHERE body.hash IS NULL OR body.bytes IS NOT NULL AND sha256(body.bytes) <> named.hash`
  const { count } = yield* decodeCount(damaged)
  if (count > 0) return yield* wrong(`${count} bodies of ${name} did not arrive; begin again`)
  const { bodies, bytes, contents } = here
  return { name, contents, bodies, bytes }
})
