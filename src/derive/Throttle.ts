/**
 * Keeps derivation from slowing down a sync. While a run of this process commits, or the process is busy with other
 * work, derivation waits for a quiet moment, and uses at most a hundredth of the time.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { LocalCommits } from "../engine/feed/LocalCommits.ts"

/** How long the process is observed before it counts as idle. */
const observation = Duration.millis(20)

/** The share of the time that derivation may use in a busy process. */
const busyShare = 0.01

/** The bounds of the wait for a quiet moment. */
const shortestPause = Duration.seconds(30)
const longestPause = Duration.minutes(10)

/** A run counts as committing for this long after a commit. */
const commitPause = Duration.seconds(1)

/** A process counts as busy from this event-loop utilization. */
const busyUtilization = 0.5

/** Observes the process for a moment. Returns true if it was busy, or if a run commits. */
export const isBusy = Effect.gen(function* () {
  const commits = yield* LocalCommits
  const before = performance.eventLoopUtilization()
  yield* Effect.sleep(observation)
  if (performance.eventLoopUtilization(before).utilization >= busyUtilization) return true
  return (yield* commits.quietMillis) < Duration.toMillis(commitPause)
})

/**
 * Runs pieces of work, each after a quiet moment, in which `isOtherwiseBusy` returns false. Without such a moment, runs
 * the work after a pause in proportion to the duration of the previous piece.
 */
export const make = (isOtherwiseBusy: Effect.Effect<boolean>) => {
  const quiet = Effect.repeat(isOtherwiseBusy, { until: (isBusy) => !isBusy })
  let pause = shortestPause
  return <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.gen(function* () {
      yield* Effect.timeoutOption(quiet, pause)
      const [took, done] = yield* Effect.timed(work)
      pause = Duration.clamp(Duration.times(took, 1 / busyShare), { minimum: shortestPause, maximum: longestPause })
      return done
    })
}
