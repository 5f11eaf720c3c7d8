/**
 * Keeps derivation out of the way of a sync: while a run of this process commits, or the process is busy with other
 * work, derivation works a hundredth of the time. It catches up afterwards.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { LocalCommits } from "../engine/feed/LocalCommits.ts"

/** How long the process is watched before it counts as idle. */
const look = Duration.millis(20)

/** The share of a busy process's time in which a piece of derivation works. */
const share = 0.01

/** The longest wait between two pieces. */
const longestPause = Duration.seconds(30)

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

/** Runs a piece of derivation. Waits after it, in proportion to its time, for as long as `others` is true. */
export const paced =
  (others: Effect.Effect<boolean>) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.gen(function* () {
      const [took, done] = yield* Effect.timed(work)
      const wait = Effect.gen(function* () {
        while (yield* others);
      })
      yield* Effect.timeoutOption(wait, Duration.min(Duration.times(took, 1 / share), longestPause))
      return done
    })
