/**
 * The changes of content, ordered by transaction id, so that a late commit never adds a change before one that was
 * already read. Only ids below `pg_snapshot_xmin` are read: each of those transactions has ended in the snapshot of the
 * same statement, and each later writer gets a higher id. Rows written under a savepoint have the id of the whole
 * transaction. A prepared transaction (two-phase commit) counts as running.
 *
 * Contents of a disconnected connection that are still to be removed (see Purge.ts) are not read.
 *
 * So a long transaction that writes, anywhere in the cluster, delays the feed until it ends. A transaction that only
 * reads has no id and delays nothing.
 *
 * A position never passes the newest change that was read. After a crash, the server gives out again the ids of the
 * last transactions of which nothing reached the disk: those that were given up, but not those of visible changes,
 * which were flushed with their commit. A position after such an id would skip the change that gets the id next.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { ChangeKind, type ChangePage, FeedHolder } from "../../engine/model/Change.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { FeedStore } from "../../engine/store/FeedStore.ts"
import * as Storable from "../Storable.ts"
import { epochColumns, epochFields, CurrentEpoch } from "./FeedEpoch.ts"
import { allRows, contentColumns, contentFields, oneRow } from "./RowDecoders.ts"
import { isUuid } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"

type Methods = FeedStore["Service"]

const decodeHolder = allRows(FeedHolder)

/**
 * Returns the transaction that holds the feed back; null if none writes. A role without `pg_read_all_stats` sees only
 * its own sessions. The transaction of this statement is not included.
 */
export const holder = (sql: SqlClient.SqlClient): Effect.Effect<FeedHolder | null, SqlError> =>
  Effect.flatMap(
    sql`SELECT seconds, process, application FROM (
        SELECT backend_xid AS xid, pid AS process, application_name AS application,
          greatest(0, extract(epoch FROM clock_timestamp() - xact_start))::float8 AS seconds
        FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
        UNION ALL
        SELECT transaction, NULL, 'prepared transaction ' || gid,
          greatest(0, extract(epoch FROM clock_timestamp() - prepared))::float8
        FROM pg_prepared_xacts
      ) AS writing ORDER BY age(xid) DESC LIMIT 1`,
    (rows) => Effect.map(decodeHolder(rows), ([found]) => found ?? null)
  )

const Transaction = Schema.BigIntFromString

const Head = Schema.Struct({
  ...epochFields,
  isCurrent: Schema.Boolean,
  horizon: Transaction,
  newest: Schema.NullOr(Transaction)
})
const Row = Schema.Struct({
  ...contentFields,
  transaction: Transaction,
  connectionId: ConnectionId,
  change: ChangeKind,
  stored: Schema.NullOr(Transaction),
  undeleted: Schema.NullOr(Transaction)
})
const decodeHead = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Head))
const decodeRows = allRows(Row)
const decodeChanged = oneRow(
  Schema.Struct({
    newest: Schema.NullOr(Transaction),
    horizon: Transaction,
    connections: Schema.Array(ConnectionId)
  })
)

/** The newest visible change, read from the end of the index. */
const newest = `(SELECT changed_xid FROM content WHERE changed_xid < horizon ORDER BY changed_xid DESC LIMIT 1)`

/** Returns the transaction from which a reader continues who has read everything up to the newest change. */
const after = (newest: bigint | null, from: bigint): bigint => (newest === null || newest < from ? from : newest + 1n)

/** The columns of a change without its transaction id, which is read as a number for ordering. */
const changeColumns = [...Object.keys(contentFields), "connectionId", "change", "stored", "undeleted"]
  .map((name) => `"${name}"`)
  .join(", ")

/** Sorts before every row: no connection has this id. */
const first = { connectionId: "00000000-0000-0000-0000-000000000000", externalId: "" }

