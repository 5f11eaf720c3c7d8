/** Changes of content without a download: ids that were seen again, ids that are gone, and patches. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { Metadata } from "../../contract/Content.ts"
import type { Patch } from "../../contract/Page.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { merge } from "../MergePatch.ts"
import * as Storable from "../Storable.ts"
import * as Totals from "./Totals.ts"
import { texts } from "./Parameters.ts"
import { allRows } from "./RowDecoders.ts"

/**
 * Assignments that keep the transactions in which content became `stored` and `undeleted`, for statements that write
 * another change. If that is the content's present change, its transaction is in `changed_xid`.
 */
export const keptTransactions = ["stored", "undeleted"]
  .map(
    (kind) => `${kind}_xid = CASE content.change WHEN '${kind}' THEN content.changed_xid ELSE content.${kind}_xid END`
  )
  .join(", ")

/** Removes ids that were seen again from the staged deletions. */
export const unstage = (sql: SqlClient.SqlClient, connectionId: ConnectionId, externalIds: ReadonlyArray<string>) =>
  sql`WITH unstaged AS (DELETE FROM staged_deletion
      WHERE connection_id = ${connectionId} AND external_id = ANY(${texts(externalIds)}) RETURNING held)
    ${Totals.add(sql, connectionId, { held: "- (SELECT count(*) FROM unstaged WHERE held)" })}`

/**
 * Records that the source reports ids as gone: stored content is staged for deletion, and a row that is only in the
 * ledger is removed from it. A row that was stored before its deletion becomes `deleted` again.
 */
export const markGone = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  externalIds: ReadonlyArray<string>,
  options: { readonly ofPass: boolean }
) {
  if (externalIds.length === 0) return
  const since = options.ofPass
    ? sql`(SELECT started_at FROM listing WHERE listing.connection_id = connection.id)`
    : sql`coalesce(reading_since, acquired_at)`
  // An event replaces an absence that an incomplete pass has found.
  yield* sql`INSERT INTO staged_deletion (connection_id, external_id, cause, of_pass, ready, since)
    SELECT connection_id, external_id, 'event', ${options.ofPass}, false, ${since}
    FROM content JOIN connection ON connection.id = connection_id
    WHERE connection_id = ${connectionId} AND external_id = ANY(${texts(externalIds)}) AND state = 'stored'
    ON CONFLICT (connection_id, external_id) DO UPDATE SET cause = 'event', of_pass = excluded.of_pass,
      since = least(staged_deletion.since, excluded.since)
      WHERE staged_deletion.cause = 'absence' AND NOT staged_deletion.ready`
  yield* sql`WITH ${Totals.wasPending(sql, connectionId, externalIds)},
    moved AS (UPDATE content SET
        state = CASE WHEN state = 'stored' THEN state WHEN changed_xid IS NULL THEN 'gone' ELSE 'deleted' END,
        pending = NULL, reason = NULL, message = NULL, attempts = 0, next_attempt_at = NULL, tried_revision = NULL
      FROM was WHERE connection_id = ${connectionId} AND external_id = was_id
      RETURNING ${sql.literal(Totals.movedColumns)})
    ${Totals.add(sql, connectionId, { moved: "moved" })}`
})

const decodeMetadata = allRows(Schema.Struct({ id: Schema.String, metadata: Schema.JsonObject }))

/** Merges patches into stored rows, in order. Writes and counts only the rows that change. */
export const applyPatches = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  given: ReadonlyArray<Patch>
) {
  const patches = given.filter((patch) => Storable.isId(patch.externalId))
  if (patches.length === 0) return 0
  const rows = yield* sql`SELECT external_id AS id, metadata FROM content
    WHERE connection_id = ${connectionId} AND external_id = ANY(${texts(patches.map((patch) => patch.externalId))})
      AND state = 'stored' FOR UPDATE`
  const before = new Map((yield* decodeMetadata(rows)).map((row) => [row.id, row.metadata]))
  const after = new Map<string, Metadata>()
  for (const patch of patches) {
    const target = after.get(patch.externalId) ?? before.get(patch.externalId)
    if (target !== undefined) after.set(patch.externalId, merge(target, Storable.metadata(patch.metadata)))
  }
  const changed = [...after].filter(
    ([id, next]) => Storable.canonical(next) !== Storable.canonical(before.get(id) ?? {})
  )
  if (changed.length > 0) {
    yield* sql`UPDATE content SET metadata = next.metadata::jsonb, updated_at = statement_timestamp(),
        changed_xid = pg_current_xact_id(),
        change = CASE changed_xid WHEN pg_current_xact_id() THEN change ELSE 'updated' END,
        ${sql.literal(keptTransactions)}
      FROM unnest(${texts(changed.map(([id]) => id))}, ${texts(changed.map(([, next]) => JSON.stringify(next)))})
        AS next(id, metadata)
      WHERE content.connection_id = ${connectionId} AND content.external_id = next.id
        AND content.external_id = ANY(${texts(changed.map(([id]) => id))})`
  }
  const revised = new Map(
    patches.flatMap(({ externalId, revision }) =>
      revision === undefined || !before.has(externalId) ? [] : [[externalId, Storable.text(revision)] as const]
    )
  )
  if (revised.size > 0) {
    yield* sql`UPDATE content SET revision = next.revision
      FROM unnest(${texts([...revised.keys()])}, ${texts([...revised.values()])}) AS next(id, revision)
      WHERE content.connection_id = ${connectionId} AND content.external_id = next.id
        AND content.external_id = ANY(${texts([...revised.keys()])})
        AND content.revision IS DISTINCT FROM next.revision`
  }
  return changed.length
})
