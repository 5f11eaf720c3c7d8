/**
 * Deletes content for good because a person asked for it. Unlike the collector of unused bodies, a purge removes bodies
 * and blobs at once if no other content refers to them. Another connection may be storing the same bytes at the same
 * time; three rules protect its content:
 *
 * - A commit locks the row of each body that it refers to until it ends, by the insert that finds or creates the row.
 *   So a purge locks the row first, and then checks in another statement whether content refers to it: an earlier
 *   commit has ended by then, and its content is visible. A later commit waits for the lock, finds no row, and creates
 *   one.
 * - A blob is removed only while holding the lock on the key of its body, when that body has no row.
 * - A commit checks that its blobs exist while it holds the locks of its bodies. If a blob is missing, the commit fails
 *   without having written anything, and the next run downloads the content again.
 */
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { type Item } from "../../engine/model/Batch.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import type { ContentStore } from "../../engine/store/ContentStore.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import { BlobStore, hex } from "../Blobs.ts"
import { byteas, texts } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"
import { allRows, connectionIds as decodeConnectionIds } from "./RowDecoders.ts"

/** Contents in one transaction. Other connections that store the same bodies wait for it, so it is small. */
const atOnce = 500

/** How many blobs a commit checks at the same time. */
const checksAtOnce = 16

/** Shorter than the idle limit of a commit's transaction in PostgreSQL. */
const checkTimeout = Duration.seconds(8)

const decodeRemoved = allRows(Schema.Struct({ id: Schema.String, hash: Schema.NullOr(Schema.Uint8Array) }))
const decodeBodies = allRows(Schema.Struct({ hash: Schema.Uint8Array, size: Schema.Int, large: Schema.Boolean }))
/** Where a step of a purge ended: a time as PostgreSQL writes it, and an id. */
interface Place {
  readonly at: string
  readonly id: string
}
const Purged = Schema.Struct({
  id: Schema.String,
  at: Schema.String,
  hash: Schema.NullOr(Schema.Uint8Array),
  neverStored: Schema.Boolean
})
const decodePurged = allRows(Purged)

/**
 * Removes a blob without a row in `body`, unless it was touched within `untouchedFor`. Returns true if it was removed.
 * This transaction has no idle limit: PostgreSQL would release the row's lock during the removal, and a commit that
 * then finds the blob would refer to a blob that disappears.
 */
export const removeBlob = (
  sql: SqlClient.SqlClient,
  blobs: BlobStore["Service"],
  hash: Uint8Array,
  untouchedFor: Duration.Duration
) =>
  Effect.gen(function* () {
    const mine = yield* sql`INSERT INTO body (hash, size) VALUES (${hash}, 0) ON CONFLICT DO NOTHING RETURNING 1`
    if (mine.length === 0) return false
    const removed = yield* blobs.remove(hex(hash), untouchedFor)
    yield* sql`DELETE FROM body WHERE hash = ${hash}`
    return removed
  }).pipe(transaction(sql))

/**
 * Checks the blobs of a batch, within its commit, after the rows of its bodies were written. Fails if a blob was
 * removed meanwhile, and with `TimeoutError` if the blob store does not answer before PostgreSQL would end the
 * transaction (see `Fence.ts`).
 */
export const checkBlobs = (blobs: BlobStore["Service"], items: ReadonlyArray<Item>) => {
  const large = items.filter((item) => item.body._tag === "Blob")
  const byHash = new Map(large.map((item) => [hex(item.body.hash), item.externalId]))
  return Effect.forEach(
    byHash,
    Effect.fnUntraced(function* ([hash, externalId]) {
      if (yield* blobs.has(hash)) return
      const message = `the body of ${externalId} was removed while it was being stored: the next run downloads it again`
      return yield* new StoreError({ message, cause: message })
    }),
    { concurrency: checksAtOnce, discard: true }
    // A commit is uninterruptible, but this check must end at its time limit.
  ).pipe(Effect.interruptible, Effect.timeout(checkTimeout))
}

/**
 * Repeats the transaction of a commit whose blobs could not be checked in time. In between, its row locks are released.
 */
export const retryChecks = <A, E, R>(effect: Effect.Effect<A, E | Cause.TimeoutError, R>) =>
  effect.pipe(
    Effect.retry({ while: Cause.isTimeoutError, times: 2, schedule: Schedule.exponential("1 second") }),
    Effect.catchIf(Cause.isTimeoutError, () => {
      const seconds = Duration.toSeconds(checkTimeout)
      const message = `the store of large bodies did not answer in ${seconds} seconds: the next run stores the batch`
      return Effect.fail(new StoreError({ message, cause: message }))
    })
  )

