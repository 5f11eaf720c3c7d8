/** Staged deletions: counts, applies, holds and approves them. The engine decides which (`sync/Deletions`). */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { Readiness } from "../../engine/model/Content.ts"
import { DeletionsChanged } from "../../engine/store/StoreError.ts"
import { DeletionStore } from "../../engine/store/DeletionStore.ts"
import * as Storable from "../Storable.ts"
import { keptTransactions } from "./ContentChanges.ts"
import { addToRun } from "./RunStore.ts"
import type { CurrentEpoch } from "./FeedEpoch.ts"
import { lockConnection, makeCheck } from "./Fence.ts"
import * as Listings from "./Listings.ts"
import { texts } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import * as Totals from "./Totals.ts"
import { transaction } from "./Transactions.ts"
import { allRows, ids as decodeIds, oneRow } from "./RowDecoders.ts"

type Methods = DeletionStore["Service"]

const Count = Schema.Struct({ count: Schema.Int })
const decodeCount = oneRow(Count)
const decodeCounts = allRows(Count)
const decodeReady = oneRow(Schema.Struct({ waiting: Schema.Int, moved: Schema.Int, held: Schema.Int }))
const Head = Schema.Struct({ total: Schema.Int, token: Schema.String })
const decodeHead = oneRow(Head)
const decodeDeletions = allRows(
  Schema.Struct({
    externalId: Schema.String,
    kind: Schema.NullOr(Schema.String),
    title: Schema.NullOr(Schema.String),
    occurredAt: Schema.NullOr(Schema.DateTimeUtcFromDate),
    cause: Schema.Literals(["event", "absence"]),
    stagedAt: Schema.DateTimeUtcFromDate
  })
)

