/**
 * Follows the change feed and fills the tables behind the schema `mirror`. The rows of a page of changes and the cursor
 * are written in one transaction, so a killed process loses nothing and repeats at most one page.
 *
 * Bodies are read and parsed before that transaction begins, so that it is short and takes no lock that a sync waits
 * for. The transaction checks that each content is unchanged since it was read: content that has changed appears again
 * in the feed, and content that was purged gets no row.
 *
 * A single follower works at a time (`lockName`). A second one would do no harm: a follower commits only if its cursor
 * is still the stored one.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { Table } from "../contract/Projection.ts"
import * as Cursor from "../engine/feed/Cursor.ts"
import * as Feed from "../engine/feed/Feed.ts"
import type { ChangePage } from "../engine/model/Change.ts"
import type { BodyStore } from "../engine/store/BodyStore.ts"
import { FeedStore } from "../engine/store/FeedStore.ts"
import { byteas, fromHex, int8s, texts } from "../stores/postgres/Parameters.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import { transaction } from "../stores/postgres/Transactions.ts"
import * as ContentProjector from "./ContentProjector.ts"
import * as PendingTexts from "./extract/PendingTexts.ts"
import { bisected } from "./BisectedWrite.ts"
import * as MirrorTables from "./MirrorTables.ts"
import { allRows, oneRow } from "../stores/postgres/RowDecoders.ts"
import * as AdvisoryLocks from "../stores/postgres/AdvisoryLocks.ts"

/** The lock of the process that derives. */
export const lockName = "derive"

/** The number of changes in one transaction. */
const defaultPageSize = 100

/** How many bodies are read at the same time. */
const readsAtOnce = 4

const derivedChanges = Metric.counter("idem_derived_changes_total", {
  description: "Changes that were derived into the schema mirror.",
  incremental: true
})

const State = Schema.Struct({
  cursor: Schema.NullOr(Schema.String),
  generation: Schema.BigInt,
  rebuilding: Schema.Boolean
})
const decodeState = oneRow(State)
const decodeDomains = allRows(Schema.Struct({ id: Schema.String, domain: Schema.String }))
const decodeKeys = allRows(Schema.Struct({ key: Schema.String }))

const keyOf = (connectionId: string, externalId: string) => `${connectionId}/${externalId}`

/** Returns the contents that are unchanged since they were read. Takes the lock that purges wait for. */
const present = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, changes: ChangePage["changes"]) {
  yield* AdvisoryLocks.share(sql, "derivedRows")
  const rows = yield* sql`SELECT given.connection_id || '/' || given.external_id AS key
    FROM unnest(${texts(changes.map(({ connectionId }) => connectionId))}::uuid[],
      ${texts(changes.map(({ content }) => content.externalId))},
      ${texts(changes.map(({ place }) => String(place.transaction)))},
      ${byteas(changes.map(({ content }) => (content.hash === null ? null : fromHex(content.hash))))})
      AS given(connection_id, external_id, transaction, hash)
    JOIN content ON content.connection_id = given.connection_id AND content.external_id = given.external_id
      AND content.changed_xid = given.transaction::xid8 AND content.body_hash IS NOT DISTINCT FROM given.hash`
  return new Set((yield* decodeKeys(rows)).map(({ key }) => key))
})

/**
 * Replaces the rows and texts of these contents. An extracted text is kept if its body has the same bytes, unless the
 * body was missing at the extraction.
 */
