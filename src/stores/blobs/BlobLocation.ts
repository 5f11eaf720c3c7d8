/**
 * Where large bodies are kept: in the database, in the folder that `IDEM_BLOB_DIR` names, or in the bucket that
 * `IDEM_BLOB_URL` names.
 *
 * A folder or bucket belongs to one database: at first use the database's id is written into it, and the database notes
 * that its bodies are outside. From then on another database's place is refused, an empty one (a disk that is not
 * mounted) too, and so is a process without the setting: each of them would find bodies missing. Several machines need
 * a place that they share.
 *
 * Bodies that were in the database before stay there, and are read from there: so a place may be chosen later. Bodies
 * that are in another place are read from there while `IDEM_BLOB_OLD` names it, and `idem copy --blobs` moves all that
 * are not where they are to be.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { StoreError } from "../../engine/store/StoreError.ts"
import { BlobStore, type Place } from "../Blobs.ts"
import { toStoreError } from "../postgres/SqlErrors.ts"
import * as FolderBlobs from "./FolderBlobs.ts"
import * as PostgresBlobs from "./PostgresBlobs.ts"

type Blobs = BlobStore["Service"]

const decodeMeta = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ id: Schema.String, isOutside: Schema.Boolean })])
)

const refuse = (message: string) => Effect.fail(new StoreError({ message, cause: message }))

const meta = SqlClient.SqlClient.use((sql) =>
  sql`SELECT database_id::text AS id, blob_folder AS "isOutside" FROM meta`.pipe(
    Effect.flatMap((rows) => Effect.orDie(decodeMeta(rows))),
    Effect.map(([row]) => row),
    toStoreError("reading where large bodies are")
  )
)

const noteOutside = (isOutside: boolean) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.asVoid(sql`UPDATE meta SET blob_folder = ${isOutside}`.pipe(toStoreError("noting where large bodies are")))
  )

const setting = (name: string) => Effect.map(Config.option(Config.NonEmptyString(name)), Option.getOrUndefined)

/** The folder or bucket that a setting names. The client of buckets is loaded where there is one. */
const placeOf = (name: string, value: string) =>
  value.includes("://")
    ? Effect.flatMap(
        Effect.promise(() => import("./S3Blobs.ts")),
        ({ place }) => place(name, value)
      )
    : FolderBlobs.place(name, value)

/** Takes the place for this database, or fails where it may not. `isNew`: its bodies may be in an older place. */
const claim = Effect.fnUntraced(function* (place: Place, isNew: boolean) {
  const { id, isOutside } = yield* meta
  const found = yield* place.readMark
  if (Option.isNone(found)) {
    if (isOutside && !isNew) {
      return yield* refuse(`${place.name} is not where this database's large bodies are: ${place.hint}`)
    }
    // Of two that are first, one writes it, and the other reads what that one wrote.
    yield* place.makeMark(id)
  }
  // A process that was killed between creating a file and writing to it left it empty.
  if (Option.contains(yield* place.readMark, "")) yield* place.replaceMark(id)
  if (!Option.contains(yield* place.readMark, id)) {
    return yield* refuse(`${place.name} holds the large bodies of another database: give each its own`)
  }
  if (!isOutside) yield* noteOutside(true)
})

/**
 * A store that writes to `first`, and reads also from `second`, which an earlier setting wrote to. A blob that is in
 * both is one blob: it is read from `first`, listed once, and removed only if no copy of it is left. Blobs may move
 * from the second to the first meanwhile: what is gone from the second is looked for in the first once more.
 */
const both = (first: Blobs, second: Blobs): Blobs => {
  const has = (hash: string) =>
    Effect.gen(function* () {
      return (yield* first.has(hash)) || (yield* second.has(hash)) || (yield* first.has(hash))
    })
  return {
    write: first.write,
    read: (hash, range) =>
      Stream.unwrap(
        Effect.map(first.has(hash), (found) => {
          if (found) return first.read(hash, range)
          let at = range?.start ?? 0
          const old = Stream.tap(second.read(hash, range), (bytes) => Effect.sync(() => void (at += bytes.byteLength)))
          return Stream.catch(old, (error) =>
            Stream.unwrap(
              Effect.map(first.has(hash), (moved) =>
                moved ? first.read(hash, { start: at, end: range?.end ?? Number.MAX_SAFE_INTEGER }) : Stream.fail(error)
              )
            )
          )
        })
      ),
    has,
    remove: Effect.fnUntraced(function* (hash, untouchedFor) {
      const removed = [yield* first.remove(hash, untouchedFor), yield* second.remove(hash, untouchedFor)]
      return removed.includes(true) && !(yield* has(hash))
    }),
    list: Stream.concat(
      first.list,
      Stream.filterEffect(second.list, ({ hash }) => Effect.map(first.has(hash), (found) => !found))
    ),
    sweep: Effect.andThen(first.sweep, second.sweep)
  }
}

