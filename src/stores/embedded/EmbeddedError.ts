import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs/promises"

/** The database that Idem starts itself can't be had. The message is one line for a person and holds no secret. */
export class EmbeddedError extends Schema.TaggedError<EmbeddedError>()("EmbeddedError", { message: Schema.String }) {}

const words: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOTDIR: "part of the path is a file",
  EMFILE: "too many open files"
}

/** The system's error code (`ENOENT`, …), where the cause carries one. */
export const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

const explain = (cause: unknown): string => {
  const known = words[codeOf(cause) ?? ""]
  return known ?? (cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause))
}

/** Work on files; its failure becomes `<what>: <why>`. */
export const io = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, EmbeddedError> =>
  Effect.tryPromise({ try: run, catch: (cause) => new EmbeddedError({ message: `${what}: ${explain(cause)}` }) })

export const ioSync = <A>(what: string, run: () => A): Effect.Effect<A, EmbeddedError> =>
  Effect.try({ try: run, catch: (cause) => new EmbeddedError({ message: `${what}: ${explain(cause)}` }) })

/** Less than PostgreSQL needs to begin with. */
const tooLittle = 1024 * 1024

/** Fails as given, unless the disk is full: then the server's log is cut short. */
export const blameFullDisk =
  (folder: string) =>
  (error: EmbeddedError): Effect.Effect<never, EmbeddedError> =>
    Effect.flatMap(
      Effect.orElseSucceed(
        io(folder, () => Fs.statfs(folder)),
        () => undefined
      ),
      (disk) =>
        Effect.fail(
          disk !== undefined && disk.bavail * disk.bsize < tooLittle
            ? new EmbeddedError({ message: `the disk that holds ${folder} is full` })
            : error
        )
    )
