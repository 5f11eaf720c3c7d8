/** The open listing of a connection: its marks, its coverage, and the deletions that a page end stages. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import type { Coverage } from "../../contract/Page.ts"
import type { PageEnd } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import * as Storable from "../Storable.ts"
import { markGone, unstage } from "./ContentChanges.ts"
import { texts } from "./Parameters.ts"
import { allRows } from "./RowDecoders.ts"

const decodeOpen = allRows(Schema.Struct({ marking: Schema.Boolean }))

/** Closes the open listing and removes its marks. */
export const closeListing = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, connectionId: ConnectionId) {
  yield* sql`DELETE FROM seen WHERE connection_id = ${connectionId}`
  yield* sql`DELETE FROM listing WHERE connection_id = ${connectionId}`
})

/** Opens the listing of this name, unless it is already open, and closes any other. Returns true if it needs marks. */
const openListing = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  listing: string
) {
  const rows = yield* sql`SELECT marking FROM listing WHERE connection_id = ${connectionId} AND listing = ${listing}`
  const [open] = yield* decodeOpen(rows)
  if (open !== undefined) return open.marking
  yield* closeListing(sql, connectionId)
  // If nothing was stored before the listing began, nothing can be absent from it, so it needs no marks.
  const opened = yield* sql`INSERT INTO listing (connection_id, listing, started_at, marking)
    SELECT id, ${listing}, acquired_at, EXISTS (SELECT 1 FROM content
      WHERE connection_id = id AND state = 'stored' AND created_at < acquired_at)
    FROM connection WHERE id = ${connectionId} RETURNING marking`
  const [made] = yield* decodeOpen(opened)
  return made?.marking ?? false
})

/** Brings these ids into the present scope. */
const bringIntoScope = (sql: SqlClient.SqlClient, connectionId: ConnectionId, seen: ReadonlyArray<string>) => sql`
  UPDATE content SET scope_epoch = connection.scope_epoch FROM connection
  WHERE connection.id = ${connectionId} AND connection_id = ${connectionId} AND external_id = ANY(${texts(seen)})
    AND content.scope_epoch <> connection.scope_epoch`

/** Marks the ids that the open listing saw. Only ids that can become absent need a mark. */
const mark = (sql: SqlClient.SqlClient, connectionId: ConnectionId, seen: ReadonlyArray<string>) => sql`
  INSERT INTO seen (connection_id, external_id)
  SELECT content.connection_id, external_id FROM content JOIN listing USING (connection_id)
  WHERE content.connection_id = ${connectionId} AND external_id = ANY(${texts(seen)})
    AND state = 'stored' AND content.created_at < listing.started_at
  ON CONFLICT DO NOTHING`

/** Returns the condition on `content` that an external id is in this coverage. */
export const isIn = (sql: SqlClient.SqlClient, { except = [], prefix }: Coverage): Fragment => {
  const end = Storable.afterPrefix(prefix)
  const excepted = texts(except.filter(Storable.isId))
  return sql`external_id >= ${prefix} AND ${end === undefined ? sql`true` : sql`external_id < ${end}`}
    AND NOT EXISTS (SELECT 1 FROM unnest(${excepted}) AS excepted(prefix) WHERE starts_with(external_id, prefix))`
}

/**
 * Stages content that is older than the listing, in scope and in the coverage, and was not seen. `LIMIT 1` keeps the
 * look-up row by row: an anti-join would read the marks of all listings.
 */
const cover = (sql: SqlClient.SqlClient, connectionId: ConnectionId, coverage: Coverage) => sql`
  INSERT INTO staged_deletion (connection_id, external_id, cause, of_pass, ready, since)
    SELECT content.connection_id, external_id, 'absence', true, false, started_at
    FROM content JOIN listing USING (connection_id) JOIN connection ON connection.id = content.connection_id
    WHERE content.connection_id = ${connectionId} AND state = 'stored'
      AND content.scope_epoch = connection.scope_epoch AND content.created_at < started_at
      AND ${isIn(sql, coverage)}
      AND (SELECT true FROM seen WHERE seen.connection_id = content.connection_id
        AND seen.external_id = content.external_id LIMIT 1) IS NULL
    ON CONFLICT DO NOTHING`

/**
 * Discards unfinished reading, because a pass from the start replaces it: the open listing with the absences that it
 * found (no later pass may complete over those ids), and the reading of the changes. Deletions that the changes
 * reported so far wait for the new pass.
 */
export const beginAnew = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, connectionId: ConnectionId) {
  yield* closeListing(sql, connectionId)
  yield* sql`DELETE FROM staged_deletion WHERE connection_id = ${connectionId} AND cause = 'absence' AND NOT ready`
  yield* sql`UPDATE staged_deletion SET of_pass = true
    WHERE connection_id = ${connectionId} AND NOT of_pass AND NOT ready`
})

/** Ends pages, except for their patches and checkpoint: records their seen ids, coverage and deleted ids. */
export const endPage = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  page: PageEnd,
  inScope: boolean
) {
  const seen = page.seen.filter(Storable.isId)
  if (seen.length > 0) {
    yield* unstage(sql, connectionId, seen)
    if (inScope) yield* bringIntoScope(sql, connectionId, seen)
  }
  if (page.listing !== undefined) {
    const isMarking = yield* openListing(sql, connectionId, Storable.text(page.listing))
    if (isMarking && seen.length > 0) yield* mark(sql, connectionId, seen)
    for (const coverage of isMarking ? page.covers.filter((part) => Storable.isId(part.prefix)) : []) {
      yield* cover(sql, connectionId, coverage)
    }
  }
  yield* markGone(sql, connectionId, page.deleted.filter(Storable.isId), { ofPass: page.listing !== undefined })
  if (!page.complete) return
  yield* closeListing(sql, connectionId)
  yield* sql`UPDATE staged_deletion SET ready = true WHERE connection_id = ${connectionId} AND of_pass AND NOT ready`
})