/** Locks the bodies of other contents that a batch refers to, before its commit, so that none is removed. */
export const lockKept = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, items: ReadonlyArray<Item>) {
  const kept = items.filter((item) => item.body._tag === "Kept")
  const hashes = new Map(kept.map(({ body }) => [hex(body.hash), body.hash]))
  if (hashes.size === 0) return
  const found =
    yield* sql`SELECT 1 FROM body WHERE hash = ANY(${byteas([...hashes.values()])}) ORDER BY hash FOR KEY SHARE`
  if (found.length === hashes.size) return
  const message = "a body was removed while a copy of it was being stored: the next run downloads it"
  return yield* new StoreError({ message, cause: message })
})

/** Removes the bodies of these contents that no content refers to any more, in the transaction that removed them. */
const dropUnnamed = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  contents: ReadonlyArray<{ readonly hash: Uint8Array | null }>
) {
  const named = contents.flatMap(({ hash }) => (hash === null ? [] : [hash]))
  if (named.length === 0) return []
  const hashes = byteas(named)
  // In the order in which commits lock them.
  yield* sql`SELECT 1 FROM body WHERE hash = ANY(${hashes}) ORDER BY hash FOR UPDATE`
  const removed = yield* sql`DELETE FROM body WHERE hash = ANY(${hashes})
      AND (SELECT true FROM content WHERE content.body_hash = body.hash LIMIT 1) IS NULL
    RETURNING hash, size::float8 AS size, bytes IS NULL AS large`
  return yield* decodeBodies(removed)
})

/** Removes the rows that were derived from these contents, in the same transaction. */
const forgetDerived = (sql: SqlClient.SqlClient, connectionId: ConnectionId, ids: ReadonlyArray<string>) =>
  ids.length === 0 ? Effect.void : sql`SELECT derived.forget(${connectionId}, ${texts(ids)})`

/** Messages of webhooks that are pending or dead and contain changes of this connection: one row for each change. */
const changesInMessages = (sql: SqlClient.SqlClient, connectionId: ConnectionId) =>
  sql`webhook_message m, jsonb_array_elements(m.body::jsonb #> '{data,changes}') WITH ORDINALITY AS each(change, n)
    WHERE m.body IS NOT NULL AND strpos(m.body, ${connectionId}) > 0`

/** Removes the content of these changes from webhook messages, in the transaction that purges the contents. */
const emptyInMessages = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  ids: ReadonlyArray<string>
) {
  if (ids.length === 0) return
  const isPurged = sql`change ->> 'connection' = ${connectionId} AND change #>> '{content,externalId}' = ANY(${texts(ids)})`
  yield* sql`WITH emptied AS (
      SELECT m.id, jsonb_agg(CASE WHEN ${isPurged} THEN change || jsonb_build_object('content', (change -> 'content') ||
          '{"revision": null, "hash": null, "size": 0, "title": null, "occurredAt": null}') ELSE change END
          ORDER BY n) AS list
      FROM ${changesInMessages(sql, connectionId)} GROUP BY m.id HAVING bool_or(${isPurged}))
    UPDATE webhook_message m SET body = jsonb_set(m.body::jsonb, '{data,changes}', emptied.list)::text
    FROM emptied WHERE m.id = emptied.id AND m.body IS NOT NULL`
})

/** Removes the changes of a removed connection from webhook messages. */
export const forgetInMessages = (sql: SqlClient.SqlClient, connectionId: ConnectionId) =>
  sql`WITH kept AS (
      SELECT m.id, coalesce(jsonb_agg(change ORDER BY n) FILTER (WHERE change ->> 'connection' <> ${connectionId}), '[]') AS list
      FROM ${changesInMessages(sql, connectionId)} GROUP BY m.id)
    UPDATE webhook_message m SET changes = jsonb_array_length(kept.list),
      body = jsonb_set(m.body::jsonb, '{data,changes}', kept.list)::text
    FROM kept WHERE m.id = kept.id AND m.body IS NOT NULL`

/** A step of removing contents: the last id if more may follow, and the removed bodies. */
interface Step {
  readonly last: string | undefined
  readonly bodies: Effect.Success<ReturnType<typeof dropUnnamed>>
}

type Methods = Pick<ContentStore["Service"], "purge"> & {
  /** Removes all contents of this connection id, whose connection no longer exists. */
  readonly removeContents: (connectionId: ConnectionId) => Effect.Effect<void, StoreError>
  /** Does the same for every such id. */
  readonly removeStrays: Effect.Effect<void, StoreError>
}

