/**
 * Decides where large bodies are stored: in the database, in the folder of `IDEM_BLOB_DIR`, or in the bucket of
 * `IDEM_BLOB_URL`.
 *
 * A folder or bucket (a *place*) belongs to one database: before its first change, the database's id is written into
 * it, and the database records that its bodies are outside. From then on, a place of another database is refused, and
 * so is an empty place (a disk that is not mounted) and a process without the setting, because bodies would be missing
 * in each of these cases. Several machines need a place that all of them can reach.
 *
 * Bodies that are already in the database stay there and are still read, so a place may be chosen later. While
 * `IDEM_BLOB_OLD` names a former place, bodies are read from it too, and `idem copy --blobs` moves all bodies to the
 * present place, and notes in the former place that it has done so. A former place with neither the database's id nor
 * this note is refused.
 */
import type * as Config from "effect/Config"
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
import { BlobStore, copyBlob, type Place } from "../Blobs.ts"
import { toStoreError } from "../postgres/SqlErrors.ts"
import { onOwnSession } from "../postgres/Transactions.ts"
import * as BlobSettings from "./BlobSettings.ts"
import * as PostgresBlobs from "./PostgresBlobs.ts"
import * as FallbackBlobs from "./FallbackBlobs.ts"

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

/** On a session of its own: a claim stays, even if it was made within a transaction that is rolled back. */
const noteOutside = (isOutside: boolean) =>
  SqlClient.SqlClient.use((sql) =>
    sql`UPDATE meta SET blob_folder = ${isOutside}`.pipe(
      onOwnSession(sql),
      Effect.asVoid,
      toStoreError("noting where large bodies are")
    )
  )

const ofAnother = (place: Place) =>
  refuse(`${place.name} holds the large bodies of another database: give each its own`)

/**
 * Returns the mark of the place and what the database records. Fails if the place belongs to another database, or may
 * be the wrong one. `isNew`: the database's bodies may be in an older place.
 */
const inspect = Effect.fnUntraced(function* (place: Place, isNew: boolean) {
  const { id, isOutside } = yield* meta
  const mark = yield* BlobSettings.ownerFile(place).read
  if (Option.isNone(mark) && isOutside && !isNew) {
    return yield* refuse(`${place.name} is not where this database's large bodies are: ${place.hint}`)
  }
  if (Option.isSome(mark) && !id.startsWith(mark.value)) return yield* ofAnother(place)
  return { id, isOutside, isOwn: Option.contains(mark, id) }
})

/** Claims the place for this database. Fails like `inspect`. */
const claim = Effect.fnUntraced(function* (place: Place, isNew: boolean) {
  const { id, isOutside, isOwn } = yield* inspect(place, isNew)
  const file = BlobSettings.ownerFile(place)
  if (!isOwn) {
    // If two processes are the first at the same time, one writes the id, and the other reads it.
    yield* file.create(id)
    const written = Option.getOrElse(yield* file.read, () => "")
    // A kill or a full disk, while the id was written, leaves the beginning of it.
    if (written !== id && id.startsWith(written)) yield* file.replace(id)
    if (!Option.contains(yield* file.read, id)) return yield* ofAnother(place)
  }
  if (!isOutside) yield* noteOutside(true)
})

/**
 * Claims a place before its first change. Opening the place does not claim it, because the process may still fail to
 * start.
 */
const claimedFirst = (blobs: Blobs, claimPlace: Effect.Effect<void, StoreError>): Blobs => {
  let isClaimed = false
  const claimed = Effect.suspend(() =>
    isClaimed ? Effect.void : Effect.tap(claimPlace, () => Effect.sync(() => void (isClaimed = true)))
  )
  return {
    ...blobs,
    write: (bytes) => Effect.andThen(claimed, blobs.write(bytes)),
    remove: (hash, untouchedFor) => Effect.andThen(claimed, blobs.remove(hash, untouchedFor)),
    sweep: Effect.andThen(claimed, blobs.sweep)
  }
}

