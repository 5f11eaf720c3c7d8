/**
 * The folder that an export writes into. Nothing is ever written outside it: folders below it are made one by one, a
 * symbolic link among them is refused, and a file is written under a name of its own and then renamed, which replaces a
 * link instead of following it.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { failed, type Failure } from "../Failure.ts"
import * as Text from "../Text.ts"

export interface Folder {
  /** Its real path. */
  readonly path: string
  /** True where the disk takes `A` and `a` for one name. */
  readonly ignoresCase: boolean
  /** Writes a file below the folder; `modifiedAt` becomes its time. Gives its size in bytes. */
  readonly write: <E, R>(
    segments: ReadonlyArray<string>,
    body: Stream.Stream<Uint8Array, E, R>,
    modifiedAt?: DateTime.Utc | undefined
  ) => Effect.Effect<number, E | Failure, R>
}

const refused = (what: string) => (error: PlatformError.PlatformError) =>
  failed("Export", `can't write ${Text.quoted(what)}: ${error.reason.description ?? error.reason._tag}`)

/** Opens the folder, making it where it is not there. */
export const open = Effect.fnUntraced(function* (
  to: string
): Effect.fn.Return<Folder, Failure, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  yield* Effect.mapError(fs.makeDirectory(to, { recursive: true }), refused(to))
  const root = yield* Effect.mapError(fs.realPath(to), refused(to))

  // Names that no id is ever encoded to (see Names): a percent sign without hex digits.
  const probe = join(root, "%case")
  const ignoresCase = yield* fs
    .writeFile(probe, new Uint8Array(), { flag: "w" })
    .pipe(
      Effect.andThen(fs.exists(join(root, "%CASE"))),
      Effect.ensuring(Effect.ignore(fs.remove(probe, { force: true }))),
      Effect.mapError(refused(to))
    )

  const enter = Effect.fnUntraced(function* (parent: string, name: string) {
    const path = join(parent, name)
    yield* fs.makeDirectory(path).pipe(
      Effect.catchIf(
        (error) => error.reason._tag === "AlreadyExists",
        () => Effect.void
      ),
      Effect.mapError(refused(path))
    )
    const { type } = yield* Effect.mapError(fs.lstat(path), refused(path))
    if (type === "Directory") return path
    const is = type === "SymbolicLink" ? "a symbolic link, which is not followed" : "not a folder"
    return yield* failed("Export", `${Text.quoted(path)} is ${is}: remove it, or export to an empty folder`)
  })

  const write: Folder["write"] = Effect.fnUntraced(function* (segments, body, modifiedAt) {
    const name = segments.at(-1) ?? ""
    let parent = root
    for (const folder of segments.slice(0, -1)) parent = yield* enter(parent, folder)
    const path = join(parent, name)
    const refuse = Effect.mapError(refused(path))
    // The same name each time, so that the next export clears away what a killed one left.
    const temporary = join(parent, `%tmp-${createHash("sha256").update(name).digest("hex").slice(0, 16)}`)
    let size = 0
    yield* Effect.gen(function* () {
      yield* refuse(fs.remove(temporary, { force: true }))
      yield* Effect.scoped(
        Effect.gen(function* () {
          // `wx` makes it or fails: it opens nothing that is there, and follows no link.
          const file = yield* refuse(fs.open(temporary, { flag: "wx" }))
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
