/** Blobs in a folder, as `aa/bb/<hash>`. Each is written under a temporary name, synced, and then renamed. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Folders from "../../engine/Folders.ts"
import { explain, explainPlatform } from "../../engine/SystemErrors.ts"
import { absent } from "../../engine/store/BodyStore.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import { abandonedAfter, BlobStore, hex, isHash, meter, type Place } from "../Blobs.ts"

const createFolder = (folder: string, what: string) =>
  Effect.tryPromise({
    try: () => Folders.create(folder, 0o700),
    catch: (cause) => new StoreError({ message: `${what}: ${explain(cause)}`, cause })
  })

const isMissing = (error: PlatformError): boolean => error.reason._tag === "NotFound"

/** `name` is the folder in the error of opening it. */
const make = Effect.fnUntraced(function* (folder: string, name = folder) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const random = yield* SecureRandom.SecureRandom
  const failed =
    (doing: string) =>
    (error: PlatformError): StoreError =>
      new StoreError({ message: `${doing}: ${folder} can't be used: ${explainPlatform(error)}`, cause: error })
  // In the same folder, so that renaming a file is atomic within one file system.
  const unfinished = path.join(folder, "unfinished")
  yield* createFolder(unfinished, `${name} can't be used`)

  const place = (hash: string) => path.join(folder, hash.slice(0, 2), hash.slice(2, 4), hash)

  /** Without this sync, a crash of the machine could lose the name of a file whose bytes are on disk. */
  const syncFolder = (name: string) => Effect.scoped(Effect.flatMap(fs.open(name), (file) => file.sync))

  const sweep = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    // Another place may be below this folder, so only names of our own form are removed.
    for (const name of (yield* fs.readDirectory(unfinished)).filter((name) => /[0-9a-f]{4}-[0-9a-f]{12}$/.test(name))) {
      const file = path.join(unfinished, name)
      const info = yield* Effect.option(fs.stat(file))
      const at = Option.flatMap(info, ({ mtime }) => mtime)
      if (Option.isSome(at) && now - at.value.getTime() > Duration.toMillis(abandonedAfter)) {
        yield* fs.remove(file, { force: true })
      }
    }
  }).pipe(Effect.mapError(failed("sweeping unfinished bodies")))

  /** Replaces an existing file too: it has the same bytes, unless it was damaged. */
  const finish = Effect.fnUntraced(function* (temporary: string, hash: string) {
    const file = place(hash)
    const parent = path.dirname(file)
    yield* fs.makeDirectory(parent, { recursive: true, mode: 0o700 })
    yield* fs.rename(temporary, file)
    yield* syncFolder(parent)
    yield* syncFolder(path.dirname(parent))
    yield* syncFolder(folder)
  })

  /**
   * Returns the error for a file that can't be read. If the folder is missing (its disk is not mounted, say), the error
   * does not say that the body is absent.
   */
  const unreadable = Effect.fnUntraced(function* (hash: string, error: PlatformError) {
    const reading = failed("reading a large body")
    if (!isMissing(error)) return yield* reading(error)
    return yield* Effect.matchEffect(fs.access(unfinished), {
      onSuccess: () => Effect.fail(absent(hash)),
      onFailure: (missing) => Effect.fail(reading(missing))
    })
  })

  return BlobStore.of({
    write: Effect.fnUntraced(function* (bytes) {
      const storing = failed("storing a large body")
      const temporary = path.join(unfinished, yield* random.uuidV4())
      return yield* Effect.gen(function* () {
        const passed = meter()
        yield* Effect.scoped(
          Effect.gen(function* () {
            const file = yield* fs.open(temporary, { flag: "wx", mode: 0o600 }).pipe(Effect.mapError(storing))
            yield* Stream.runForEach(bytes, (chunk) => {
              passed.add(chunk)
              return file.writeAll(chunk).pipe(Effect.mapError(storing))
            })
            yield* file.sync.pipe(Effect.mapError(storing))
          })
        )
        const written = passed.written()
        yield* finish(temporary, hex(written.hash)).pipe(Effect.mapError(storing))
        return written
      }).pipe(Effect.onError(() => Effect.ignore(fs.remove(temporary, { force: true }))))
    }),

    read: (given, range) => {
      const hash = given.toLowerCase()
      const part = range && { offset: range.start, bytesToRead: Math.max(0, range.end - range.start) }
      return isHash(hash)
        ? Stream.catch(fs.stream(place(hash), part), (error) => Stream.fromEffect(unreadable(hash, error)))
        : Stream.fail(absent(given))
    },

    has: (given) => {
      const hash = given.toLowerCase()
      return isHash(hash)
        ? Effect.mapError(fs.exists(place(hash)), failed("looking for a large body"))
        : Effect.succeed(false)
    },

    remove: Effect.fnUntraced(
      function* (given, untouchedFor) {
        const hash = given.toLowerCase()
        if (!isHash(hash)) return false
        const file = place(hash)
        // The file is renamed first and checked afterwards: a run that writes the same bytes meanwhile finds no file,
        // and writes a new one.
        const aside = path.join(unfinished, `${hash}-${yield* random.uuidV4()}`)
        const taken = yield* fs.rename(file, aside).pipe(
          Effect.as(true),
          Effect.catchIf(isMissing, () => Effect.succeed(false))
        )
        if (!taken) return false
        const now = yield* Clock.currentTimeMillis
        const at = Option.map((yield* fs.stat(aside)).mtime, (mtime) => mtime.getTime())
        if (Option.isSome(at) && now - at.value < Duration.toMillis(untouchedFor)) {
          yield* fs.rename(aside, file)
          return false
        }
        yield* fs.remove(aside)
        return true
      },
      Effect.mapError(failed("removing a large body")),
      Effect.uninterruptible
    ),

    list: Stream.unwrap(
      Effect.map(fs.readDirectory(folder), (names) =>
        Stream.fromIterable(names.filter((name) => /^[0-9a-f]{2}$/.test(name))).pipe(
          Stream.mapEffect((name) => fs.readDirectory(path.join(folder, name), { recursive: true })),
          Stream.flatMap((files) => Stream.fromIterable(files.map((file) => path.basename(file)).filter(isHash))),
          Stream.mapEffect((hash) => Effect.map(Effect.option(fs.stat(place(hash))), (info) => ({ hash, info }))),
          Stream.flatMap(({ hash, info }) =>
            Stream.fromIterable(
              Option.toArray(info).map(({ mtime, size }) => ({
                hash,
                size: Number(size),
                touchedAt: DateTime.makeUnsafe(Option.getOrElse(mtime, () => new Date(0)))
              }))
            )
          )
        )
      )
    ).pipe(Stream.mapError(failed("listing large bodies"))),

    sweep
  })
})

