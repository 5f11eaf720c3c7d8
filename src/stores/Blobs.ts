/**
 * Large bodies, stored under the SHA-256 of their bytes. A blob is written before the row that refers to it, and an
 * existing blob is touched. The collector removes only blobs that were not touched for long, so a run that has just
 * found the same bytes is rarely affected. If it is, the run's commit finds the blob missing and fails (see
 * `postgres/Purge.ts`). Memory is constant for any size.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Path from "effect/Path"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Crypto from "node:crypto"
import type { ByteRange } from "../engine/model/Content.ts"
import { absent, BodyAbsent } from "../engine/store/BodyStore.ts"
import type { StoreError } from "../engine/store/StoreError.ts"

/** A body that was written. `hash` is its SHA-256. */
export interface Written {
  readonly hash: Uint8Array
  readonly size: number
}

/** A listed blob. `hash` is in hex; `touchedAt` is when it was last written or found. */
export interface Blob {
  readonly hash: string
  readonly size: number
  readonly touchedAt: DateTime.Utc
}

export class BlobStore extends Context.Service<
  BlobStore,
  {
    readonly write: <E>(bytes: Stream.Stream<Uint8Array, E>) => Effect.Effect<Written, StoreError | E>
    /**
     * Streams a blob by its hash (hex), or a range of it without reading the rest. Fails with `BodyAbsent` if there is
     * no such blob.
     */
    readonly read: (hash: string, range?: ByteRange) => Stream.Stream<Uint8Array, StoreError>
    readonly has: (hash: string) => Effect.Effect<boolean, StoreError>
    /** Removes a blob, unless it was touched within `untouchedFor`. Returns true if it was removed. */
    readonly remove: (hash: string, untouchedFor: Duration.Duration) => Effect.Effect<boolean, StoreError>
    readonly list: Stream.Stream<Blob, StoreError>
    /** Removes the remains of writes that were unfinished for more than a day. */
    readonly sweep: Effect.Effect<void, StoreError>
  }
>()("idem/stores/BlobStore") {}

/** Returns a hash in hex, as blobs are named. */
export const hex = (hash: Uint8Array): string => Buffer.from(hash).toString("hex")

/** Returns true for the name of a blob. */
export const isHash = (hash: string): boolean => /^[0-9a-f]{64}$/.test(hash)

/** Unfinished writes older than this are removed. No body takes that long. */
export const abandonedAfter = Duration.days(1)

/** Returns the part of these bytes that lies in the range. The bytes begin at `at` within the body. */
export const bytesInRange = (bytes: Uint8Array, range: ByteRange | undefined, at = 0): Uint8Array =>
  range === undefined ? bytes : bytes.subarray(Math.max(0, range.start - at), Math.max(0, range.end - at))

/** Returns a meter that hashes and counts bytes as they pass. */
export const meter = () => {
  const hash = Crypto.createHash("sha256")
  let size = 0
  return {
    add: (bytes: Uint8Array): void => {
      hash.update(bytes)
      size += bytes.byteLength
    },
    written: (): Written => ({ hash: new Uint8Array(hash.digest()), size })
  }
}

type Blobs = BlobStore["Service"]

/** Reads a blob, and returns true if its bytes have the hash under which it is stored. */
const isWhole = Effect.fnUntraced(
  function* (blobs: Blobs, hash: string) {
    const passed = meter()
    yield* Stream.runForEach(blobs.read(hash), (chunk) => Effect.sync(() => passed.add(chunk)))
    return hex(passed.written().hash) === hash
  },
  Effect.catchIf(
    (error) => error instanceof BodyAbsent,
    () => Effect.succeed(false)
  )
)

/**
 * Copies a blob from one store to another, unless it is there. A blob that is there is read: its file may be cut short.
 * `Damaged`: the bytes of `from` do not have this hash, or `to` keeps other bytes under it.
 */
export const copyBlob = Effect.fnUntraced(function* (hash: string, from: Blobs, to: Blobs) {
  const isThere = yield* to.has(hash)
  if (isThere && (yield* isWhole(to, hash))) return { _tag: "There" } as const
  const written = yield* to.write(from.read(hash))
  const isCopied = hex(written.hash) === hash && (!isThere || (yield* isWhole(to, hash)))
  return isCopied ? ({ _tag: "Written", size: written.size } as const) : ({ _tag: "Damaged" } as const)
})

/** Blobs in memory, for tests. */
export const layerMemory: Layer.Layer<BlobStore> = Layer.sync(BlobStore, () => {
  const blobs = new Map<string, { readonly bytes: Uint8Array; touchedAt: number }>()
  return BlobStore.of({
    write: Effect.fnUntraced(function* (bytes) {
      const chunks: Array<Uint8Array> = []
      const passed = meter()
      yield* Stream.runForEach(bytes, (chunk) =>
        Effect.sync(() => {
          passed.add(chunk)
          chunks.push(chunk.slice())
        })
      )
      const written = passed.written()
      const touchedAt = yield* Clock.currentTimeMillis
      blobs.set(hex(written.hash), { bytes: Buffer.concat(chunks), touchedAt })
      return written
    }),
    read: (hash, range) =>
      Stream.suspend(() => {
        const blob = blobs.get(hash.toLowerCase())
        return blob === undefined ? Stream.fail(absent(hash)) : Stream.succeed(bytesInRange(blob.bytes, range))
      }),
    has: (hash) => Effect.sync(() => blobs.has(hash.toLowerCase())),
    remove: (hash, untouchedFor) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const blob = blobs.get(hash.toLowerCase())
        const old = blob !== undefined && now - blob.touchedAt >= Duration.toMillis(untouchedFor)
        return old && blobs.delete(hash.toLowerCase())
      }),
    list: Stream.suspend(() =>
      Stream.fromIterable(
        Array.from(blobs, ([hash, { bytes, touchedAt }]) => ({
          hash,
          size: bytes.byteLength,
          touchedAt: DateTime.makeUnsafe(touchedAt)
        }))
      )
    ),
    sweep: Effect.void
  })
})

/** A small file in a place, besides the blobs. */
export interface PlaceFile {
  /** Returns the text of the file, or `Option.none` if it does not exist. */
  readonly read: Effect.Effect<Option.Option<string>, StoreError>
  /** Writes the file, unless it exists. */
  readonly create: (text: string) => Effect.Effect<void, StoreError>
  readonly replace: (text: string) => Effect.Effect<void, StoreError>
  readonly remove: Effect.Effect<void, StoreError>
}

/** A folder or a bucket, outside the database, for its blobs. */
export interface Place {
  /** The setting and its value, for messages. */
  readonly name: string
  /** Explains why an unmarked place may be the wrong one. */
  readonly hint: string
  readonly file: (name: string) => PlaceFile
  readonly blobs: Effect.Effect<BlobStore["Service"], StoreError, FileSystem.FileSystem | Path.Path | Scope.Scope>
}
