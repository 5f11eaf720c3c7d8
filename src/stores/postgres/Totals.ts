/**
 * The totals of a connection: the number of its contents in each state, their bytes, and its held deletions. They are
 * in one row, which each transaction that changes contents updates by its difference. Such a transaction holds the
 * connection's lock, so two of them never wait for each other's totals.
 */
import type * as SqlClient from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { texts } from "./Parameters.ts"

/** The difference that a statement makes to the totals. */
interface Difference {
  /**
   * The name of a relation with a row for each changed content: its `state`, `pending` and `size`, and their previous
   * values `was_state`, `was_pending` and `was_size` (null for new content).
   */
  readonly moved?: string
  /** The SQL of the number by which the held deletions grow. */
  readonly held?: string
}

const columns = ["stored", "failed", "dead", "deferred", "deleted", "bytes", "deletions_held"]

const none = `(SELECT NULL AS state, NULL AS pending, 0 AS size, NULL AS was_state, NULL AS was_pending, 0 AS was_size
  WHERE false) AS none`

const difference = (column: string, value: string) =>
  `count(*) FILTER (WHERE ${column} = '${value}') - count(*) FILTER (WHERE was_${column} = '${value}') AS ${value}`

const before = `INSERT INTO totals AS t (connection_id, ${columns.join(", ")}) SELECT `

const after = ({ held = "0", moved = none }: Difference) => `, ${columns.join(", ")} FROM (
    SELECT ${difference("state", "stored")}, ${difference("pending", "failed")}, ${difference("pending", "dead")},
      ${difference("pending", "deferred")}, ${difference("state", "deleted")},
      coalesce(sum(size) FILTER (WHERE state = 'stored'), 0)
        - coalesce(sum(was_size) FILTER (WHERE was_state = 'stored'), 0) AS bytes,
      ${held} AS deletions_held
    FROM ${moved}
  ) AS more
  WHERE (${columns.join(", ")}) <> (${columns.map(() => "0").join(", ")})
  ON CONFLICT (connection_id) DO UPDATE SET ${columns.map((name) => `${name} = t.${name} + excluded.${name}`).join(", ")}`

/**
 * Adds a difference to the totals of the connection `$1`, as a part of the statement that makes it. Writes nothing if
 * the totals do not change.
 */
export const addText = (given: Difference): string => `${before}$1::uuid${after(given)}`

/** Adds a difference to the totals of this connection, like `addText`. */
export const add = (sql: SqlClient.SqlClient, connectionId: ConnectionId, given: Difference): Fragment =>
  sql`${sql.literal(before)}${connectionId}::uuid${sql.literal(after(given))}`

const wasColumns = "external_id AS was_id, state AS was_state, pending AS was_pending, size AS was_size"

/**
 * The common table expression `was`: ledger rows before the statement, all of them or those of `externalIds`, for its
 * `UPDATE … FROM was` with `external_id = was_id`. `OFFSET 0` keeps the look-up by id: other plans read the whole
 * ledger.
 */
export const wasPending = (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  externalIds: ReadonlyArray<string> | undefined
): Fragment => {
  const columns = sql.literal(wasColumns)
  const rows = sql`SELECT ${columns} FROM content WHERE connection_id = ${connectionId} AND pending IS NOT NULL`
  return externalIds === undefined
    ? sql`was AS (${rows})`
    : sql`was AS (SELECT each.* FROM unnest(${texts(externalIds)}) AS given(id),
        LATERAL (${rows} AND external_id = given.id OFFSET 0) AS each)`
}

/** The rows that such an update returns, as `moved`. */
export const movedColumns = "was_state, was_pending, was_size, state, pending, size"
