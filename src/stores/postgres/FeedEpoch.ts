/**
 * Detects that transaction ids of this database are no longer comparable with earlier ones. After a restore, a copy or
 * a move, ids that readers of the feed have seen are used again, or new ids begin far below them. `meta.home` describes
 * the database in which the epoch began, in the parts that the role may read. If one differs, a new epoch begins:
 *
 * - `system`, `database` and `table`: another cluster, another database in it, or recreated tables (a restored dump);
 * - `timeline`: a recovery to a point in time, or a standby that was promoted and may lack the last transactions. The
 *   cursors of webhooks stay valid (see `keepCursors`);
 * - `file`: when the cluster's `PG_VERSION` was last changed, which is never written to: a folder that was copied back.
 *   Only a role that may stat files can read it, as that of the embedded server.
 *
 * A new epoch supersedes every run: pages that a run committed before may be lost, so its next checkpoint would pass
 * over them.
 *
 * Some cases change none of these parts: a restored image of the whole disk, and rows that were restored into the same
 * tables. They need `idem migrate --new-epoch`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import { isSqlError } from "effect/sql/SqlError"
import * as Cursor from "../../engine/feed/Cursor.ts"
import type { Epoch } from "../../engine/model/Change.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"
import { allRows, oneRow } from "./RowDecoders.ts"

const decodeRights = oneRow(Schema.Struct({ system: Schema.Boolean, timeline: Schema.Boolean, file: Schema.Boolean }))

/**
 * The timeline of the write-ahead log. A standby refuses to return the position of its log: a process that starts there
 * learns the timeline once the standby is promoted.
 */
const timelineNow = "CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END"

/** Some services that speak PostgreSQL's protocol have no write-ahead log, and refuse to return its position. */
const hasTimeline = (sql: SqlClient.SqlClient) =>
  Effect.catchIf(
    Effect.as(sql`SELECT ${sql.literal(timelineNow)}`, true),
    (error) => isSqlError(error) && error.reason._tag !== "ConnectionError",
    () => Effect.succeed(false)
  )

/** Returns the SQL of the database's present description: a `jsonb` of the parts that this role may read. */
const description = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const rows = yield* sql`SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS system,
      has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE') AS timeline,
      has_function_privilege('pg_stat_file(text)', 'EXECUTE') AS file`
    const may = yield* decodeRights(rows)
    const system = may.system ? "(SELECT system_identifier::text FROM pg_control_system())" : "NULL"
    const timeline = may.timeline && (yield* hasTimeline(sql)) ? timelineNow : "NULL"
    const file = may.file ? `(SELECT extract(epoch FROM change)::text FROM pg_stat_file('PG_VERSION'))` : "NULL"
    return sql.literal(`jsonb_strip_nulls(jsonb_build_object('system', ${system},
      'database', (SELECT oid::text FROM pg_database WHERE datname = current_database()),
      'table', 'meta'::regclass::oid::text, 'timeline', ${timeline}, 'file', ${file}))`)
  })

/** Returns a condition on `meta`: the epoch began in this database. No part that both descriptions have differs. */
const isCurrent = (sql: SqlClient.SqlClient, present: Fragment): Fragment =>
  sql`NOT EXISTS (SELECT 1 FROM jsonb_each(meta.home::jsonb) AS was JOIN jsonb_each(${present}) AS now USING (key)
    WHERE was.value <> now.value)`

/** Returns a condition on `meta` that the database is the same one after a failover or a recovery. */
const isSameAfterRecovery = (sql: SqlClient.SqlClient, present: Fragment): Fragment =>
  sql`coalesce((SELECT bool_or(key = 'timeline') AND NOT bool_or(key IN ('system', 'database', 'table'))
    FROM jsonb_each(meta.home::jsonb) AS was JOIN jsonb_each(${present}) AS now USING (key)
    WHERE was.value <> now.value), false)`

export const epochColumns = `database_id AS "databaseId", epoch::float8 AS number, epoch_id AS id`
export const epochFields = { databaseId: Schema.String, number: Schema.Int, id: Schema.String }

const State = Schema.Struct({
  ...epochFields,
  isCurrent: Schema.Boolean,
  isKnown: Schema.Boolean,
  isSameAfterRecovery: Schema.Boolean
})
const decodeState = oneRow(State)
const decodeEpoch = oneRow(Schema.Struct(epochFields))

/** Reads the epoch, and compares the database in which it began with the present one. */
const readState = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, present: Fragment, lock: Fragment) {
  const rows = yield* sql`SELECT ${sql.literal(epochColumns)}, ${isCurrent(sql, present)} AS "isCurrent",
      coalesce(meta.home::jsonb @> ${present}, false) AS "isKnown",
      ${isSameAfterRecovery(sql, present)} AS "isSameAfterRecovery" FROM meta ${lock}`
  const { databaseId, id, number, ...comparison } = yield* decodeState(rows)
  return { epoch: { databaseId, number, id }, ...comparison }
})

/**
 * Gives the id of this transaction to changes that no reader can see yet. After a restore, this cluster's transaction
 * ids may be lower than those of stored changes, and readers would not see such a change until the ids catch up. Call
 * this after a write, so that this transaction has an id.
 */