const write = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  tables: ReadonlyArray<Table>,
  all: ReadonlyArray<ContentProjector.Derived>
) {
  const keys = {
    connections: texts(all.map(({ change }) => change.connectionId)),
    ids: texts(all.map(({ change }) => change.content.externalId))
  }
  const given = sql`unnest(${keys.connections}::uuid[], ${keys.ids}) AS given(connection_id, external_id)`
  const isGiven = (name: string) => {
    const table = sql(`derived.${name}`)
    return sql`${table}.connection_id = given.connection_id AND ${table}.external_id = given.external_id`
  }
  for (const { name } of tables) {
    yield* sql`DELETE FROM ${sql(`derived.${name}`)} USING ${given} WHERE ${isGiven(name)}`
    const rows = all.flatMap(({ change, rows }) =>
      rows.flatMap(({ row, table }) =>
        table === name ? [{ connection_id: change.connectionId, external_id: change.content.externalId, ...row }] : []
      )
    )
    if (rows.length === 0) continue
    yield* sql`INSERT INTO ${sql(`derived.${name}`)}
      SELECT * FROM json_populate_recordset(NULL::${sql(`derived.${name}`)}, ${JSON.stringify(rows)}::json)`
  }
  const parts = all.flatMap(({ change: { connectionId, content }, text }) =>
    text === undefined ? [] : [{ connectionId, content, text }]
  )
  const kept = {
    connections: texts(parts.map(({ connectionId }) => connectionId)),
    ids: texts(parts.map(({ content }) => content.externalId))
  }
  yield* sql`DELETE FROM derived.text USING ${given} WHERE ${isGiven("text")} AND NOT EXISTS (
      SELECT 1 FROM unnest(${kept.connections}::uuid[], ${kept.ids}) AS kept(connection_id, external_id)
      WHERE kept.connection_id = given.connection_id AND kept.external_id = given.external_id)`
  if (parts.length > 0) {
    const extracted = parts.map(({ content, text }) =>
      text._tag === "given" || content.hash === null
        ? { hash: null, size: null, mediaType: null, fileName: null }
        : {
            hash: fromHex(content.hash),
            size: BigInt(content.size),
            mediaType: content.mediaType,
            fileName: text.fileName
          }
    )
    yield* sql`INSERT INTO derived.text AS old (connection_id, external_id, part, sha256, size, media_type, file_name, text,
        version, next_attempt)
      SELECT connection_id, external_id, -1, sha256, size, media_type, file_name, text,
        CASE WHEN sha256 IS NULL THEN 0 END, CASE WHEN sha256 IS NOT NULL THEN '-infinity'::timestamptz END
      FROM unnest(${kept.connections}::uuid[], ${kept.ids}, ${byteas(extracted.map(({ hash }) => hash))},
        ${int8s(extracted.map(({ size }) => size))}, ${texts(extracted.map(({ mediaType }) => mediaType))},
        ${texts(extracted.map(({ fileName }) => fileName))},
        ${texts(parts.map(({ text }) => (text._tag === "given" ? text.text : null)))})
        AS given(connection_id, external_id, sha256, size, media_type, file_name, text)
      ON CONFLICT (connection_id, external_id, part) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size,
        media_type = excluded.media_type, file_name = excluded.file_name, text = excluded.text,
        version = excluded.version, reason = NULL, next_attempt = excluded.next_attempt, attempts = NULL
      WHERE (old.sha256, old.media_type, old.file_name) IS DISTINCT FROM
          (excluded.sha256, excluded.media_type, excluded.file_name)
        OR old.reason = ${PendingTexts.goneReason}
        OR excluded.sha256 IS NULL AND old.text IS DISTINCT FROM excluded.text`
  }
  // Contents whose texts are not extracted yet are added to the search queue after their extraction: the queue holds
  // only contents that can be indexed now.
  yield* sql`DELETE FROM derived.pending USING ${given} WHERE ${isGiven("pending")}`
  yield* sql`INSERT INTO derived.pending (connection_id, external_id)
    SELECT connection_id, external_id FROM ${given} WHERE NOT EXISTS (SELECT 1 FROM derived.text
      WHERE ${isGiven("text")} AND text.version IS NULL AND text.attempts IS NULL)
    ON CONFLICT (connection_id, external_id) DO UPDATE SET position = DEFAULT`
})