const make: Effect.Effect<Methods, never, SqlClient.SqlClient | CurrentEpoch> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const checkFence = yield* makeCheck
  const inTransaction = transaction(sql)

  const isReady = ({ changes, listing }: Readiness) =>
    sql`(ready OR cause = 'event' AND (${listing} OR ${changes} AND NOT of_pass))`

  const headOf = (connectionId: ConnectionId, which: Fragment) =>
    // The token has two sums of 64-bit hashes: they change whenever an id is added or removed, whatever the order.
    Effect.flatMap(
      sql`SELECT count(*)::float8 AS total, concat_ws('.', count(*), coalesce(sum(hashtextextended(external_id, 1)), 0),
          coalesce(sum(hashtextextended(external_id, 2)), 0)) AS token
        FROM staged_deletion WHERE connection_id = ${connectionId} AND ${which}`,
      decodeHead
    )

  /** Soft-deletes: the body stays, but readers no longer see the content. */
  const remove = (connectionId: ConnectionId, which: Fragment) =>
    Effect.flatMap(
      sql`WITH staged AS (
          DELETE FROM staged_deletion WHERE connection_id = ${connectionId} AND ${which}
          RETURNING external_id AS staged_id, held
        ), was AS (
          SELECT external_id AS was_id, state AS was_state, pending AS was_pending, size AS was_size
          FROM staged JOIN content ON connection_id = ${connectionId} AND external_id = staged_id AND state = 'stored'
        ), moved AS (
          UPDATE content SET state = 'deleted', pending = NULL, reason = NULL, message = NULL, attempts = 0,
            next_attempt_at = NULL, tried_revision = NULL, updated_at = statement_timestamp(),
            changed_xid = pg_current_xact_id(), change = 'deleted', ${sql.literal(keptTransactions)}
          FROM was WHERE connection_id = ${connectionId} AND external_id = was_id
          RETURNING ${sql.literal(Totals.movedColumns)}
        ), counted AS (
          ${Totals.add(sql, connectionId, { moved: "moved", held: "- (SELECT count(*) FROM staged WHERE held)" })}
        )
        SELECT count(*)::float8 AS count FROM moved`,
      (rows) => Effect.map(decodeCount(rows), ({ count }) => count)
    )

  const endReading = (connectionId: ConnectionId, { changes }: Readiness) =>
    changes
      ? sql`UPDATE connection SET reading_since = NULL WHERE id = ${connectionId} AND reading_since IS NOT NULL`
      : Effect.void

  return {
    readyDeletions: (connectionId, readiness) =>
      sql`SELECT count(*)::float8 AS waiting,
          count(*) FILTER (WHERE EXISTS (
            SELECT 1 FROM content AS gone JOIN content AS other USING (connection_id, body_key)
            WHERE gone.connection_id = ${connectionId} AND gone.external_id = staged_deletion.external_id
              AND other.state = 'stored' AND NOT EXISTS (SELECT 1 FROM staged_deletion AS staged
                WHERE staged.connection_id = ${connectionId} AND staged.external_id = other.external_id)))::float8 AS moved,
          coalesce((SELECT deletions_held FROM totals WHERE connection_id = ${connectionId}), 0)::float8 AS held
        FROM staged_deletion WHERE connection_id = ${connectionId} AND NOT held AND ${isReady(readiness)}`.pipe(
        Effect.flatMap(decodeReady),
        toStoreError("counting staged deletions")
      ),

    storedBeforeDeletions: (connectionId, readiness, atMost) =>
      sql`WITH began AS MATERIALIZED (SELECT min(since) AS at FROM staged_deletion
          WHERE connection_id = ${connectionId} AND (held OR ${isReady(readiness)}))
        SELECT count(*)::float8 AS count FROM (
          SELECT 1 FROM content, began WHERE connection_id = ${connectionId} AND created_at < at
            AND (state = 'stored' OR state = 'deleted' AND updated_at >= at)
          ORDER BY external_id LIMIT ${PgTypes.int8(BigInt(atMost))}) AS found`.pipe(
        Effect.flatMap(decodeCount),
        Effect.map((row) => row.count),
        toStoreError("counting what was stored")
      ),

    applyDeletions: (fence, readiness, runId) =>
      Effect.gen(function* () {
        yield* checkFence(fence)
        const deleted = yield* remove(fence.connectionId, sql`NOT held AND ${isReady(readiness)}`)
        yield* endReading(fence.connectionId, readiness)
        if (runId !== undefined) yield* addToRun(sql, runId, { deleted }, [])
        return deleted
      }).pipe(inTransaction, toStoreError("applying deletions")),

    holdDeletions: (fence, readiness) =>
      Effect.gen(function* () {
        const { connectionId } = fence
        yield* checkFence(fence)
        yield* sql`WITH now_held AS (UPDATE staged_deletion SET held = true, ready = true
            WHERE connection_id = ${connectionId} AND NOT held AND ${isReady(readiness)} RETURNING 1)
          ${Totals.add(sql, connectionId, { held: "(SELECT count(*) FROM now_held)" })}`
        yield* endReading(connectionId, readiness)
        return yield* Effect.flatMap(
          sql`SELECT deletions_held::float8 AS count FROM totals WHERE connection_id = ${connectionId}`,
          (rows) => Effect.map(decodeCounts(rows), ([found]) => found?.count ?? 0)
        )
      }).pipe(inTransaction, toStoreError("holding deletions")),

    reportedDeleted: (connectionId, externalIds) =>
      sql`SELECT external_id AS id FROM staged_deletion WHERE connection_id = ${connectionId}
        AND external_id = ANY(${texts(externalIds.filter(Storable.isId))}) AND cause = 'event' AND NOT ready`.pipe(
        Effect.flatMap(decodeIds),
        Effect.map((rows) => new Set(rows.map(({ id }) => id))),
        toStoreError("reading staged deletions")
      ),

    unseen: (connectionId, listing, { after, coverage, limit }) =>
      sql`SELECT external_id AS id FROM content
          JOIN connection ON connection.id = content.connection_id
          LEFT JOIN listing AS open ON open.connection_id = content.connection_id
            AND open.listing = ${Storable.text(listing)}
        WHERE content.connection_id = ${connectionId} AND state = 'stored' AND external_id > ${after}
          AND ${Listings.isIn(sql, coverage)} AND content.scope_epoch = connection.scope_epoch
          AND (open.listing IS NULL OR content.created_at < open.started_at)
          AND NOT EXISTS (SELECT 1 FROM staged_deletion AS staged
            WHERE staged.connection_id = ${connectionId} AND staged.external_id = content.external_id)
          AND NOT EXISTS (SELECT 1 FROM seen WHERE open.listing IS NOT NULL
            AND seen.connection_id = ${connectionId} AND seen.external_id = content.external_id)
        ORDER BY external_id LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeIds),
        Effect.map((rows) => rows.map(({ id }) => id)),
        toStoreError("reading what a listing has not seen")
      ),

    deletions: (connectionId, { limit, which }) => {
      const chosen = which === "held" ? sql`held` : sql`true`
      return Effect.gen(function* () {
        // The token identifies the listed deletions, so both are read in one snapshot.
        yield* sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY`.unprepared
        const rows = yield* sql`SELECT external_id AS "externalId", kind, title, occurred_at AS "occurredAt", cause,
            staged_at AS "stagedAt"
          FROM staged_deletion LEFT JOIN content USING (connection_id, external_id)
          WHERE connection_id = ${connectionId} AND ${chosen} ORDER BY external_id LIMIT ${limit}`
        const deletions = yield* decodeDeletions(rows)
        return { deletions, ...(yield* headOf(connectionId, chosen)) }
      }).pipe(inTransaction, toStoreError("reading staged deletions"))
    },

    approveDeletions: (connectionId, approved) =>
      Effect.gen(function* () {
        yield* lockConnection(sql, connectionId)
        if ("token" in approved) {
          const { token } = yield* headOf(connectionId, sql`held`)
          if (token !== approved.token) return yield* new DeletionsChanged({ connectionId, externalId: null })
          return yield* remove(connectionId, sql`held`)
        }
        const ids = texts(approved.externalIds.map(Storable.text))
        const other = yield* sql`SELECT id FROM unnest(${ids}) AS approved(id) WHERE NOT EXISTS (
          SELECT 1 FROM staged_deletion WHERE connection_id = ${connectionId} AND external_id = id AND held) LIMIT 1`
        const [absent] = yield* decodeIds(other)
        if (absent !== undefined) return yield* new DeletionsChanged({ connectionId, externalId: absent.id })
        return yield* remove(connectionId, sql`held AND external_id = ANY(${ids})`)
      }).pipe(inTransaction, toStoreError("applying deletions"))
  } satisfies Methods
})

export const layer: Layer.Layer<DeletionStore, never, SqlClient.SqlClient | CurrentEpoch> = Layer.effect(
  DeletionStore,
  make
)
