/**
 * A clock that runs faster, and that can be put forward: a wait of seconds takes tenths of seconds, and daily work can
 * be made due now. The database's clock is unchanged.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export interface FastClock extends Clock.Clock {
  /** Puts the clock forward. Running sleeps are not woken. */
  readonly forward: (duration: Duration.Input) => void
}

export const make = (real: Clock.Clock, times: number): FastClock => {
  const startedAt = real.currentTimeMillisUnsafe()
  let skipped = 0
  const millis = () => startedAt + skipped + (real.currentTimeMillisUnsafe() - startedAt) * times
  const nanos = () => BigInt(Math.round(millis())) * 1_000_000n
  return {
    forward: (duration) => {
      skipped += Duration.toMillis(duration)
    },
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) => real.sleep(Duration.divideUnsafe(duration, times))
  }
}
