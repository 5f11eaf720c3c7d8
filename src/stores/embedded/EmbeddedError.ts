import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs/promises"
import * as SystemErrors from "../../engine/SystemErrors.ts"

/** The embedded database can't be used. The message is one line for a person, and contains no secret. */
export class EmbeddedError extends Schema.TaggedError<EmbeddedError>()("EmbeddedError", { message: Schema.String }) {}

/** Runs work on files. Its failure becomes `<what>: <why>`. */
export const io = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, EmbeddedError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => new EmbeddedError({ message: `${what}: ${SystemErrors.explain(cause)}` })
  })

export const ioSync = <A>(what: string, run: () => A): Effect.Effect<A, EmbeddedError> =>
  Effect.try({ try: run, catch: (cause) => new EmbeddedError({ message: `${what}: ${SystemErrors.explain(cause)}` }) })

/** Less free space than PostgreSQL needs to start. */
const tooLittle = 1024 * 1024

/** Fails with the given error or, if the disk is full, with that cause: then the server's log is incomplete. */
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
