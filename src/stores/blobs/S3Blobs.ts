/**
 * Blobs in a bucket of an S3-compatible object store, as `PREFIX<hash>`. A body is buffered up to one part. A larger
 * body is uploaded in parts under a temporary key, and copied within the store to its own key once its hash is known.
 * So memory is bounded, and nothing is written to a disk.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as SecureRandom from "effect/crypto/SecureRandom"
import { absent } from "../../engine/store/BodyStore.ts"
import { abandonedAfter, BlobStore, hex, isHash, meter, bytesInRange, type Place } from "../Blobs.ts"
import * as S3Client from "./S3Client.ts"
import * as S3Upload from "./S3Upload.ts"
import { backOff, drop, element, elements, isMissing, isTransient, networkFailure, type S3Failure } from "./S3Client.ts"

/** The size of a part. S3 requires at least 5 MiB and allows 10,000 parts, and R2 requires parts of equal size. */
const defaultPartSize = 8 * 1024 * 1024

const make = Effect.fnUntraced(function* (client: S3Client.S3Client, partSize: number) {
  const random = yield* SecureRandom.SecureRandom
  const { prefix } = client
  const unfinished = `${prefix}unfinished/`
  const keyOf = (hash: string) => `${prefix}${hash}`

  const head = (key: string) => client.text({ method: "HEAD", key })

  const storing = client.toStoreError("storing a large body")

  /** Returns the pages of a listing of objects or of uploads. */
  const pages = (
    query: Readonly<Record<string, string>>,
    next: ReadonlyArray<readonly [parameter: string, element: string]>
  ) =>
    Stream.paginate({} as Readonly<Record<string, string>>, (after) =>
      Effect.map(client.text({ method: "GET", key: "", query: { ...query, ...after } }), ({ now, text }) => {
        const more = element(text, "IsTruncated") === "true"
        const following = Object.fromEntries(
          next.flatMap(([parameter, name]) => {
            const value = element(text, name)
            return value === undefined ? [] : [[parameter, value]]
          })
        )
        return [[{ now, text }], more && Object.keys(following).length > 0 ? Option.some(following) : Option.none()]
      })
    )

  const objects = (below: string) =>
    Stream.flatMap(
      pages({ "list-type": "2", prefix: below }, [["continuation-token", "NextContinuationToken"]]),
      ({ now, text }) =>
        Stream.fromIterable(
          elements(text, "Contents").map((one) => ({
            key: element(one, "Key") ?? "",
            size: Number(element(one, "Size")),
            at: Date.parse(element(one, "LastModified") ?? ""),
            now
          }))
        )
    )

  const uploads = Stream.flatMap(
    pages({ uploads: "", prefix: unfinished }, [
      ["key-marker", "NextKeyMarker"],
      ["upload-id-marker", "NextUploadIdMarker"]
    ]),
    ({ now, text }) =>
      Stream.fromIterable(
        elements(text, "Upload").map((one) => ({
          key: element(one, "Key") ?? "",
          uploadId: element(one, "UploadId") ?? "",
          at: Date.parse(element(one, "Initiated") ?? ""),
          now
        }))
      )
  )

  const isAbandoned = ({ at, now }: { readonly at: number; readonly now: number }) =>
    now - at > Duration.toMillis(abandonedAfter)

  /** Streams the bytes from `start`. Continues after a broken connection. */
  const bytesFrom = (hash: string, start: number, end: number): Stream.Stream<Uint8Array, S3Failure> => {
    let at = start
    const attempt = (failures: number): Stream.Stream<Uint8Array, S3Failure> => {
      const before = at
      const range =
        before === 0 && end === Infinity ? {} : { range: `bytes=${before}-${end === Infinity ? "" : end - 1}` }
      return Stream.unwrap(
        Effect.map(client.open({ method: "GET", key: keyOf(hash), headers: range }), ({ body, status }) => {
          // A server without range support sends the whole object.
          let position = status === 206 ? before : 0
          return Stream.fromAsyncIterable(body as AsyncIterable<Uint8Array>, networkFailure).pipe(
            Stream.map((chunk) => {
              const part = bytesInRange(chunk, { start: before, end }, position)
              position += chunk.byteLength
              return part
            }),
            Stream.filter((part) => part.byteLength > 0),
            Stream.tap((part) => Effect.sync(() => void (at += part.byteLength)))
          )
        })
      ).pipe(
        Stream.catchIf(
          ({ status }) => status === 416,
          () => Stream.empty
        ),
        Stream.catch((failure) => {
          const count = at > before ? 0 : failures
          return isTransient(failure) && failure.status === undefined && count < backOff.times
            ? Stream.unwrap(Effect.as(Effect.sleep(Duration.millis(100 * 2 ** count)), attempt(count + 1)))
            : Stream.fail(failure)
        })
      )
    }
    return attempt(0)
  }

  return BlobStore.of({
    write: Effect.fnUntraced(function* (bytes) {
      const passed = meter()
      const buffer = Buffer.allocUnsafe(partSize)
      let filled = 0
      let upload: Effect.Success<ReturnType<typeof S3Upload.begin>> | undefined
      const send = Effect.gen(function* () {
        upload ??= yield* S3Upload.begin(client, `${unfinished}${yield* random.uuidV4()}`)
        yield* upload.part(buffer.subarray(0, filled))
        filled = 0
      }).pipe(Effect.mapError(storing))
      return yield* Effect.gen(function* () {
        yield* Stream.runForEach(
          bytes,
          Effect.fnUntraced(function* (chunk) {
            passed.add(chunk)
            for (let at = 0; at < chunk.byteLength;) {
              if (filled === partSize) yield* send
              const part = chunk.subarray(at, at + partSize - filled)
              buffer.set(part, filled)
              filled += part.byteLength
              at += part.byteLength
            }
          })
        )
        const written = passed.written()
        const hash = hex(written.hash)
        if (upload === undefined) {
          // Overwrites an existing object with the same bytes, which touches it.
          const put = client.text({ method: "PUT", key: keyOf(hash), body: buffer.subarray(0, filled) })
          yield* Effect.mapError(put, storing)
        } else {
          yield* send
          yield* Effect.mapError(upload.finish(keyOf(hash)), storing)
        }
        return written
      }).pipe(Effect.onError(() => upload?.abandon ?? Effect.void))
    }),

    read: (given, range) => {
      const hash = given.toLowerCase()
      if (!isHash(hash)) return Stream.fail(absent(given))
      const { end, start } = range ?? { start: 0, end: Infinity }
      const found = end > start ? bytesFrom(hash, start, end) : Stream.drain(Stream.fromEffect(head(keyOf(hash))))
      return Stream.mapError(found, (failure) =>
        isMissing(failure) ? absent(hash) : client.toStoreError("reading a large body")(failure)
      )
    },

    has: (given) => {
      const hash = given.toLowerCase()
      if (!isHash(hash)) return Effect.succeed(false)
      return head(keyOf(hash)).pipe(
        Effect.as(true),
        Effect.catchIf(isMissing, () => Effect.succeed(false)),
        Effect.mapError(client.toStoreError("looking for a large body"))
      )
    },

    // A body that is written again between the two requests is removed with the old one. Then the commit that refers to
    // it does not find it and fails, and the next run stores it (see `postgres/Purge.ts`).
    remove: Effect.fnUntraced(
      function* (given, untouchedFor) {
        const hash = given.toLowerCase()
        if (!isHash(hash)) return false
        const found = yield* head(keyOf(hash)).pipe(
          Effect.asSome,
          Effect.catchIf(isMissing, () => Effect.succeedNone)
        )
        if (Option.isNone(found)) return false
        const touchedAt = Date.parse(found.value.header("last-modified") ?? "")
        if (!(found.value.now - touchedAt >= Duration.toMillis(untouchedFor))) return false
        yield* drop(client, keyOf(hash))
        return true
      },
      Effect.mapError(client.toStoreError("removing a large body"))
    ),

    list: objects(prefix).pipe(
      Stream.filter(({ at, key }) => isHash(key.slice(prefix.length)) && !Number.isNaN(at)),
      Stream.map(({ at, key, size }) => ({
        hash: key.slice(prefix.length),
        size,
        touchedAt: DateTime.makeUnsafe(at)
      })),
      Stream.mapError(client.toStoreError("listing large bodies"))
    ),

    sweep: Effect.gen(function* () {
      // Another place may be below this prefix, so only names of our own form are removed.
      const own = Stream.filter(objects(unfinished), ({ key }) => /[0-9a-f]{4}-[0-9a-f]{12}$/.test(key))
      yield* Stream.runForEach(Stream.filter(own, isAbandoned), ({ key }) => drop(client, key))
      yield* Stream.runForEach(Stream.filter(uploads, isAbandoned), ({ key, uploadId }) =>
        drop(client, key, { uploadId })
      ).pipe(
        // Some servers can't list uploads.
        Effect.catchIf(
          ({ code, status }) => code === "NotImplemented" || status === 405,
          () => Effect.void
        )
      )
    }).pipe(Effect.mapError(client.toStoreError("sweeping unfinished bodies")))
  })
})

