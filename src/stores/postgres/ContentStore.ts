/** Contents: the checker, the commit of a batch, reading and purging. */
import * as Option from "effect/Option"
import * as Storable from "../Storable.ts"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { type Batch, type CopySource, type WriteOutcome } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { Fence } from "../../engine/store/Fence.ts"
import { ContentStore } from "../../engine/store/ContentStore.ts"
import { BlobStore } from "../Blobs.ts"
import { applyPatches, storeItems, storeMisses } from "./ContentWriter.ts"
import { contentColumns, contents as decodeContents } from "./RowDecoders.ts"
import * as ContentPages from "./ContentPages.ts"
import { abandonListing, closeListing, endPage } from "./Listings.ts"
import * as Purge from "./Purge.ts"
import { addToRun } from "./RunStore.ts"
import * as PartCheckpoints from "./PartCheckpoints.ts"
import { moveTask } from "./TaskStore.ts"
import { checkFence } from "./Fence.ts"
import { millis, texts } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"

type Methods = ContentStore["Service"]

const known = "state IN ('stored', 'failed', 'dead', 'deferred')"
const existingQuery = `SELECT external_id FROM content
  WHERE connection_id = $1 AND external_id = ANY($2::text[]) AND ${known}`
const revisionsQuery = `SELECT external_id, CASE WHEN pending IS NULL THEN revision ELSE tried_revision END FROM content
  WHERE connection_id = $1 AND external_id = ANY($2::text[]) AND ${known}`

const CopyRow = Schema.Struct({
  bodyKey: Schema.String,
  kind: Schema.String,
  title: Schema.NullOr(Schema.String),
  occurredAt: Schema.NullOr(Schema.DateTimeUtcFromDate),
  mediaType: Schema.NullOr(Schema.String),
  metadata: Schema.JsonObject,
  volatile: Schema.JsonObject,
  hash: Schema.Uint8Array,
  size: Schema.Int
})
const decodeCopySources = Schema.decodeUnknownEffect(Schema.Array(CopyRow))

const copySourceOf = ({ hash, mediaType, occurredAt, size, title, ...row }: typeof CopyRow.Type): CopySource => ({
  ...row,
  title: title ?? undefined,
  occurredAt: occurredAt ?? undefined,
  mediaType: mediaType ?? undefined,
  body: { _tag: "Kept", hash, size }
})

const count = (outcomes: ReadonlyMap<string, WriteOutcome>, outcome: WriteOutcome): number =>
  [...outcomes.values()].filter((one) => one === outcome).length

