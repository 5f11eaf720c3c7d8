/** Copies the bodies of a connection. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Crypto from "node:crypto"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { copyBlob, hex } from "../Blobs.ts"
import { byteas, int8s } from "../postgres/Parameters.ts"
import { type Sides, through, wrong } from "./Rows.ts"
import { allRows } from "../postgres/RowDecoders.ts"

/** Bytes of bodies written at once, to bound the memory. */
const bytesAtOnce = 8 * 1024 * 1024

/** How many blobs are looked up in the target at the same time. */
const checksAtOnce = 16

const decodeBodies = allRows(Schema.Struct({ hash: Schema.Uint8Array, size: Schema.Int, large: Schema.Boolean }))
const decodeBytes = allRows(Schema.Struct({ hash: Schema.Uint8Array, bytes: Schema.Uint8Array }))
const decodeHashes = allRows(Schema.Struct({ hash: Schema.Uint8Array }))

/** Writes the bodies that the target lacks, and touches those that it has, so that they are not collected meanwhile. */
export const copyBodies = Effect.fnUntraced(function* (
  { source, target }: Sides,
  { id, name }: { readonly id: ConnectionId; readonly name: string }
) {
  const touch = Effect.fnUntraced(function* (hashes: ReadonlyArray<Uint8Array>) {
    const rows = yield* target.sql`WITH found AS (
        SELECT hash FROM body WHERE hash = ANY(${byteas(hashes)}) ORDER BY hash FOR NO KEY UPDATE)
      UPDATE body SET touched_at = now() FROM found WHERE body.hash = found.hash RETURNING body.hash`
    return new Set((yield* decodeHashes(rows)).map(({ hash }) => hex(hash)))
  })
  const write = (bodies: ReadonlyArray<{ hash: Uint8Array; size: number; bytes: Uint8Array | null }>) =>
    target.sql`INSERT INTO body (hash, size, bytes)
      SELECT * FROM unnest(${byteas(bodies.map(({ hash }) => hash))},
        ${int8s(bodies.map(({ size }) => BigInt(size)))}, ${byteas(bodies.map(({ bytes }) => bytes))})
        AS given(hash, size, bytes) ORDER BY hash
      ON CONFLICT (hash) DO UPDATE SET touched_at = now()`

  const small = Effect.fnUntraced(function* (hashes: ReadonlyArray<Uint8Array>) {
    const rows = yield* source.sql`SELECT hash, bytes FROM body WHERE hash = ANY(${byteas(hashes)})`
    const bodies = yield* decodeBytes(rows)
    for (const { bytes, hash } of bodies) {
      if (Buffer.compare(Crypto.createHash("sha256").update(bytes).digest(), hash) !== 0) {
        return yield* wrong(`the body ${hex(hash)} is not what was stored: the source's data is damaged`)
      }
    }
    yield* write(bodies.map((body) => ({ ...body, size: body.bytes.byteLength })))
  })
  const large = Effect.fnUntraced(function* ({ hash, size }: { readonly hash: Uint8Array; readonly size: number }) {
    const copied = yield* copyBlob(hex(hash), source.blobs, target.blobs)
    if (copied._tag === "Damaged") {
      return yield* wrong(
        `the body ${hex(hash)} is not what was stored: the data of the source or the target is damaged`
      )
    }
    yield* write([{ hash, size, bytes: null }])
  })

  yield* through(
    source.sql,
    "bodies",
    `SELECT hash, size::float8 AS size, bytes IS NULL AS large FROM body
     WHERE hash IN (SELECT body_hash FROM content WHERE connection_id = '${id}')`,
    Effect.fnUntraced(function* (rows) {
      const bodies = yield* decodeBodies(rows)
      const there = yield* touch(bodies.map(({ hash }) => hash))
      const missing = bodies.filter(({ hash }) => !there.has(hex(hash)))
      let batch: Array<Uint8Array> = []
      let size = 0
      for (const body of missing.filter((one) => !one.large)) {
        if (batch.length > 0 && size + body.size > bytesAtOnce) {
          yield* small(batch)
          batch = []
          size = 0
        }
        batch.push(body.hash)
        size += body.size
      }
      if (batch.length > 0) yield* small(batch)
      const largeOnes = bodies.filter((one) => one.large)
      yield* Effect.forEach(largeOnes, large, { discard: true })
      // From here on, a blob is removed only together with its row, which the comparison looks for. Before this, a
      // purge could remove it.
      yield* Effect.forEach(
        largeOnes,
        Effect.fnUntraced(function* ({ hash }) {
          if (!(yield* target.blobs.has(hex(hash)))) return yield* wrong(`a large body of ${name} is gone; begin again`)
        }),
        { concurrency: checksAtOnce, discard: true }
      )
    })
  )
})
