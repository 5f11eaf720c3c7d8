/**
 * Locks between processes that the kernel gives back when their holder dies, however it dies.
 *
 * Node has no flock of its own. SQLite has: a transaction on a file holds its advisory locks, shared (`BEGIN` and a
 * read) or exclusive (`BEGIN EXCLUSIVE`). Nothing is ever written, so the files stay empty, and a full disk does no
 * harm.
 *
 * POSIX drops a process's locks on a file as soon as the process closes any descriptor of it. So a lock file is opened
 * by SQLite alone, which knows of that; creating one must not open one that is there.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { codeOf } from "../../engine/SystemErrors.ts"
import { EmbeddedError, ioSync } from "./EmbeddedError.ts"

export interface Held {
  /** Gives the lock back; again does nothing. */
  readonly release: Effect.Effect<void>
}

/** SQLite's code for a lock that another holds. */
const busy = 5

const isBusy = (cause: unknown): boolean =>
  cause instanceof Error && "errcode" in cause && typeof cause.errcode === "number" && (cause.errcode & 255) === busy

const create = (file: string): void => {
  try {
    Fs.closeSync(Fs.openSync(file, "wx", 0o600))
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw cause
  }
}

/** Takes the lock if it is free now. None while another holds it against us. */
export const take = (file: string, mode: "shared" | "exclusive"): Effect.Effect<Option.Option<Held>, EmbeddedError> =>
  ioSync(`the lock ${file} can't be taken`, () => {
    create(file)
    const lock = new DatabaseSync(file, { timeout: 0 })
    try {
      lock.exec("PRAGMA journal_mode = MEMORY")
      lock.exec(mode === "exclusive" ? "BEGIN EXCLUSIVE" : "BEGIN")
      if (mode === "shared") lock.prepare("SELECT count(*) FROM sqlite_schema").get()
    } catch (cause) {
      lock.close()
      if (isBusy(cause)) return Option.none()
      throw cause
    }
    return Option.some({
      release: Effect.sync(() => {
        if (lock.isOpen) lock.close()
      })
    })
  })

/** Runs an effect while holding the lock alone; waits for it up to `wait`. The effect's own scope is its caller's. */
export const withExclusive =
  (file: string, options: { readonly wait: Duration.Duration; readonly message: string }) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | EmbeddedError, R> =>
    Effect.scopedWith((scope) =>
      Effect.uninterruptible(
        Effect.tap(take(file, "exclusive"), (held) =>
          Option.isSome(held) ? Scope.addFinalizer(scope, held.value.release) : Effect.void
        )
      ).pipe(
        Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("20 millis") }),
        Effect.timeoutOrElse({
          duration: options.wait,
          orElse: () => Effect.fail(new EmbeddedError({ message: options.message }))
        }),
        Effect.andThen(effect)
      )
    )
