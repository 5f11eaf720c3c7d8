/**
 * Where large bodies are kept: in the database, or in the folder that `IDEM_BLOB_DIR` names.
 *
 * A folder belongs to one database: at first use the database's id is written into it, and the database notes that it
 * has a folder. From then on another database's folder is refused, an empty one (a disk that is not mounted) too, and
 * so is a process without the setting: each of them would find bodies missing. Several machines need a folder that they
 * share.
 *
 * Bodies that were in the database before it had a folder stay there, and are read from there: so a folder may be
 * chosen later. There is no way back: the folder may move, with all that is in it, but not be left out.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { StoreError } from "../../engine/store/StoreError.ts"
import { BlobStore } from "../Blobs.ts"
import { toStoreError } from "../postgres/SqlErrors.ts"
import * as FolderBlobs from "./FolderBlobs.ts"
import * as PostgresBlobs from "./PostgresBlobs.ts"

/** The file that holds the id of the database to which a folder belongs. */
const markName = "idem-database"

const setting = Config.option(Config.NonEmptyString("IDEM_BLOB_DIR"))

const decodeMeta = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ id: Schema.String, hasFolder: Schema.Boolean })])
)

const refuse = (message: string) => Effect.fail(new StoreError({ message, cause: message }))

const meta = SqlClient.SqlClient.use((sql) =>
  sql`SELECT database_id::text AS id, blob_folder AS "hasFolder" FROM meta`.pipe(
    Effect.flatMap((rows) => Effect.orDie(decodeMeta(rows))),
    Effect.map(([row]) => row),
    toStoreError("reading where large bodies are")
  )
)

const unusable = (folder: string) => (error: PlatformError) =>
  new StoreError({ message: `IDEM_BLOB_DIR: ${folder} can't be used: ${error.message}`, cause: error })

/** The id that is written in the folder; none in one that was never used. */
const readMark = Effect.fnUntraced(function* (mark: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.readFileString(mark).pipe(
    Effect.map((text) => Option.some(text.trim())),
    Effect.catchIf(
      (error) => error.reason._tag === "NotFound",
      () => Effect.succeedNone
    )
  )
})

/** Writes the id to a file beside the mark, and renames that to it: a kill leaves the old mark or the new one. */
const replaceMark = Effect.fnUntraced(function* (mark: string, id: string) {
  const fs = yield* FileSystem.FileSystem
  const temporary = `${mark}-${id}`
  yield* Effect.scoped(
    Effect.gen(function* () {
      const file = yield* fs.open(temporary, { flag: "w", mode: 0o600 })
      yield* file.writeAll(new TextEncoder().encode(`${id}\n`))
      yield* file.sync
    })
  )
  yield* fs.rename(temporary, mark)
})

/** Takes the folder for this database, or fails where it may not. */
const claim = Effect.fnUntraced(function* (folder: string) {
  const sql = yield* SqlClient.SqlClient
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { hasFolder, id } = yield* meta
  const mark = path.join(folder, markName)
  const found = yield* readMark(mark).pipe(Effect.mapError(unusable(folder)))
  if (Option.isNone(found)) {
    if (hasFolder) {
      return yield* refuse(
        `IDEM_BLOB_DIR: ${folder} is not the folder in which this database's large bodies are: it has no ${markName}. Is the disk mounted?`
      )
    }
    yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 }).pipe(Effect.mapError(unusable(folder)))
    // Of two that are first, one writes it, and the other reads what that one wrote.
    yield* Effect.scoped(
      Effect.gen(function* () {
        const file = yield* fs.open(mark, { flag: "wx", mode: 0o600 })
        yield* file.writeAll(new TextEncoder().encode(`${id}\n`))
        yield* file.sync
      })
    ).pipe(
      Effect.catchIf(
        (error) => error.reason._tag === "AlreadyExists",
        () => Effect.void
      ),
      Effect.mapError(unusable(folder))
    )
  }
  // A process that was killed between creating the file and writing to it left it empty.
  if (Option.contains(yield* readMark(mark).pipe(Effect.mapError(unusable(folder))), "")) {
    yield* replaceMark(mark, id).pipe(Effect.mapError(unusable(folder)))
  }
  const owner = yield* readMark(mark).pipe(Effect.mapError(unusable(folder)))
  if (Option.isNone(owner) || owner.value !== id) {
    return yield* refuse(`IDEM_BLOB_DIR: ${folder} holds the large bodies of another database: give each its own`)
  }
  if (!hasFolder) {
    yield* sql`UPDATE meta SET blob_folder = true`.pipe(toStoreError("noting where large bodies are"))
  }
})

/**
 * A store that writes to `first`, and reads also from `second`, which an earlier setting wrote to. A blob that is in
 * both is one blob: it is read from `first`, listed once, and removed only if no copy of it is left.
 */
const both = (first: BlobStore["Service"], second: BlobStore["Service"]): BlobStore["Service"] => {
  const has = (hash: string) =>
    Effect.flatMap(first.has(hash), (found) => (found ? Effect.succeed(true) : second.has(hash)))
  return {
    write: first.write,
    read: (hash, range) =>
      Stream.unwrap(
        Effect.map(first.has(hash), (found) => (found ? first.read(hash, range) : second.read(hash, range)))
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

const inFolder = (folder: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      yield* claim(folder)
      const database = yield* Layer.build(PostgresBlobs.layer)
      return Layer.effect(
        BlobStore,
        Effect.map(BlobStore, (own) => both(own, Context.get(database, BlobStore)))
      ).pipe(Layer.provide(FolderBlobs.layer(folder)))
    })
  )

const inDatabase = Layer.unwrap(
  Effect.gen(function* () {
    const { hasFolder } = yield* meta
    return hasFolder
      ? yield* refuse("the large bodies of this database are in a folder: set IDEM_BLOB_DIR to it, as where it was set")
      : PostgresBlobs.layer
  })
)

/** The database must have Idem's schema. */
export const layer: Layer.Layer<
  BlobStore,
  StoreError | Config.ConfigError,
  SqlClient.SqlClient | FileSystem.FileSystem | Path.Path
> = Layer.unwrap(Effect.map(setting, Option.match({ onNone: () => inDatabase, onSome: inFolder })))
