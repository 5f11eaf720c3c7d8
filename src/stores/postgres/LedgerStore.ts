/** The checker, the ledger, and reading what is stored. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { type Store, StoreError } from "../../engine/Store.ts"
import { BlobStore, within } from "../Blobs.ts"
import * as Storable from "../Storable.ts"
import { contentColumns, contents as decodeContents, ledger as decodeLedger, ledgerColumns } from "./RowDecoders.ts"
import { lockConnection } from "./Fence.ts"
import { texts } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"

type Methods = Pick<
  Store["Service"],
  "existing" | "revisions" | "retriesDue" | "ledger" | "redrive" | "content" | "body" | "totals"
>

const known = "state IN ('stored', 'failed', 'dead', 'deferred')"
const existingQuery = `SELECT external_id FROM content
  WHERE connection_id = $1 AND external_id = ANY($2::text[]) AND ${known}`
const revisionsQuery = `SELECT external_id, CASE WHEN pending IS NULL THEN revision ELSE tried_revision END FROM content
  WHERE connection_id = $1 AND external_id = ANY($2::text[]) AND ${known}`

const decodeIds = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String })))
const decodeBody = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ bytes: Schema.NullOr(Schema.Uint8Array) })))
const decodeTotals = Schema.decodeUnknownEffect(
  Schema.Tuple([
    Schema.Struct({
      stored: Schema.Int,
      failed: Schema.Int,
      dead: Schema.Int,
      deferred: Schema.Int,
      deleted: Schema.Int,
      bytes: Schema.Int,
      deletionsHeld: Schema.Int
    })
  ])
)
export const make: Effect.Effect<Methods, never, SqlClient.SqlClient | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const blobs = yield* BlobStore
  const ofLedger = sql.literal(ledgerColumns)
  const ofContent = sql.literal(contentColumns)

  /** Both columns are text by the schema, so the rows of this hot path are taken as they come. */
  const check = (query: string, connectionId: ConnectionId, externalIds: ReadonlyArray<string>) => {
    const ids = externalIds.every(Storable.isId) ? externalIds : externalIds.filter(Storable.isId)
    return Effect.withTracerEnabled(sql.unsafe(query, [connectionId, texts(ids)]).values, false).pipe(
      toStoreError("asking which ids exist")
    )
  }

  return {
    existing: (connectionId, externalIds) =>
      Effect.map(check(existingQuery, connectionId, externalIds), (rows) => new Set(rows.map(([id]) => id as string))),

    revisions: (connectionId, externalIds) =>
      Effect.map(
        check(revisionsQuery, connectionId, externalIds),
        (rows) => new Map(rows.map(([id, revision]) => [id as string, Option.fromNullOr(revision as string | null)]))
      ),

    retriesDue: (connectionId, limit) => {
      const due = (state: "failed" | "deferred") => sql`(SELECT * FROM content
        WHERE connection_id = ${connectionId} AND pending = ${state} AND next_attempt_at <= clock_timestamp()
        ORDER BY next_attempt_at LIMIT ${limit})`
      return sql`SELECT ${ofLedger} FROM (${due("failed")} UNION ALL ${due("deferred")}) AS due
        ORDER BY next_attempt_at, external_id LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeLedger),
        toStoreError("looking for retries")
      )
    },

    ledger: (connectionId, { externalIds, limit }) => {
      const which =
        externalIds === undefined ? sql`true` : sql`external_id = ANY(${texts(externalIds.filter(Storable.isId))})`
      return sql`SELECT ${ofLedger} FROM content WHERE connection_id = ${connectionId} AND pending IS NOT NULL AND ${which}
        ORDER BY external_id LIMIT ${limit}`.pipe(Effect.flatMap(decodeLedger), toStoreError("reading the ledger"))
    },

    redrive: (connectionId, externalIds) => {
      const which =
        externalIds === undefined ? sql`true` : sql`external_id = ANY(${texts(externalIds.filter(Storable.isId))})`
      return Effect.gen(function* () {
        yield* lockConnection(sql, connectionId)
        const rows =
          yield* sql`UPDATE content SET attempts = 0, next_attempt_at = clock_timestamp(), pending = 'failed',
            state = CASE WHEN state = 'stored' THEN state ELSE 'failed' END
          WHERE connection_id = ${connectionId} AND pending IS NOT NULL AND ${which} RETURNING external_id AS id`
        if (rows.length > 0) {
          yield* sql`UPDATE connection SET due_at = least(due_at, clock_timestamp()) WHERE id = ${connectionId}`
        }
        return (yield* Effect.orDie(decodeIds(rows))).map(({ id }) => id)
      }).pipe(transaction(sql), toStoreError("resetting the ledger"))
    },

    content: (connectionId, externalId) =>
      Storable.isId(externalId)
        ? sql`SELECT ${ofContent} FROM content WHERE connection_id = ${connectionId} AND external_id = ${externalId}`.pipe(
            Effect.flatMap(decodeContents),
            Effect.map((rows) => Option.fromUndefinedOr(rows[0])),
            toStoreError("reading a content")
          )
        : Effect.succeedNone,

    body: (hash, range) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const rows = /^([0-9a-f]{2})*$/i.test(hash)
            ? yield* sql`SELECT bytes FROM body WHERE hash = decode(${hash}, 'hex')`
            : []
          const [body] = yield* Effect.orDie(decodeBody(rows))
          if (body === undefined) {
            const message = `no body with the hash ${hash} is stored`
            return yield* new StoreError({ message, cause: message })
          }
          return body.bytes === null ? blobs.read(hash, range) : Stream.succeed(within(body.bytes, range))
        }).pipe(toStoreError("reading a body"))
      ),

    totals: (connectionId) =>
      sql`SELECT count(*) FILTER (WHERE state = 'stored')::float8 AS stored,
          count(*) FILTER (WHERE pending = 'failed')::float8 AS failed,
          count(*) FILTER (WHERE pending = 'dead')::float8 AS dead,
          count(*) FILTER (WHERE pending = 'deferred')::float8 AS deferred,
          count(*) FILTER (WHERE state = 'deleted')::float8 AS deleted,
          coalesce(sum(size) FILTER (WHERE state = 'stored'), 0)::float8 AS bytes,
          (SELECT count(*) FROM staged_deletion
            WHERE connection_id = ${connectionId} AND held)::float8 AS "deletionsHeld"
        FROM content WHERE connection_id = ${connectionId}`.pipe(
        Effect.flatMap((rows) => Effect.orDie(decodeTotals(rows))),
        Effect.map(([totals]) => totals),
        toStoreError("counting contents")
      )
  } satisfies Methods
})
