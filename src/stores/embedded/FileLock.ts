/**
 * Locks between processes, which the kernel releases when their holder dies for any reason.
 *
 * Node has no `flock`, but SQLite uses file locks: a transaction on a file holds advisory locks on it, shared (`BEGIN`
 * and a read) or exclusive (`BEGIN EXCLUSIVE`). Nothing is ever written, so the files stay empty, and a full disk does
 * no harm.
 *
 * POSIX releases a process's locks on a file as soon as the process closes any descriptor of that file. So only SQLite
 * may open a lock file, because it handles that; code that creates a lock file must not open an existing one.
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
  /** Releases the lock. A second call does nothing. */
  readonly release: Effect.Effect<void>
}

/** SQLite's error code for a lock that is held. */
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

/** Takes the lock if it is free. Returns `Option.none` if it is held. */
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

/**
 * Runs an effect while holding the lock exclusively; waits for the lock up to `wait`. The effect's scope is that of its
 * caller.
 */
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