const make: Effect.Effect<Methods, never, SqlClient.SqlClient | CurrentEpoch> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { epoch: currentEpoch, isCurrent } = yield* CurrentEpoch
  const head = sql`SELECT now.*, ${sql.literal(newest)} AS newest
    FROM (SELECT ${sql.literal(epochColumns)}, ${isCurrent} AS "isCurrent",
      pg_snapshot_xmin(pg_current_snapshot()) AS horizon FROM meta) AS now`
  const columns = sql.literal(`${changeColumns}, visible.transaction::text AS transaction`)

  const changes: Methods["changes"] = Effect.fnUntraced(function* (query) {
    const { transaction, row } = query.after ?? { transaction: 0n, row: null }
    const { connectionId, externalId } = row ?? first
    const mine =
      query.connectionId === undefined
        ? sql`true`
        : isUuid(query.connectionId)
          ? sql`connection_id = ${query.connectionId}`
          : sql`false`
    // The bounds of one range of the index, which is read in order until the page is full.
    const found = yield* sql`WITH head AS MATERIALIZED (${head})
      SELECT head."databaseId", head.number, head.id, head."isCurrent", head.horizon::text AS horizon,
        head.newest::text AS newest, ${columns}
      FROM head LEFT JOIN LATERAL (
        SELECT ${sql.literal(contentColumns)}, changed_xid AS transaction, connection_id AS "connectionId", change,
          CASE change WHEN 'stored' THEN changed_xid ELSE stored_xid END::text AS stored,
          CASE change WHEN 'undeleted' THEN changed_xid ELSE undeleted_xid END::text AS undeleted
        FROM content
        WHERE changed_xid < head.horizon AND ${mine}
          AND (changed_xid, connection_id, external_id) >
            (${String(transaction)}::text::xid8, ${connectionId}::uuid, ${Storable.text(externalId)})
          AND EXISTS (SELECT 1 FROM connection WHERE connection.id = content.connection_id)
        ORDER BY changed_xid, connection_id, external_id LIMIT ${query.limit + 1}
      ) AS visible ON true
      ORDER BY visible.transaction, "connectionId", "externalId" COLLATE "C"`.pipe(toStoreError("reading changes"))
    const [{ horizon, isCurrent: isSame, newest: last, ...epoch }] = yield* Effect.orDie(decodeHead(found))
    if (!isSame) {
      yield* currentEpoch
      return yield* changes(query)
    }
    const isEmpty = found.length === 1 && (found[0] as { readonly transaction: unknown }).transaction === null
    const rows = isEmpty ? [] : yield* decodeRows(found.slice(0, query.limit))
    const list = rows.map(({ change, connectionId, stored, transaction, undeleted, ...content }) => ({
      place: { transaction, row: { connectionId, externalId: content.externalId } },
      connectionId,
      change,
      became: { stored, undeleted },
      content: { ...content, state: change === "deleted" ? ("deleted" as const) : ("stored" as const) }
    }))
    const more = found.length > query.limit
    return {
      epoch,
      changes: list,
      next: (more ? list.at(-1)?.place : undefined) ?? { transaction: after(last, transaction), row: null },
      more,
      isAhead: transaction > horizon
    } satisfies ChangePage
  })

  const changedSince = (from: bigint) => sql`SELECT DISTINCT connection_id FROM content
    WHERE changed_xid >= ${String(from)}::text::xid8 AND changed_xid < horizon`

  // From the beginning, the range would be the whole index. Instead, the query looks for the first content of each
  // connection. The order makes it one index probe, however many contents a connection has.
  const everChanged = sql`SELECT id FROM connection, LATERAL (SELECT true FROM content
    WHERE connection_id = id AND changed_xid < horizon ORDER BY external_id LIMIT 1) AS any_change`

  return {
    changes,

    epoch: currentEpoch,

    holder: holder(sql).pipe(toStoreError("looking for what the feed waits for")),

    changed: (from) =>
      sql`SELECT ${sql.literal(newest)}::text AS newest, horizon::text AS horizon,
          ARRAY(${from === 0n ? everChanged : changedSince(from)}) AS connections
        FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon) AS head`.pipe(
        Effect.flatMap(decodeChanged),
        Effect.map(({ connections, horizon, newest: last }) => ({
          connections: new Set(connections),
          // A place above the horizon would seem to be of a future that the database has lost.
          next: from > horizon ? horizon : after(last, from)
        })),
        toStoreError("looking for changes")
      )
  }
})

export const layer: Layer.Layer<FeedStore, never, SqlClient.SqlClient | CurrentEpoch> = Layer.effect(FeedStore, make)
