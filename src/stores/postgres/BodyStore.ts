/** Bodies by their hash: reads them, and collects those that no content refers to. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { absent, BodyStore, shortestUntouched } from "../../engine/store/BodyStore.ts"
import { BlobStore, bytesInRange } from "../Blobs.ts"
import * as Purge from "./Purge.ts"
import { byteas, fromHex, interval } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { onOwnSession } from "./Transactions.ts"
import { allRows, oneRow } from "./RowDecoders.ts"

/** How many bodies one statement checks, so that it holds its locks only briefly. */
const atOnce = 1000

const decodeBody = allRows(Schema.Struct({ bytes: Schema.NullOr(Schema.Uint8Array) }))
const Step = Schema.Struct({ removed: Schema.Int, last: Schema.NullOr(Schema.Uint8Array) })
type Step = typeof Step.Type
const decodeStep = oneRow(Step)
const decodeHashes = allRows(Schema.Struct({ hash: Schema.String }))

const make: Effect.Effect<BodyStore["Service"], never, SqlClient.SqlClient | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const blobs = yield* BlobStore
  const removal = yield* Purge.make

  /**
   * Checks the next bodies with a hash above `after`, and removes those that no content refers to. `last` is the last
   * hash that was checked; null at the end.
   *
   * A run that has just found the same bytes has touched the row. Then this statement waits for the run's lock, reads
   * the row again, and keeps it. If this statement comes first, the run waits, and then writes the body again.
   */
  const removeBodies = (after: Uint8Array, untouched: Duration.Duration) =>
    sql`WITH looked AS MATERIALIZED (
          SELECT hash FROM body WHERE hash > ${after} AND touched_at < now() - ${interval(sql, untouched)}
          ORDER BY hash LIMIT ${atOnce}),
        removed AS (DELETE FROM body WHERE hash IN (SELECT hash FROM looked)
            AND touched_at < now() - ${interval(sql, untouched)}
            AND NOT EXISTS (SELECT 1 FROM content WHERE content.body_hash = body.hash)
          RETURNING 1)
        SELECT (SELECT count(*) FROM removed)::int AS removed,
          (SELECT hash FROM looked ORDER BY hash OFFSET ${atOnce - 1}) AS last`.pipe(
      onOwnSession(sql),
      Effect.flatMap(decodeStep)
    )

  /** Removes blobs without a row: the row was just removed, or a crash prevented it from being written. */
  const removeBlobs = (untouched: Duration.Duration) =>
    blobs.list.pipe(
      Stream.grouped(atOnce),
      Stream.mapEffect((group) =>
        Effect.gen(function* () {
          const hashes = group.map((blob) => blob.hash)
          const rows = yield* sql`SELECT encode(hash, 'hex') AS hash FROM body
              WHERE hash = ANY(${byteas(hashes.map(fromHex))})`
          const named = new Set((yield* decodeHashes(rows)).map((row) => row.hash))
          const unnamed = hashes.filter((hash) => !named.has(hash))
          return yield* Effect.forEach(unnamed, (hash) =>
            Purge.removeBlob(sql, blobs, Buffer.from(hash, "hex"), untouched)
          )
        })
      ),
      Stream.runFold(
        () => 0,
        (total, removed) => total + removed.filter(Boolean).length
      )
    )

  return {
    body: (hash, range) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const rows = /^([0-9a-f]{2})*$/i.test(hash)
            ? yield* sql`SELECT bytes FROM body WHERE hash = decode(${hash}, 'hex')`
            : []
          const [body] = yield* decodeBody(rows)
          if (body === undefined) return yield* absent(hash)
          return body.bytes === null ? blobs.read(hash, range) : Stream.succeed(bytesInRange(body.bytes, range))
        }).pipe(toStoreError("reading a body"))
      ),

    writeBlob: blobs.write,

    collectBodies: (untouchedFor) =>
      Effect.gen(function* () {
        const untouched = Duration.max(untouchedFor, shortestUntouched)
        yield* removal.removeStrays
        let removed = 0
        // Each step continues where the previous one ended, so that bodies that stay are checked only once.
        for (let after: Uint8Array | null = new Uint8Array(); after !== null;) {
          const step: Step = yield* removeBodies(after, untouched)
          removed += step.removed
          after = step.last
        }
        yield* removeBlobs(untouched)
        yield* blobs.sweep
        return removed
      }).pipe(toStoreError("collecting bodies that nothing names"))
  }
})

export const layer: Layer.Layer<BodyStore, never, SqlClient.SqlClient | BlobStore> = Layer.effect(BodyStore, make)