const make: Effect.Effect<Methods, never, SqlClient.SqlClient | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const blobs = yield* BlobStore
  const inTransaction = transaction(sql)

  /** The earliest retry of this batch may be due before the next poll; a run that dies does not reach `release`. */
  const bringForward = (connectionId: ConnectionId, batch: Batch) => {
    const waits = batch.misses.flatMap((one) =>
      one.outcome === "failed" && one.retryIn !== undefined ? [millis(one.retryIn)] : []
    )
    if (waits.length === 0) return Effect.void
    const at = sql`clock_timestamp() + ${PgTypes.float8(Math.min(...waits))}::float8 * interval '1 millisecond'`
    return sql`UPDATE connection SET due_at = ${at} WHERE id = ${connectionId} AND due_at > ${at}`
  }

  const write = Effect.fnUntraced(function* (fence: Fence, batch: Batch) {
    yield* checkFence(sql, fence)
    yield* Purge.lockKept(sql, batch.items)
    const listed = batch.inScope ? batch.listed : []
    const outcomes = yield* storeItems(sql, fence.connectionId, batch.items, listed)
    yield* Purge.checkBlobs(blobs, batch.items)
    yield* storeMisses(sql, fence.connectionId, batch.misses, listed)
    yield* bringForward(fence.connectionId, batch)
    if (batch.taskId === undefined && batch.page?.forgetsParts === true) {
      yield* abandonListing(sql, fence.connectionId)
    }
    if (batch.page !== undefined) yield* endPage(sql, fence.connectionId, batch.page, batch.inScope)
    const patched = batch.page === undefined ? 0 : yield* applyPatches(sql, fence.connectionId, batch.page.patches)
    if (batch.page !== undefined) yield* PartCheckpoints.move(sql, fence.connectionId, batch.taskId, batch.page)
    if (batch.taskId !== undefined) {
      yield* moveTask(sql, batch.taskId, batch.done, batch.page)
    } else if (batch.page !== undefined) {
      yield* sql`UPDATE connection SET checkpoint = ${JSON.stringify(batch.page.checkpoint)}::json,
        scope = ${batch.page.scope},
        reading_since = CASE WHEN ${batch.page.listing === undefined} THEN coalesce(reading_since, acquired_at)
          ELSE reading_since END
        WHERE id = ${fence.connectionId}`
    }
    const counts = {
      ...batch.counts,
      stored: (batch.counts.stored ?? 0) + count(outcomes, "stored"),
      updated: (batch.counts.updated ?? 0) + count(outcomes, "updated"),
      unchanged: (batch.counts.unchanged ?? 0) + count(outcomes, "unchanged"),
      patched: (batch.counts.patched ?? 0) + patched
    }
    if (batch.runId !== undefined) yield* addToRun(sql, batch.runId, counts, batch.problems)
    return { outcomes, patched }
  })

  /** Both columns are text by the schema, so the rows of this hot path are taken as they come. */
  const check = (query: string, connectionId: ConnectionId, externalIds: ReadonlyArray<string>) => {
    const ids = externalIds.every(Storable.isId) ? externalIds : externalIds.filter(Storable.isId)
    return Effect.withTracerEnabled(sql.unsafe(query, [connectionId, texts(ids)]).values, false).pipe(
      toStoreError("asking which ids exist")
    )
  }

  const contentsById: Methods["contentsById"] = (connectionId, externalIds) =>
    sql`SELECT ${sql.literal(contentColumns)} FROM content
      WHERE connection_id = ${connectionId} AND external_id = ANY(${texts(externalIds.filter(Storable.isId))})`.pipe(
      Effect.flatMap(decodeContents),
      Effect.map((rows) => new Map(rows.map((row) => [row.externalId, row]))),
      toStoreError("reading contents")
    )

  return {
    ...(yield* ContentPages.make),
    ...(yield* PartCheckpoints.make),
    purge: (yield* Purge.make).purge,

    commit: (fence, batch) =>
      write(fence, batch).pipe(
        inTransaction,
        Purge.retryChecks,
        toStoreError("storing a batch"),
        Effect.uninterruptible
      ),

    existing: (connectionId, externalIds) =>
      Effect.map(check(existingQuery, connectionId, externalIds), (rows) => new Set(rows.map(([id]) => id as string))),

    revisions: (connectionId, externalIds) =>
      Effect.map(
        check(revisionsQuery, connectionId, externalIds),
        (rows) => new Map(rows.map(([id, revision]) => [id as string, Option.fromNullOr(revision as string | null)]))
      ),

    copySources: (connectionId, bodyKeys) =>
      sql`SELECT DISTINCT ON (body_key) body_key AS "bodyKey", kind, title, occurred_at AS "occurredAt",
          media_type AS "mediaType", metadata, volatile, body_hash AS hash, size::float8 AS size
        FROM content WHERE connection_id = ${connectionId} AND body_key = ANY(${texts(bodyKeys.map(Storable.text))})
          AND state IN ('stored', 'deleted') AND body_hash IS NOT NULL`.pipe(
        Effect.flatMap((rows) => Effect.orDie(decodeCopySources(rows))),
        Effect.map((rows) => new Map(rows.map((row) => [row.bodyKey, copySourceOf(row)]))),
        toStoreError("looking for copies")
      ),

    contentsById,

    content: (connectionId, externalId) =>
      Effect.map(contentsById(connectionId, [externalId]), (rows) => Option.fromUndefinedOr(rows.get(externalId))),

    changeScope: (fence, scope) =>
      Effect.gen(function* () {
        yield* checkFence(sql, fence)
        yield* closeListing(sql, fence.connectionId)
        yield* sql`DELETE FROM staged_deletion
          WHERE connection_id = ${fence.connectionId} AND cause = 'absence' AND NOT held`
        yield* sql`UPDATE connection SET scope = ${scope}, checkpoint = NULL, scope_epoch = scope_epoch + 1
          WHERE id = ${fence.connectionId}`
      }).pipe(inTransaction, toStoreError("changing a connection's scope"))
  } satisfies Methods
})

export const layer: Layer.Layer<ContentStore, never, SqlClient.SqlClient | BlobStore> = Layer.effect(ContentStore, make)
