/**
 * Contents: the checker's queries, and reading. `ContentWriter.ts` commits batches, `Purge.ts` removes deleted
 * contents.
 */
import * as Option from "effect/Option"
import * as Storable from "../Storable.ts"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { CopySource } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { ContentStore } from "../../engine/store/ContentStore.ts"
import { BlobStore } from "../Blobs.ts"
import * as ContentWriter from "./ContentWriter.ts"
import { allRows, contentColumns, contents as decodeContents } from "./RowDecoders.ts"
import * as ContentPages from "./ContentPages.ts"
import { closeListing } from "./Listings.ts"
import * as Purge from "./Purge.ts"
import * as PartCheckpoints from "./PartCheckpoints.ts"
import type { CurrentEpoch } from "./FeedEpoch.ts"
import { makeCheck } from "./Fence.ts"
import { texts } from "./Parameters.ts"
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
const decodeCopySources = allRows(CopyRow)

const copySourceOf = ({ hash, mediaType, occurredAt, size, title, ...row }: typeof CopyRow.Type): CopySource => ({
  ...row,
  title: title ?? undefined,
  occurredAt: occurredAt ?? undefined,
  mediaType: mediaType ?? undefined,
  body: { _tag: "Kept", hash, size }
})

const make: Effect.Effect<Methods, never, SqlClient.SqlClient | CurrentEpoch | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const checkFence = yield* makeCheck

  /**
   * Runs without a span, because the page's span covers it. Both columns are text by the schema, so the rows of this
   * hot path are not decoded.
   */
  const check = (query: string, connectionId: ConnectionId, externalIds: ReadonlyArray<string>) => {
    const ids = externalIds.every(Storable.isId) ? externalIds : externalIds.filter(Storable.isId)
    const { values } = sql.unsafe(query, [connectionId, texts(ids)])
    // If spans are already off, changing the context would cost more than this check.
    return Effect.flatMap(References.TracerEnabled, (isEnabled) =>
      isEnabled ? Effect.withTracerEnabled(values, false) : values
    ).pipe(toStoreError("asking which ids exist"))
  }

  const contentsById: Methods["contentsById"] = (connectionId, externalIds) =>
    sql`SELECT ${sql.literal(contentColumns)} FROM content
      WHERE connection_id = ${connectionId} AND external_id = ANY(${texts(externalIds.filter(Storable.isId))})`.pipe(
      Effect.flatMap(decodeContents),
      Effect.map((rows) => new Map(rows.map((row) => [row.externalId, row]))),
      toStoreError("reading contents")
    )

  return {
    ...(yield* ContentWriter.make),
    ...(yield* ContentPages.make),
    ...(yield* PartCheckpoints.make),
    purge: (yield* Purge.make).purge,

    existing: (connectionId, externalIds) =>
      Effect.map(check(existingQuery, connectionId, externalIds), (rows) => {
        const known = new Set<string>()
        for (const row of rows) known.add(row[0] as string)
        return known
      }),

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
        Effect.flatMap(decodeCopySources),
        Effect.map((rows) => new Map(rows.map((row) => [row.bodyKey, copySourceOf(row)]))),
        toStoreError("looking for copies")
      ),

    contentsById,

    content: (connectionId, externalId) =>
      Effect.map(contentsById(connectionId, [externalId]), (rows) => Option.fromUndefinedOr(rows.get(externalId))),

    changeScope: (fence, scope) =>
      Effect.gen(function* () {
        yield* checkFence(fence)
        yield* closeListing(sql, fence.connectionId)
        yield* sql`DELETE FROM staged_deletion
          WHERE connection_id = ${fence.connectionId} AND cause = 'absence' AND NOT held`
        yield* sql`UPDATE connection SET scope = ${scope}, checkpoint = NULL, scope_epoch = scope_epoch + 1
          WHERE id = ${fence.connectionId}`
      }).pipe(transaction(sql), toStoreError("changing a connection's scope"))
  } satisfies Methods
})

export const layer: Layer.Layer<ContentStore, never, SqlClient.SqlClient | CurrentEpoch | BlobStore> = Layer.effect(
  ContentStore,
  make
)