export const make: Effect.Effect<Methods, never, SqlClient.SqlClient | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const blobs = yield* BlobStore
  const inTransaction = transaction(sql)

  // The rows are removed, so if this is interrupted, the collector finds the blobs.
  const dropBlobs = (bodies: Effect.Success<ReturnType<typeof dropUnnamed>>) =>
    Effect.forEach(
      bodies.filter(({ large }) => large),
      ({ hash }) => removeBlob(sql, blobs, hash, Duration.zero),
      { discard: true }
    )

  const removeContents = Effect.fnUntraced(function* (connectionId: ConnectionId) {
    // Each step begins after the last id of the previous step: removed rows stay in the index until a vacuum, and a
    // scan from the beginning would pass all of them each time.
    let after: string | undefined = ""
    while (after !== undefined) {
      const step: Step = yield* Effect.gen(function* () {
        // An array is looked up by the key under any plan.
        const found = yield* sql`WITH removed AS (
            DELETE FROM content WHERE connection_id = ${connectionId} AND external_id = ANY(ARRAY(
              SELECT external_id FROM content WHERE connection_id = ${connectionId} AND external_id > ${after}
              ORDER BY external_id LIMIT ${atOnce} FOR UPDATE))
            RETURNING body_hash AS hash, external_id AS id)
          SELECT hash, id FROM removed ORDER BY id`
        const rows = yield* decodeRemoved(found)
        const ids = rows.map(({ id }) => id)
        yield* forgetDerived(sql, connectionId, ids)
        return { last: ids.length === atOnce ? ids.at(-1) : undefined, bodies: yield* dropUnnamed(sql, rows) }
      }).pipe(inTransaction)
      yield* dropBlobs(step.bodies)
      after = step.last
    }
  })

  /**
   * Empties the rows of the next contents that were deleted before this time, also of those whose id has come back and
   * could not be stored yet, and removes ids that were gone before they were stored.
   */
  const purgeRows = (connectionId: ConnectionId, before: DateTime.Utc, after: Place) =>
    sql`WITH old AS MATERIALIZED (
          SELECT external_id AS id, updated_at AS at, body_hash AS hash,
            state = 'gone' AND changed_xid IS NULL AS never_stored
          FROM content WHERE connection_id = ${connectionId} AND updated_at < ${DateTime.toDateUtc(before)}
            AND state <> 'stored' AND (body_hash IS NOT NULL OR state = 'gone')
            AND (updated_at, external_id) > (${after.at}::timestamptz, ${after.id})
          ORDER BY updated_at, external_id LIMIT ${atOnce}),
        forgotten AS (DELETE FROM content WHERE connection_id = ${connectionId}
          AND external_id = ANY(ARRAY(SELECT id FROM old WHERE never_stored))),
        emptied AS (UPDATE content SET body_hash = NULL, size = 0, revision = NULL, title = NULL, occurred_at = NULL,
            media_type = NULL, metadata = '{}', volatile = '{}'
          WHERE connection_id = ${connectionId} AND external_id = ANY(ARRAY(SELECT id FROM old WHERE NOT never_stored)))
      SELECT id, at::text AS at, hash, never_stored AS "neverStored" FROM old ORDER BY old.at, id`.pipe(
      Effect.flatMap(decodePurged)
    )

  const purge = Effect.fnUntraced(function* (connectionId: ConnectionId, before: DateTime.Utc) {
    const purged = { deleted: 0, gone: 0, bodies: 0, bytes: 0 }
    let after: Place | undefined = { at: "-infinity", id: "" }
    while (after !== undefined) {
      const from: Place = after
      const step = yield* Effect.gen(function* () {
        // This lock differs from `lockConnection`: it also waits for webhook messages that are being written.
        const found = yield* sql`SELECT 1 FROM connection WHERE id = ${connectionId} FOR UPDATE`
        if (found.length === 0) return { gone: 0, deleted: 0, bodies: [], last: undefined }
        const rows = yield* purgeRows(connectionId, before, from)
        const deleted = rows.filter(({ neverStored }) => !neverStored)
        const ids = deleted.map(({ id }) => id)
        yield* emptyInMessages(sql, connectionId, ids)
        yield* forgetDerived(sql, connectionId, ids)
        return {
          gone: rows.length - deleted.length,
          deleted: deleted.length,
          bodies: yield* dropUnnamed(sql, deleted),
          last: rows.length === atOnce ? rows.at(-1) : undefined
        }
      }).pipe(inTransaction)
      yield* dropBlobs(step.bodies)
      after = step.last
      purged.deleted += step.deleted
      purged.gone += step.gone
      purged.bodies += step.bodies.length
      purged.bytes += step.bodies.reduce((sum, { size }) => sum + size, 0)
    }
    return purged
  })

  // The query makes one index probe for each connection, however many rows it has.
  const strays = sql`WITH RECURSIVE held(id) AS (
      (SELECT connection_id FROM content ORDER BY connection_id LIMIT 1)
      UNION ALL
      SELECT (SELECT connection_id FROM content WHERE connection_id > held.id ORDER BY connection_id LIMIT 1)
      FROM held WHERE held.id IS NOT NULL
    )
    SELECT id FROM held WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM connection WHERE connection.id = held.id)`

  return {
    purge: (connectionId, before) => purge(connectionId, before).pipe(toStoreError("purging what was deleted")),
    removeContents: (connectionId) =>
      removeContents(connectionId).pipe(toStoreError("removing a connection's contents")),
    removeStrays: Effect.gen(function* () {
      const found = yield* decodeConnectionIds(yield* strays)
      yield* Effect.forEach(found, ({ id }) => removeContents(id), { discard: true })
    }).pipe(toStoreError("removing contents of connections that are gone"))
  } satisfies Methods
})