/** Provides blobs in the bucket of this client. */
export const layer = (client: S3Client.S3Client, partSize = defaultPartSize): Layer.Layer<BlobStore> =>
  Layer.effect(BlobStore, make(client, partSize)).pipe(Layer.provide(SecureRandom.layerWebCrypto))

/** Returns a bucket as the place of a database's blobs. `setting` is the name of the setting. */
export const place = Effect.fnUntraced(function* (setting: string, url: string) {
  const client = yield* S3Client.make(setting, url)
  const usable = Effect.mapError(client.toStoreError(setting))
  const place: Place = {
    name: `${setting}: ${client.name}`,
    hint: "it has no idem-database. Is that the right bucket, and the right endpoint?",
    file: (name) => {
      const key = `${client.prefix}${name}`
      const write = (text: string, headers: Readonly<Record<string, string>>) =>
        client.text({ method: "PUT", key, body: Buffer.from(`${text}\n`), headers })
      return {
        read: client.text({ method: "GET", key }).pipe(
          Effect.map(({ text }) => Option.some(text.trim())),
          Effect.catchIf(isMissing, () => Effect.succeedNone),
          usable
        ),
        create: (text) =>
          write(text, { "if-none-match": "*" }).pipe(
            Effect.catchIf(
              ({ status }) => status === 412 || status === 409,
              () => Effect.void
            ),
            usable
          ),
        replace: (text) => usable(write(text, {})),
        remove: usable(drop(client, key))
      }
    },
    blobs: Effect.map(Layer.build(layer(client)), Context.get(BlobStore))
  }
  return place
})
