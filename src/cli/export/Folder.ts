/**
 * The folder into which an export writes. Nothing is written outside it: folders are created one at a time, symbolic
 * links among them are refused, and each file is created exclusively under a temporary name and then renamed, which
 * replaces a link instead of following it. Created files have mode 0600 and created folders 0700, because they contain
 * private mail.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { createHash, randomBytes } from "node:crypto"
import * as Folders from "../../engine/Folders.ts"
import { explain, explainPlatform } from "../../engine/SystemErrors.ts"
import { failed, type Failure } from "../CommandFailure.ts"
import * as TextFormat from "../TextFormat.ts"

export interface Folder {
  /** The real path of the folder. */
  readonly path: string
  /** True if the disk treats `A` and `a` as the same name. */
  readonly ignoresCase: boolean
  /** Writes a file below the folder; `modifiedAt` becomes its time. Returns its size in bytes. */
  readonly write: <E, R>(
    segments: ReadonlyArray<string>,
    body: Stream.Stream<Uint8Array, E, R>,
    modifiedAt?: DateTime.Utc | undefined
  ) => Effect.Effect<number, E | Failure, R>
}

const refuse = (what: string, why: string) => failed("Export", `can't write ${TextFormat.quoted(what)}: ${why}`)
const refused = (what: string) => (error: PlatformError.PlatformError) => refuse(what, explainPlatform(error))

/** `O_CREAT | O_EXCL`: the call creates the file or fails. It never opens an existing file and never follows a link. */
const exclusive = { flag: "wx", mode: 0o600 } as const
const privateFolder = { mode: 0o700 } as const

/** Opens the folder, and creates it if it does not exist. Fails if nothing can be created in it. */
export const open = Effect.fnUntraced(function* (
  to: string
): Effect.fn.Return<Folder, Failure, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const { join, resolve } = yield* Path.Path
  yield* Effect.tryPromise({
    try: () => Folders.create(resolve(to), privateFolder.mode),
    catch: (cause) => refuse(to, `${explain(cause)}; give another folder with --to`)
  })
  const root = yield* Effect.mapError(fs.realPath(to), refused(to))

  // A name that no id is encoded to (see Names): a percent sign without two hex digits after it.
  const probeName = `%probe-${randomBytes(8).toString("hex")}`
  const probe = join(root, probeName)
  const ignoresCase = yield* Effect.acquireUseRelease(
    fs.writeFile(probe, new Uint8Array(), exclusive),
    () => fs.exists(join(root, probeName.toUpperCase())),
    () => Effect.ignore(fs.remove(probe, { force: true }))
  ).pipe(Effect.mapError(refused(to)))

  const enter = Effect.fnUntraced(function* (parent: string, name: string) {
    const path = join(parent, name)
    yield* fs.makeDirectory(path, privateFolder).pipe(
      Effect.catchIf(
        (error) => error.reason._tag === "AlreadyExists",
        () => Effect.void
      ),
      Effect.mapError(refused(path))
    )
    const { type } = yield* Effect.mapError(fs.lstat(path), refused(path))
    if (type === "Directory") return path
    const is = type === "SymbolicLink" ? "a symbolic link, which is not followed" : "not a folder"
    return yield* failed("Export", `${TextFormat.quoted(path)} is ${is}: remove it, or export to an empty folder`)
  })

  const write: Folder["write"] = Effect.fnUntraced(function* (segments, body, modifiedAt) {
    const name = segments.at(-1) ?? ""
    let parent = root
    for (const folder of segments.slice(0, -1)) parent = yield* enter(parent, folder)
    const path = join(parent, name)
    const refuse = Effect.mapError(refused(path))
    // Always the same name, so that the next export removes the remains of a killed one.
    const temporary = join(parent, `%tmp-${createHash("sha256").update(name).digest("hex").slice(0, 16)}`)
    let size = 0
    yield* Effect.gen(function* () {
      yield* refuse(fs.remove(temporary, { force: true }))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const file = yield* refuse(fs.open(temporary, exclusive))
          yield* Stream.runForEach(body, (chunk) => {
            size += chunk.length
            return refuse(file.writeAll(chunk))
          })
        })
      )
      if (modifiedAt !== undefined) {
        const date = DateTime.toDateUtc(modifiedAt)
        yield* refuse(fs.utimes(temporary, date, date))
      }
      yield* refuse(fs.rename(temporary, path))
    }).pipe(Effect.onError(() => Effect.ignore(fs.remove(temporary, { force: true }))))
    return size
  })

  return { path: root, ignoresCase, write }
})