/** Provides blobs below this folder, which is created if it does not exist. */
export const layer = (
  folder: string,
  name?: string
): Layer.Layer<BlobStore, StoreError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(BlobStore, make(folder, name)).pipe(Layer.provide(SecureRandom.layerWebCrypto))

/** Returns a folder as the place of a database's blobs. `setting` is the name of the setting. */
export const place = Effect.fnUntraced(function* (setting: string, folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const usable = Effect.mapError(
    (error: PlatformError) =>
      new StoreError({ message: `${setting}: ${folder} can't be used: ${explainPlatform(error)}`, cause: error })
  )
  const write = (name: string, flag: "w" | "wx", text: string) =>
    Effect.scoped(
      Effect.gen(function* () {
        const file = yield* fs.open(name, { flag, mode: 0o600 })
        yield* file.writeAll(new TextEncoder().encode(`${text}\n`))
        yield* file.sync
      })
    )
  const place: Place = {
    name: `${setting}: ${folder}`,
    hint: "it has no idem-database. Is the disk mounted?",
    file: (name) => {
      const file = path.join(folder, name)
      return {
        read: fs.readFileString(file).pipe(
          Effect.map((text) => Option.some(text.trim())),
          Effect.catchIf(isMissing, () => Effect.succeedNone),
          usable
        ),
        create: (text) =>
          Effect.andThen(
            createFolder(path.dirname(file), `${setting}: ${folder} can't be used`),
            write(file, "wx", text).pipe(
              Effect.catchIf(
                (error) => error.reason._tag === "AlreadyExists",
                () => Effect.void
              ),
              usable
            )
          ),
        // A new file is renamed over the old one: after a kill, the file has either the old text or the new one.
        replace: (text) =>
          Effect.andThen(write(`${file}-${text}`, "w", text), fs.rename(`${file}-${text}`, file)).pipe(usable),
        remove: fs.remove(file, { force: true }).pipe(usable)
      }
    },
    blobs: Effect.map(Layer.build(layer(folder, `${setting}: ${folder}`)), Context.get(BlobStore))
  }
  return place
})