/** Makes a follower for these projections. */
export const make = Effect.fnUntraced(function* (
  projections: MirrorTables.Projections,
  options: { readonly pageSize?: number | undefined } = {}
) {
  const { pageSize = defaultPageSize } = options
  const sql = yield* SqlClient.SqlClient
  const feedStore = yield* FeedStore
  const bodies = yield* Effect.context<BodyStore>()
  const tables = yield* MirrorTables.ensure(projections)
  const project = ContentProjector.make(projections)

  const state = sql`SELECT cursor, generation, rebuilding FROM derived.follower`.pipe(Effect.flatMap(decodeState))

  /**
   * Returns the page after the cursor; undefined if the follower has to begin again, because the database was restored
   * or moved.
   */
  const pageAfter = Effect.fnUntraced(
    function* (cursor: string | null) {
      const found = cursor === null ? undefined : yield* Cursor.changePlace(undefined, cursor)
      const page = yield* feedStore.changes({ after: found?.place, limit: pageSize })
      if (found !== undefined) yield* found.check(page.epoch)
      return page.isAhead ? yield* Cursor.gone : page
    },
    (effect) =>
      Effect.catchTag(effect, "CursorInvalid", ({ message }) =>
        Effect.as(Effect.logWarning(`the derived tables are rebuilt: ${message}`), undefined)
      )
  )

  /** Removes rows that were derived from contents that are no longer in the feed. */
  const sweep = Effect.forEach(
    [...tables.map(({ name }) => name), "text", "pending", "search"],
    (name) =>
      sql`DELETE FROM ${sql(`derived.${name}`)} AS t WHERE NOT EXISTS (SELECT 1 FROM content
        WHERE content.connection_id = t.connection_id AND content.external_id = t.external_id
          AND content.changed_xid IS NOT NULL)`,
    { discard: true }
  )

  /** Derives one page. Returns how many changes it had, and whether more are visible. */
  const step = Effect.gen(function* () {
    const { cursor, generation, rebuilding } = yield* state
    const page = yield* pageAfter(cursor)
    if (page === undefined) {
      yield* MirrorTables.beginAgain(sql)
      return { changes: 0, more: true }
    }
    const next = Cursor.ofChange(page.epoch, undefined, page.next)
    const isEnd = !page.more
    if (page.changes.length === 0 && !rebuilding) return { changes: 0, more: false }
    const connections = yield* sql`SELECT id, domain FROM connection`
    const domains = new Map((yield* decodeDomains(connections)).map(({ domain, id }) => [id, domain]))
    const derived = yield* Effect.forEach(
      page.changes,
      (change) => project(domains.get(change.connectionId) ?? "", change),
      { concurrency: readsAtOnce }
    )
    yield* Effect.gen(function* () {
      const mine = yield* sql`UPDATE derived.follower SET cursor = ${next}, rebuilding = rebuilding AND NOT ${isEnd}
        WHERE generation = ${String(generation)}::bigint AND cursor IS NOT DISTINCT FROM ${cursor} RETURNING 1`
      // Another follower has committed meanwhile, or a rebuild was requested.
      if (mine.length === 0) return
      const kept = yield* present(sql, page.changes)
      const current = derived.filter(({ change }) => kept.has(keyOf(change.connectionId, change.content.externalId)))
      yield* bisected(
        current,
        (some) => (some.length === 0 ? Effect.void : sql.withTransaction(write(sql, tables, some))),
        ({ change, rows }, cause) =>
          Effect.andThen(
            Effect.logError(`the rows of ${change.content.externalId} can't be stored`, cause).pipe(
              Effect.annotateLogs({ connection: change.connectionId })
            ),
            // The values of the content's own row come from the store, so they can be stored.
            write(sql, tables, [{ change, rows: rows.slice(0, 1), text: undefined }])
          )
      )
      if (rebuilding && isEnd) yield* sweep
    }).pipe(transaction(sql))
    yield* Metric.update(derivedChanges, page.changes.length)
    return { changes: page.changes.length, more: page.more }
  }).pipe(toStoreError("deriving the schema mirror"))

  /** Derives all visible changes. Returns their number. */
  const catchUp = Effect.gen(function* () {
    let changes = 0
    while (true) {
      const done = yield* step
      changes += done.changes
      if (!done.more) return changes
    }
  }).pipe(Effect.provideContext(bodies))

  /** Waits for changes to derive, at most a minute. */
  const waitForChanges = Effect.gen(function* () {
    const feed = yield* Feed.Feed
    const { cursor } = yield* state
    if (cursor === null) return
    yield* Effect.catchTag(
      feed.changes({ after: cursor, limit: 1, wait: Feed.longestWait }),
      "CursorInvalid",
      () => Effect.void
    )
  }).pipe(toStoreError("waiting for changes"))

  return { catchUp, step: Effect.provideContext(step, bodies), waitForChanges, tables }
})