const announceAnew = (sql: SqlClient.SqlClient) =>
  sql`UPDATE content SET changed_xid = pg_current_xact_id(), stored_xid = pg_current_xact_id(), undeleted_xid = NULL
    WHERE changed_xid >= pg_snapshot_xmin(pg_current_snapshot())`

/**
 * Supersedes every run. Fences that were taken before may be lost too, and are never given out again: the new ones are
 * far above them. Rows are locked in the order of their ids, as by the acquiring of leases.
 */
const supersedeRuns = (sql: SqlClient.SqlClient) =>
  sql`UPDATE connection SET fence = connection.fence + 1000000, lease_until = least(lease_until, clock_timestamp())
    FROM (SELECT id FROM connection ORDER BY id FOR NO KEY UPDATE) AS locked WHERE connection.id = locked.id`

const decodeCursors = allRows(Schema.Struct({ cursor: Schema.String }))

/**
 * Moves the cursors of webhooks into the epoch `to`. A recovery restores an earlier state of the database: every
 * transaction below such a cursor had ended before the cursor was written, so it has also ended in that state, and
 * every transaction after the recovery has a higher id than the one that wrote the cursor. A cursor that a reader keeps
 * outside of the database may be later than that state.
 */
const keepCursors = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  epochs: { readonly from: Epoch; readonly to: Epoch }
) {
  const rows = yield* sql`SELECT DISTINCT cursor FROM webhook WHERE cursor IS NOT NULL`
  for (const { cursor } of yield* decodeCursors(rows)) {
    const kept = Cursor.inEpoch(cursor, epochs)
    if (kept !== undefined) yield* sql`UPDATE webhook SET cursor = ${kept} WHERE cursor = ${cursor}`
  }
})

/** Begins a new epoch if the database has moved since the present one began, or in any case with `always`. */
export const beginIfMoved = Effect.fn("FeedEpoch.beginIfMoved")(function* (options: {
  readonly always: boolean
}): Effect.fn.Return<{ readonly epoch: Epoch; readonly begun: boolean }, StoreError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  return yield* Effect.gen(function* () {
    const present = yield* description(sql)
    const { epoch, isKnown } = yield* readState(sql, present, sql``)
    if (isKnown && !options.always) return { epoch, begun: false }
    return yield* Effect.gen(function* () {
      // Another process may have begun the epoch first.
      const before = yield* readState(sql, present, sql`FOR UPDATE`)
      if (before.isKnown && !options.always) return { epoch: before.epoch, begun: false }
      // A new database has no description and no reader yet. If fewer parts were known before, the epoch stays.
      const stays = before.isCurrent && !options.always
      const rows = yield* sql`UPDATE meta SET
          home = (CASE WHEN ${stays} THEN coalesce(home, '{}')::jsonb ELSE '{}' END || ${present})::text,
          epoch = CASE WHEN ${stays} THEN epoch ELSE epoch + 1 END,
          epoch_id = CASE WHEN ${stays} THEN epoch_id ELSE gen_random_uuid() END
        RETURNING ${sql.literal(epochColumns)}`
      const epoch = yield* decodeEpoch(rows)
      if (!stays) yield* supersedeRuns(sql)
      yield* announceAnew(sql)
      if (before.isSameAfterRecovery && !options.always) yield* keepCursors(sql, { from: before.epoch, to: epoch })
      return { epoch, begun: !stays }
    }).pipe(transaction(sql))
  }).pipe(toStoreError("looking where the database is"))
})

/** Logs why all readers of the feed have to begin again. */
export const logNewEpoch = ({ begun, epoch }: { readonly begun: boolean; readonly epoch: Epoch }) =>
  begun
    ? Effect.logWarning(
        `the database was restored, moved or failed over: epoch ${epoch.number} begins: readers of changes start again`
      )
    : Effect.void

/** The present epoch of the database. */
export class CurrentEpoch extends Context.Service<
  CurrentEpoch,
  {
    /** A condition on `meta`: the epoch began in this database (see `isCurrent`). */
    readonly isCurrent: Fragment
    /** Returns the present epoch. Begins a new one first if the database has moved. */
    readonly epoch: Effect.Effect<Epoch, StoreError>
  }
>()("idem/stores/postgres/FeedEpoch/CurrentEpoch") {}

export const layer: Layer.Layer<CurrentEpoch, StoreError, SqlClient.SqlClient> = Layer.effect(
  CurrentEpoch,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const present = yield* description(sql).pipe(toStoreError("looking where the database is"))
    const begin = beginIfMoved({ always: false }).pipe(
      Effect.tap(logNewEpoch),
      Effect.map(({ epoch }) => epoch),
      Effect.provideService(SqlClient.SqlClient, sql)
    )
    const epoch = Effect.gen(function* () {
      const state = yield* readState(sql, present, sql``)
      return state.isCurrent ? state.epoch : yield* begin
    }).pipe(toStoreError("reading the database's epoch"))
    return { isCurrent: isCurrent(sql, present), epoch }
  })
)
