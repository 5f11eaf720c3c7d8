/** How far the schema `mirror` and its search are behind the change feed. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Cursor from "../engine/feed/Cursor.ts"
import { texts } from "../stores/postgres/Parameters.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import type { Scope } from "./ReadTokens.ts"
import { oneRow } from "../stores/postgres/RowDecoders.ts"

/** The most rows that are counted. */
const most = 10_000

export interface Lag {
  /** The number of changes that are not derived yet, at most 10,000. */
  readonly behind: number
  /** Seconds since the oldest of these changes; 0 if there is none. */
  readonly seconds: number
  /** The time of that change: everything stored before it is derived. Null if nothing is missing. */
  readonly since: DateTime.Utc | null
  /** The number of contents whose text is not extracted yet, at most 10,000. */
  readonly unread: number
  /**
   * The number of contents whose present state search does not find yet, including those with `unread` texts; at most
   * 10,000.
   */
  readonly unindexed: number
  /** True while everything is being derived again and some of these changes are not derived yet. */
  readonly rebuilding: boolean
}

const decodeState = oneRow(Schema.Struct({ cursor: Schema.NullOr(Schema.String), rebuilding: Schema.Boolean }))
const decodeLag = oneRow(
  Schema.Struct({
    behind: Schema.Int,
    seconds: Schema.Finite,
    since: Schema.NullOr(Schema.DateTimeUtcFromDate),
    unread: Schema.Int,
    unindexed: Schema.Int
  })
)

/** Reads the lag of these connections or of all. Reads only the beginnings of three indexes, so its time is bounded. */
export const read = Effect.fnUntraced(function* (of: Scope) {
  const sql = yield* SqlClient.SqlClient
  const counted = of === undefined ? sql`true` : sql`connection_id = ANY(${texts(of)}::uuid[])`
  const { cursor, rebuilding } = yield* decodeState(yield* sql`SELECT cursor, rebuilding FROM derived.follower`)
  // A cursor of another epoch is treated as no cursor: the follower begins again.
  const found =
    cursor === null ? undefined : Result.getOrUndefined(yield* Effect.result(Cursor.changePlace(undefined, cursor)))
  const { row, transaction } = found?.place ?? { row: null, transaction: 0n }
  const rows = yield* sql`SELECT count(*)::float8 AS behind, min(updated_at) AS since,
      greatest(0, coalesce(extract(epoch FROM clock_timestamp() - min(updated_at)), 0))::float8 AS seconds,
      (SELECT count(*)::float8 FROM (SELECT 1 FROM derived.text
        WHERE version IS NULL AND part = -1 AND ${counted} LIMIT ${most}) AS due) AS unread,
      (SELECT count(*)::float8 FROM (SELECT 1 FROM derived.pending WHERE ${counted} LIMIT ${most}) AS due) AS unindexed
    FROM (SELECT updated_at FROM content
      WHERE changed_xid IS NOT NULL AND (changed_xid, connection_id, external_id) > (${String(transaction)}::text::xid8,
        ${row?.connectionId ?? "00000000-0000-0000-0000-000000000000"}::uuid, ${row?.externalId ?? ""}) AND ${counted}
      ORDER BY changed_xid, connection_id, external_id LIMIT ${most}) AS waiting`
  const lag = yield* decodeLag(rows)
  // A content first waits for its text, and then in the queue of the index.
  const unindexed = Math.min(lag.unread + lag.unindexed, most)
  return { ...lag, unindexed, rebuilding: rebuilding && lag.behind > 0 } satisfies Lag
}, toStoreError("reading how far the schema mirror is"))