/** Returns the store for new bodies, and the stores that hold older ones, which differ from it. */
const locate = Effect.gen(function* () {
  const { current, former } = yield* BlobSettings.places
  const { id, isOutside } = yield* meta
  const mark = former === undefined ? Option.none<string>() : yield* BlobSettings.ownerFile(former).read
  if (former !== undefined && Option.isSome(mark) && mark.value !== id) {
    return yield* refuse(`${former.name} holds the large bodies of another database`)
  }
  const older = Option.contains(mark, id) ? former : undefined
  if (former !== undefined && older === undefined) {
    // A disk that is not mounted would seem to hold no bodies that must move.
    const hasMoved = Option.contains(yield* BlobSettings.formerOwnerFile(former).read, id)
    const why = `${former.name} is not where this database's large bodies were: ${former.hint}`
    if (!hasMoved) return yield* refuse(`${why} If nothing is left to move, unset IDEM_BLOB_OLD`)
  }
  const database = Context.get(yield* Layer.build(PostgresBlobs.layer), BlobStore)
  const others = older === undefined ? [] : [yield* older.blobs]
  if (current === undefined) {
    if (isOutside && older === undefined) {
      return yield* refuse(
        "the large bodies of this database are outside of it: set IDEM_BLOB_DIR or IDEM_BLOB_URL as before"
      )
    }
    return { target: database, others, current, older }
  }
  yield* inspect(current, older !== undefined)
  if (former !== undefined && (yield* BlobSettings.isSamePlace(current, former))) {
    return yield* refuse(
      `${former.name} and ${current.name} are the same place: set IDEM_BLOB_OLD to the former place, or unset it`
    )
  }
  const context = yield* Effect.context<SqlClient.SqlClient>()
  const claimPlace = Effect.provideContext(claim(current, older !== undefined), context)
  return { target: claimedFirst(yield* current.blobs, claimPlace), others: [...others, database], current, older }
})

/** Provides the store of large bodies. The database must have Idem's schema. */
export const layer: Layer.Layer<
  BlobStore,
  StoreError | Config.ConfigError,
  SqlClient.SqlClient | FileSystem.FileSystem | Path.Path
> = Layer.effect(
  BlobStore,
  Effect.map(locate, ({ others, target }) => others.reduce(FallbackBlobs.make, target))
)

/** Returns where large bodies are stored, in words. Fails if that place can't be opened, or written to. */
export const check = Effect.gen(function* () {
  const { current } = yield* locate
  if (current === undefined) return "in the database"
  yield* BlobSettings.probe(current, () => Effect.void)
  return current.name
}).pipe(Effect.scoped)

/**
 * Moves all bodies from one store to another. A body leaves the old store only after this process has written it to the
 * new one, or has read it there: a file that exists may be cut short. Returns how many were written, and the hashes of
 * damaged bodies, which stay where they are. The stores must differ.
 */
const moveAll = Effect.fnUntraced(function* (from: Blobs, to: Blobs) {
  const moved = { bodies: 0, bytes: 0 }
  const damaged = new Set<string>()
  const moveOne = Effect.fnUntraced(function* (hash: string) {
    if (damaged.has(hash)) return
    const copied = yield* copyBlob(hash, from, to)
    if (copied._tag === "Damaged") {
      damaged.add(hash)
      return
    }
    if (copied._tag === "Written") {
      moved.bodies += 1
      moved.bytes += copied.size
    }
    yield* from.remove(hash, Duration.zero)
  })
  // Repeats until nothing is left: a process without the new setting may have stored bodies meanwhile.
  for (let before = -1; before !== moved.bodies;) {
    before = moved.bodies
    yield* Stream.runForEach(from.list, ({ hash }) =>
      Effect.catch(moveOne(hash), (error) =>
        // The collector has removed the body first.
        Effect.flatMap(from.has(hash), (isThere) => (isThere ? Effect.fail(error) : Effect.void))
      )
    )
  }
  return { ...moved, damaged: [...damaged] }
})

/**
 * Moves the bodies that are in the database, or in the place of `IDEM_BLOB_OLD`, to the present place. Other processes
 * may read and store meanwhile. Finally the old place no longer belongs to a database: a process that is started with
 * only the old place is refused. Fails if a body is damaged, after all others have moved.
 */
export const move = Effect.scoped(
  Effect.gen(function* () {
    const { current, older, others, target } = yield* locate
    if (current !== undefined) yield* claim(current, older !== undefined)
    const moved = yield* Effect.forEach(others, (from) => moveAll(from, target))
    const damaged = moved.flatMap((one) => one.damaged)
    if (damaged.length > 0) {
      const hashes = `${damaged.slice(0, 10).join(", ")}${damaged.length > 10 ? ", …" : ""}`
      return yield* refuse(
        `all bodies have moved except ${damaged.length} that are damaged: ${hashes}. ` +
          "Download their connections again with idem sync --force, then move again"
      )
    }
    if (current === undefined) yield* noteOutside(false)
    if (older !== undefined) {
      yield* BlobSettings.formerOwnerFile(older).replace((yield* meta).id)
      yield* BlobSettings.ownerFile(older).remove
    }
    return {
      bodies: moved.reduce((sum, { bodies }) => sum + bodies, 0),
      bytes: moved.reduce((sum, { bytes }) => sum + bytes, 0)
    }
  })
)
