/**
 * Announces to readers of the feed that this process has committed changes, and when, so that they can query the
 * database less often. An announcement is only a hint: commits of other processes are not announced.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

export interface LocalCommits {
  readonly announce: Effect.Effect<void>
  /** Completes at the next announcement. */
  readonly next: Effect.Effect<void>
  /** Milliseconds since the last announcement; infinite before the first one. */
  readonly quietMillis: Effect.Effect<number>
}

const make = (): LocalCommits => {
  let next = Deferred.makeUnsafe<void>()
  let at = Number.NEGATIVE_INFINITY
  return {
    announce: Effect.sync(() => {
      const woken = next
      at = performance.now()
      next = Deferred.makeUnsafe()
      Deferred.doneUnsafe(woken, Effect.void)
    }),
    next: Effect.suspend(() => Deferred.await(next)),
    quietMillis: Effect.sync(() => performance.now() - at)
  }
}

/** The announcements of this process. */
export const LocalCommits = Context.Reference<LocalCommits>("idem/engine/feed/LocalCommits", { defaultValue: make })
