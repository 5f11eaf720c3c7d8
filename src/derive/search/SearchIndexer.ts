/**
 * Keeps the search vectors up to date with derived rows and texts. `derived.pending` names the contents whose rows or
 * texts changed; a batch of them is indexed in one transaction, which also deletes the entries that it has read. A
 * content whose text is not extracted yet is not in it, so that it is indexed once.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SearchField, Table } from "../../contract/Projection.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import { int8s, literal, texts } from "../../stores/postgres/Parameters.ts"
import { toStoreError } from "../../stores/postgres/SqlErrors.ts"
import { transaction } from "../../stores/postgres/Transactions.ts"
import { bisected } from "../BisectedWrite.ts"
import * as SearchSchema from "./SearchSchema.ts"
import { allRows } from "../../stores/postgres/RowDecoders.ts"
import * as AdvisoryLocks from "../../stores/postgres/AdvisoryLocks.ts"

/** The number of contents in one transaction. */
const batchSize = 200

/** The most characters of text that are indexed, of one part and of one content. */
const longestPart = 150_000
const longestBody = 300_000

const Key = Schema.Struct({ connectionId: Schema.String, externalId: Schema.String })
const Pending = Schema.Struct({ ...Key.fields, position: Schema.BigIntFromString })
type Pending = typeof Pending.Type
const decodePending = allRows(Pending)
const decodeKeys = allRows(Key)

const keysOf = (contents: ReadonlyArray<typeof Key.Type>) => [
  texts(contents.map(({ connectionId }) => connectionId)),
  texts(contents.map(({ externalId }) => externalId))
]

/** The SQL of the field that a column is searched by: a fixed field, or one that depends on another column. */
const fieldOf = (field: SearchField): string =>
  typeof field === "string"
    ? literal(field)
    : `CASE t."${field.by}" ${Object.entries(field.fields)
        .map(([value, name]) => `WHEN ${literal(value)} THEN ${literal(name)}`)
        .join(" ")} END`

/** Returns the values that a table adds to the documents of the contents in `given`: rows of field, value and order. */
const valuesOf = (table: Table): ReadonlyArray<string> =>
  Object.entries(table.search ?? {}).map(([column, field], index) => {
    const lookup = table.lookups?.[column]
    const value =
      lookup === undefined
        ? table.columns[column]?.type === "text[]"
          ? `unnest(t."${column}")`
          : `t."${column}"::text`
        : `looked."${lookup.value}"::text`
    const join =
      lookup === undefined
        ? ""
        : `JOIN derived."${lookup.table}" AS looked ON looked.connection_id = t.connection_id
            AND looked.external_id = ${literal(lookup.prefix)} || t."${lookup.on}"`
    return `SELECT t.connection_id, t.external_id, ${fieldOf(field)} AS field, ${value} AS value, ${index} AS position
      FROM given JOIN derived."${table.name}" AS t USING (connection_id, external_id) ${join}`
  })

/** The address after a name is in angle brackets. */
const sender = `left(string_agg(CASE WHEN position > 0 AND value LIKE '%@%' THEN '<' || value || '>' ELSE value END, ' '
  ORDER BY position) FILTER (WHERE field = 'from'), 300)`

const joined = (field: string): string => `string_agg(value, ' ' ORDER BY position) FILTER (WHERE field = '${field}')`

/**
 * Returns the SQL that writes the rows of the contents in `$1` (connections) and `$2` (ids), and returns the changed
 * ones.
 */
const upsert = (tables: ReadonlyArray<Table>): string => {
  const values = tables.flatMap(valuesOf)
  return `WITH
    given AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::text[]) AS given(connection_id, external_id)),
    value AS (${
      values.length === 0
        ? "SELECT connection_id, external_id, '' AS field, '' AS value, 0 AS position FROM given WHERE false"
        : values.join(" UNION ALL ")
    }),
    document AS (SELECT connection_id, external_id, ${sender} AS sender, ${joined("from")} AS senders,
        ${joined("to")} AS recipients, ${joined("in")} AS place,
        array_agg(value) FILTER (WHERE field = 'label') AS labels
      FROM value WHERE value <> '' GROUP BY connection_id, external_id),
    body AS (SELECT connection_id, external_id,
        left(string_agg(left(text, ${longestPart}), E'\\n' ORDER BY part), ${longestBody}) AS text,
        left(string_agg(file_name, ' ' ORDER BY part), 10000) AS files,
        bool_or(part >= 0 AND inline IS NOT TRUE) AS has_attachment
      FROM given JOIN derived.text USING (connection_id, external_id) GROUP BY connection_id, external_id)
    INSERT INTO derived.search AS old (connection_id, external_id, occurred_at, deleted, sender, vector)
    SELECT content.connection_id, content.external_id, coalesce(content.occurred_at, '-infinity'),
      content.state = 'deleted', document.sender,
      derived.search_vector(coalesce('derived.' || quote_ident('idem_' || language), 'derived.idem_simple')::regconfig,
        content.title, document.senders, document.recipients, document.place, body.files, document.labels,
        content.kind, body.has_attachment, content.occurred_at, body.text)
    FROM given JOIN derived.content AS content USING (connection_id, external_id)
      LEFT JOIN document USING (connection_id, external_id) LEFT JOIN body USING (connection_id, external_id)
      LEFT JOIN derived.search_language USING (connection_id)
    ON CONFLICT (connection_id, external_id) DO UPDATE SET occurred_at = excluded.occurred_at,
      deleted = excluded.deleted, sender = excluded.sender, vector = excluded.vector
    WHERE (old.occurred_at, old.deleted, old.sender, old.vector)
      IS DISTINCT FROM (excluded.occurred_at, excluded.deleted, excluded.sender, excluded.vector)
    RETURNING connection_id AS "connectionId", external_id AS "externalId"`
}

