/**
 * When transaction ids of this database stop to mean what they meant: after a restore, a copy or a move, ids are given
 * again that readers of the changes have seen, or begin far below them. `meta.home` says where the epoch was begun, in
 * as many parts as the role may know; a part that is another now begins a new epoch:
 *
 * - `system`, `database` and `table`: another cluster, another database in it, tables that were made anew (a dump that
 *   was restored);
 * - `timeline`: a recovery to a point in time, or a standby that was promoted and may lack the last transactions. The
 *   cursors of webhooks stay valid (see `keepCursors`);
 * - `file`: when the system last changed the cluster's `PG_VERSION`, which nobody writes to: a folder that was copied
 *   back. Only a role that may look at files can tell, as Idem's own server's.
 *
 * A disk that was put back whole as it was shows in none of them, nor do rows that were put back into the same tables:
 * `idem migrate --new-epoch`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as SqlClient from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import { isSqlError } from "effect/sql/SqlError"
import * as Cursor from "../../engine/feed/Cursor.ts"
import type { Epoch } from "../../engine/model/Change.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"

const decodeRights = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ system: Schema.Boolean, timeline: Schema.Boolean, file: Schema.Boolean })])
)

/** Some services that speak PostgreSQL's protocol keep no log of its kind, and refuse to say where it stands. */
const hasTimeline = (sql: SqlClient.SqlClient) =>
  Effect.catchIf(
    Effect.as(sql`SELECT pg_walfile_name(pg_current_wal_lsn())`, true),
    (error) => isSqlError(error) && error.reason._tag !== "ConnectionError",
    () => Effect.succeed(false)
  )

/** The SQL of where we are: a `jsonb` of the parts that this role may know. */
export const here = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const rows = yield* sql`SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS system,
      has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE') AS timeline,
      has_function_privilege('pg_stat_file(text)', 'EXECUTE') AS file`
    const [may] = yield* Effect.orDie(decodeRights(rows))
    const system = may.system ? "(SELECT system_identifier::text FROM pg_control_system())" : "NULL"
    const timeline =
      may.timeline && (yield* hasTimeline(sql)) ? "left(pg_walfile_name(pg_current_wal_lsn()), 8)" : "NULL"
    const file = may.file ? `(SELECT extract(epoch FROM change)::text FROM pg_stat_file('PG_VERSION'))` : "NULL"
    return sql.literal(`jsonb_strip_nulls(jsonb_build_object('system', ${system},
      'database', (SELECT oid::text FROM pg_database WHERE datname = current_database()),
      'table', 'meta'::regclass::oid::text, 'timeline', ${timeline}, 'file', ${file}))`)
  })

/** Whether the epoch was begun here, as a condition on `meta`: no part that is known of both differs. */
export const isHome = (sql: SqlClient.SqlClient, place: Fragment): Fragment =>
  sql`NOT EXISTS (SELECT 1 FROM jsonb_each(meta.home::jsonb) AS was JOIN jsonb_each(${place}) AS now USING (key)
    WHERE was.value <> now.value)`

/** Whether the database is the same one after a failover or a recovery, as a condition on `meta`. */
const isSameAfterRecovery = (sql: SqlClient.SqlClient, place: Fragment): Fragment =>
  sql`coalesce((SELECT bool_or(key = 'timeline') AND NOT bool_or(key IN ('system', 'database', 'table'))
    FROM jsonb_each(meta.home::jsonb) AS was JOIN jsonb_each(${place}) AS now USING (key)
    WHERE was.value <> now.value), false)`

export const epochColumns = `database_id AS "databaseId", epoch::float8 AS number, epoch_id AS id`
const epochNames = ["databaseId", "number", "id"] as const
export const epochFields = { databaseId: Schema.String, number: Schema.Int, id: Schema.String }

const State = Schema.Struct({
  ...epochFields,
  isHome: Schema.Boolean,
  isKnown: Schema.Boolean,
  isSameAfterRecovery: Schema.Boolean
})
const decodeState = Schema.decodeUnknownEffect(Schema.Tuple([State]))
const decodeEpoch = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct(epochFields)]))

