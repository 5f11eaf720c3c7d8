/**
 * Keeps derivation out of the way of a sync: while a run of this process commits, or the process is busy with other
 * work, derivation waits for a quiet moment, and does no more than a hundredth of the time.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { LocalCommits } from "../engine/feed/LocalCommits.ts"

/** How long the process is watched before it counts as idle. */
const look = Duration.millis(20)

/** The share of a busy process's time in which derivation works. */
const share = 0.01

/** The bounds of the wait for a quiet moment. */
const shortestPause = Duration.seconds(30)
const longestPause = Duration.minutes(10)

/** A run commits while the last commit is this young. */
const committing = Duration.seconds(1)

/** The part of the time in which a busy process works. */
const busy = 0.5

/** Watches the process for a moment. True if it was busy, or if a run commits. */
export const isBusy = Effect.gen(function* () {
  const commits = yield* LocalCommits
  const before = performance.eventLoopUtilization()
  yield* Effect.sleep(look)
  if (performance.eventLoopUtilization(before).utilization >= busy) return true
  return (yield* commits.quietMillis) < Duration.toMillis(committing)
})

/**
 * Runs pieces of work, each after a quiet moment, in which `others` is false; without one, after a pause in proportion
 * to the time of the piece before.
 */
export const make = (others: Effect.Effect<boolean>) => {
  const quiet = Effect.gen(function* () {
    while (yield* others);
  })
  let pause = shortestPause
  return <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.gen(function* () {
      yield* Effect.timeoutOption(quiet, pause)
      const [took, done] = yield* Effect.timed(work)
      pause = Duration.clamp(Duration.times(took, 1 / share), { minimum: shortestPause, maximum: longestPause })
      return done
    })
}