const locate = Effect.gen(function* () {
  const [folder, url, old] = [
    yield* setting("IDEM_BLOB_DIR"),
    yield* setting("IDEM_BLOB_URL"),
    yield* setting("IDEM_BLOB_OLD")
  ]
  if (folder !== undefined && url !== undefined) {
    return yield* refuse(
      "IDEM_BLOB_DIR and IDEM_BLOB_URL are both set: keep the one, and name the other by IDEM_BLOB_OLD"
    )
  }
  if (url !== undefined && !url.includes("://"))
    return yield* refuse("IDEM_BLOB_URL is not of the form s3://bucket/prefix")
  const { id, isOutside } = yield* meta
  const older = old === undefined ? undefined : yield* placeOf("IDEM_BLOB_OLD", old)
  const mark = older === undefined ? Option.none<string>() : yield* older.readMark
  if (older !== undefined && Option.isSome(mark) && mark.value !== id) {
    return yield* refuse(`${older.name} holds the large bodies of another database`)
  }
  const isOld = Option.contains(mark, id)
  const own =
    folder !== undefined
      ? yield* placeOf("IDEM_BLOB_DIR", folder)
      : url !== undefined
        ? yield* placeOf("IDEM_BLOB_URL", url)
        : undefined
  if (own !== undefined) yield* claim(own, isOld)
  else if (isOutside && !isOld) {
    return yield* refuse(
      "the large bodies of this database are outside of it: set IDEM_BLOB_DIR or IDEM_BLOB_URL, as where it was set"
    )
  }
  const database = Context.get(yield* Layer.build(PostgresBlobs.layer), BlobStore)
  return {
    target: own === undefined ? database : yield* own.blobs,
    others: [...(older !== undefined && isOld ? [yield* older.blobs] : []), ...(own === undefined ? [] : [database])],
    own,
    older: isOld ? older : undefined
  }
})

/** The database must have Idem's schema. */
export const layer: Layer.Layer<
  BlobStore,
  StoreError | Config.ConfigError,
  SqlClient.SqlClient | FileSystem.FileSystem | Path.Path
> = Layer.effect(
  BlobStore,
  Effect.map(locate, ({ others, target }) => others.reduce(both, target))
)

/** Where large bodies are, in words, after a look into it. */
export const check = Effect.scoped(Effect.map(locate, ({ own }) => own?.name ?? "in the database"))

/**
 * Moves the bodies that are in the database, or in the place of `IDEM_BLOB_OLD`, to where bodies are to be. Others may
 * read and store meanwhile. In the end the old place belongs to no database any more: a process that is started with it
 * as its only one is refused.
 */
export const move = Effect.scoped(
  Effect.gen(function* () {
    const { older, others, own, target } = yield* locate
    const moved = { bodies: 0, bytes: 0 }
    const moveOne = Effect.fnUntraced(function* (from: Blobs, hash: string) {
      if (!(yield* target.has(hash))) {
        const written = yield* target.write(from.read(hash))
        if (Buffer.from(written.hash).toString("hex") !== hash) {
          return yield* refuse(`the body ${hash} is not what was stored: it is damaged, and stays where it is`)
        }
        moved.bodies += 1
        moved.bytes += written.size
      }
      yield* from.remove(hash, Duration.zero)
    })
    for (const from of others) {
      // The next pass finds the bodies that a process without the new setting has stored meanwhile.
      for (let before = -1; before !== moved.bodies;) {
        before = moved.bodies
        yield* Stream.runForEach(from.list, ({ hash }) =>
          Effect.catch(moveOne(from, hash), (error) =>
            // The collector was faster.
            Effect.flatMap(from.has(hash), (isThere) => (isThere ? Effect.fail(error) : Effect.void))
          )
        )
      }
    }
    if (own === undefined) yield* noteOutside(false)
    if (older !== undefined) yield* older.removeMark
    return moved
  })
)
