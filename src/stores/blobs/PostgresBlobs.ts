/**
 * Blobs in PostgreSQL: the chunks of an upload are stored under its id, and finally the row that gives the upload its
 * hash.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { abandonedAfter, BlobStore, meter, bytesInRange } from "../Blobs.ts"
import { toStoreError } from "../postgres/SqlErrors.ts"
import { transaction } from "../postgres/Transactions.ts"
import { absent } from "../../engine/store/BodyStore.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import { interval } from "../postgres/Parameters.ts"

/** The bytes in one row of a chunk. The driver can't read a value above 16 MiB. */
const chunkSize = 1_048_576

/** How many chunks of all writers are sent at the same time: enough to hide a round trip. */
const insertsAtOnce = 1

const decodeUpload = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ upload: Schema.String })]))
const decodeBlob = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ upload: Schema.String, chunks: Schema.Int }))
)
const decodeBytes = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ bytes: Schema.Uint8Array })))
const decodeBlobs = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ hash: Schema.String, size: Schema.Int, touchedAt: Schema.DateTimeUtcFromDate }))
)

/** How many blobs are listed by one query. */
const listedAtOnce = 1000

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // A finished upload no longer has a row in `blob_upload`, even if the response to its commit was lost. Then its
  // chunks stay.
  const drop = (upload: string) =>
    sql`WITH unfinished AS (DELETE FROM blob_upload WHERE upload = ${upload} RETURNING upload)
      DELETE FROM blob_chunk WHERE upload IN (SELECT upload FROM unfinished)`

  const sweep = Effect.gen(function* () {
    // The upload's row is removed first: if its writer is still alive, it finds the row missing, and fails instead of
    // naming an incomplete blob.
    const rows =
      yield* sql`DELETE FROM blob_upload WHERE started_at < clock_timestamp() - ${interval(sql, abandonedAfter)}
      RETURNING upload`
    if (rows.length > 0) {
      yield* sql`DELETE FROM blob_chunk WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.upload = blob_chunk.upload)
        AND NOT EXISTS (SELECT 1 FROM blob_upload WHERE blob_upload.upload = blob_chunk.upload)`
    }
  }).pipe(transaction(sql), toStoreError("sweeping unfinished bodies"))

  // The driver copies a value several times on its way to the socket. With many writers, those copies would use most of
  // the process's memory.
  const inserting = Semaphore.makeUnsafe(insertsAtOnce)
  const insert = (upload: string, position: number, bytes: Uint8Array) =>
    sql`INSERT INTO blob_chunk (upload, position, bytes) VALUES (${upload}, ${position}, ${bytes})`.pipe(
      inserting.withPermit,
      toStoreError("storing a large body")
    )

  /** Gives the upload its hash, or removes it if the same bytes are already stored. */
  const finish = (upload: string, hash: Uint8Array, size: number) =>
    Effect.gen(function* () {
      const alive = yield* sql`DELETE FROM blob_upload WHERE upload = ${upload} RETURNING 1`
      if (alive.length === 0) {
        const message = `storing a large body took longer than ${Duration.format(abandonedAfter)}`
        return yield* new StoreError({ message, cause: message })
      }
      const rows =
        yield* sql`INSERT INTO blob (hash, upload, size) VALUES (${hash}, ${upload}, ${PgTypes.int8(BigInt(size))})
        ON CONFLICT (hash) DO UPDATE SET touched_at = now() RETURNING upload`
      const [blob] = yield* Effect.orDie(decodeUpload(rows))
      if (blob.upload !== upload) yield* sql`DELETE FROM blob_chunk WHERE upload = ${upload}`
    }).pipe(transaction(sql), toStoreError("storing a large body"))

  return BlobStore.of({
    write: Effect.fnUntraced(function* (bytes) {
      const [{ upload }] = yield* sql`INSERT INTO blob_upload DEFAULT VALUES RETURNING upload`.pipe(
        Effect.flatMap((rows) => Effect.orDie(decodeUpload(rows))),
        toStoreError("storing a large body")
      )
      const passed = meter()
      const buffer = new Uint8Array(chunkSize)
      let filled = 0
      let position = 0
      return yield* Effect.gen(function* () {
        yield* Stream.runForEach(
          bytes,
          Effect.fnUntraced(function* (chunk) {
            passed.add(chunk)
            for (let at = 0; at < chunk.byteLength;) {
              const part = chunk.subarray(at, at + chunkSize - filled)
              buffer.set(part, filled)
              filled += part.byteLength
              at += part.byteLength
              if (filled === chunkSize) {
                yield* insert(upload, position, buffer)
                position += 1
                filled = 0
              }
            }
          })
        )
        if (filled > 0) yield* insert(upload, position, buffer.subarray(0, filled))
        const written = passed.written()
        yield* finish(upload, written.hash, written.size)
        return written
      }).pipe(Effect.onError(() => Effect.ignore(drop(upload))))
    }),

    read: (hash, range) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const rows = yield* sql`SELECT upload, ceil(size / ${PgTypes.float8(chunkSize)})::float8 AS chunks
            FROM blob WHERE hash = decode(${hex(hash)}, 'hex')`
          const [blob] = yield* Effect.orDie(decodeBlob(rows))
          if (blob === undefined) return yield* absent(hash)
          const first = Math.floor((range?.start ?? 0) / chunkSize)
          const chunks = Math.min(blob.chunks, Math.ceil((range?.end ?? Infinity) / chunkSize))
          return Stream.paginate(first, (position) =>
            Effect.gen(function* () {
              if (position >= chunks) return [[], Option.none<number>()] as const
              const chunk = yield* sql`SELECT bytes FROM blob_chunk
                WHERE upload = ${blob.upload} AND position = ${position}`
              const [one] = yield* Effect.orDie(decodeBytes(chunk))
              if (one === undefined) return yield* absent(hash)
              return [[bytesInRange(one.bytes, range, position * chunkSize)], Option.some(position + 1)] as const
            }).pipe(toStoreError("reading a large body"))
          )
        }).pipe(toStoreError("reading a large body"))
      ),

    has: (hash) =>
      sql`SELECT 1 FROM blob WHERE hash = decode(${hex(hash)}, 'hex')`.pipe(
        Effect.map((rows) => rows.length > 0),
        toStoreError("looking for a large body")
      ),

    remove: (hash, untouchedFor) =>
      Effect.gen(function* () {
        const rows = yield* sql`DELETE FROM blob WHERE hash = decode(${hex(hash)}, 'hex')
          AND touched_at <= clock_timestamp() - ${interval(sql, untouchedFor)} RETURNING upload`
        if (rows.length === 0) return false
        const [{ upload }] = yield* Effect.orDie(decodeUpload(rows))
        yield* sql`DELETE FROM blob_chunk WHERE upload = ${upload}`
        return true
      }).pipe(transaction(sql), toStoreError("removing a large body")),

    list: Stream.paginate("", (after) =>
      sql`SELECT encode(hash, 'hex') AS hash, size::float8 AS size, touched_at AS "touchedAt" FROM blob
        WHERE hash > decode(${after}, 'hex') ORDER BY hash LIMIT ${listedAtOnce}`.pipe(
        Effect.flatMap((rows) => Effect.orDie(decodeBlobs(rows))),
        Effect.map(
          (blobs) =>
            [blobs, blobs.length < listedAtOnce ? Option.none() : Option.fromNullishOr(blobs.at(-1)?.hash)] as const
        ),
        toStoreError("listing large bodies")
      )
    ),

    sweep
  })
})

/** Returns the hash, or an empty text, which matches no row, if it is not hexadecimal. */
const hex = (hash: string): string => (/^([0-9a-f]{2})*$/i.test(hash) ? hash : "")

export const layer: Layer.Layer<BlobStore, never, SqlClient.SqlClient> = Layer.effect(BlobStore, make)