/**
 * Gives changes that no reader can see yet the id of this transaction. After a restore, this cluster's transaction ids
 * may be lower than those of stored changes, and readers would not see such a change until the ids catch up. Call it
 * after a write, so that this transaction has its id.
 */
const announceAnew = (sql: SqlClient.SqlClient) =>
  sql`UPDATE content SET changed_xid = pg_current_xact_id(), stored_xid = pg_current_xact_id(), undeleted_xid = NULL
    WHERE changed_xid >= pg_snapshot_xmin(pg_current_snapshot())`

const decodeCursors = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ cursor: Schema.String })))

/**
 * Moves the cursors of webhooks into the epoch `to`. A recovery puts back a state that the database was in: every
 * transaction below such a cursor had ended before the cursor was written, so it ended in that state too, and every
 * transaction after the recovery has a higher id than the one that wrote the cursor. A cursor that a reader keeps
 * elsewhere may be from after that state.
 */
const keepCursors = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  epochs: { readonly from: Epoch; readonly to: Epoch }
) {
  const rows = yield* sql`SELECT DISTINCT cursor FROM webhook WHERE cursor IS NOT NULL`
  for (const { cursor } of yield* Effect.orDie(decodeCursors(rows))) {
    const kept = Cursor.inEpoch(cursor, epochs)
    if (kept !== undefined) yield* sql`UPDATE webhook SET cursor = ${kept} WHERE cursor = ${cursor}`
  }
})

/** Begins a new epoch if the database has moved since the present one began, or in any case with `always`. */
export const beginIfMoved = Effect.fn("FeedEpoch.beginIfMoved")(function* (options: {
  readonly always: boolean
}): Effect.fn.Return<{ readonly epoch: Epoch; readonly begun: boolean }, StoreError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const columns = sql.literal(epochColumns)
  return yield* Effect.gen(function* () {
    const place = yield* here(sql)
    const state = (lock: Fragment) =>
      Effect.flatMap(
        sql`SELECT ${columns}, ${isHome(sql, place)} AS "isHome",
          coalesce(meta.home::jsonb @> ${place}, false) AS "isKnown",
          ${isSameAfterRecovery(sql, place)} AS "isSameAfterRecovery" FROM meta ${lock}`,
        (rows) => Effect.orDie(decodeState(rows))
      )
    const [found] = yield* state(sql``)
    if (found.isKnown && !options.always) return { epoch: Struct.pick(found, epochNames), begun: false }
    return yield* Effect.gen(function* () {
      // Another process may have been first.
      const [before] = yield* state(sql`FOR UPDATE`)
      // A database that was just created has no home yet, and no reader; one that knew less of its home stays in it.
      const stays = before.isHome && !options.always
      const rows = yield* sql`UPDATE meta SET
          home = (CASE WHEN ${stays} THEN coalesce(home, '{}')::jsonb ELSE '{}' END || ${place})::text,
          epoch = CASE WHEN ${stays} THEN epoch ELSE epoch + 1 END,
          epoch_id = CASE WHEN ${stays} THEN epoch_id ELSE gen_random_uuid() END
        RETURNING ${columns}`
      const [epoch] = yield* Effect.orDie(decodeEpoch(rows))
      yield* announceAnew(sql)
      if (before.isSameAfterRecovery && !options.always) yield* keepCursors(sql, { from: before, to: epoch })
      return { epoch, begun: !stays }
    }).pipe(transaction(sql))
  }).pipe(toStoreError("looking where the database is"))
})

/** Logs why all readers of the feed begin again. */
export const logNewEpoch = ({ begun, epoch }: { readonly begun: boolean; readonly epoch: Epoch }) =>
  begun
    ? Effect.logWarning(
        `the database was restored, moved or failed over: epoch ${epoch.number} begins, and readers of its changes begin again`
      )
    : Effect.void