/**
 * Returns the SQL of contents whose documents contain the name of one of those in `$1` and `$2`: a message has the name
 * of its user.
 */
const dependents = (table: Table): ReadonlyArray<string> =>
  Object.entries(table.lookups ?? {})
    .filter(([column]) => table.search?.[column] !== undefined)
    .map(
      ([, { on, prefix, table: other }]) => `INSERT INTO derived.pending (connection_id, external_id)
        SELECT DISTINCT t.connection_id, t.external_id
        FROM unnest($1::uuid[], $2::text[]) AS given(connection_id, external_id)
          JOIN derived."${other}" AS looked USING (connection_id, external_id)
          JOIN derived."${table.name}" AS t ON t.connection_id = looked.connection_id
            AND t."${on}" = substr(looked.external_id, ${prefix.length + 1})
        WHERE starts_with(looked.external_id, ${literal(prefix)})
        ON CONFLICT (connection_id, external_id) DO UPDATE SET position = DEFAULT`
    )

export const make = Effect.fnUntraced(function* (tables: ReadonlyArray<Table>) {
  const sql = yield* SqlClient.SqlClient
  yield* SearchSchema.ensure
  const upsertAll = upsert(tables)
  const dependentsOf = tables.flatMap(dependents)

  const pending = sql`SELECT connection_id AS "connectionId", external_id AS "externalId", position::text AS position
    FROM derived.pending ORDER BY position LIMIT ${batchSize}`.pipe(Effect.flatMap(decodePending))

  const dequeue = (batch: ReadonlyArray<Pending>) =>
    sql`DELETE FROM derived.pending USING unnest(${int8s(batch.map(({ position }) => position))}) AS read
      WHERE pending.position = read`

  /** Indexes these contents, and removes them from the queue. */
  const index = (batch: ReadonlyArray<Pending>) =>
    Effect.gen(function* () {
      const keys = keysOf(batch)
      // A purge waits for this lock, or has already removed the contents.
      yield* AdvisoryLocks.share(sql, "derivedRows")
      const changed = yield* decodeKeys(yield* sql.unsafe(upsertAll, keys))
      yield* sql.unsafe(
        `DELETE FROM derived.search AS old USING unnest($1::uuid[], $2::text[]) AS given(connection_id, external_id)
          WHERE old.connection_id = given.connection_id AND old.external_id = given.external_id AND NOT EXISTS (
            SELECT 1 FROM derived.content WHERE content.connection_id = given.connection_id
              AND content.external_id = given.external_id)`,
        keys
      )
      if (changed.length > 0) {
        const of = keysOf(changed)
        yield* sql.unsafe("SELECT derived.search_learn($1::uuid[], $2::text[])", of)
        yield* Effect.forEach(dependentsOf, (statement) => sql.unsafe(statement, of), { discard: true })
      }
      yield* dequeue(batch)
    }).pipe(transaction(sql))

  /**
   * Removes a content that can't be indexed from the queue, so that the rest is indexed. Search does not find it then.
   */
  const giveUp = (one: Pending, cause: Cause.Cause<unknown>) =>
    Effect.gen(function* () {
      yield* Effect.logError(`${one.externalId} can't be indexed, so search does not find it`, cause).pipe(
        Effect.annotateLogs({ connection: one.connectionId })
      )
      yield* sql`DELETE FROM derived.search
        WHERE connection_id = ${one.connectionId}::uuid AND external_id = ${one.externalId}`
      yield* dequeue([one])
    }).pipe(transaction(sql))

  /** Indexes one batch. Returns the number of its contents. */
  const step: Effect.Effect<number, StoreError> = Effect.gen(function* () {
    const batch = yield* pending
    if (batch.length > 0) yield* bisected(batch, index, giveUp)
    return batch.length
  }).pipe(toStoreError("indexing for search"))

  return { step }
})
