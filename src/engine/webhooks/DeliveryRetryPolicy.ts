/** Decides when a message that was not accepted is sent again. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/** The delay after each failed attempt, as Standard Webhooks suggests: ten attempts in a little over three days. */
const waits = [
  Duration.seconds(5),
  Duration.minutes(5),
  Duration.minutes(30),
  Duration.hours(2),
  Duration.hours(5),
  Duration.hours(10),
  Duration.hours(14),
  Duration.hours(20),
  Duration.hours(24)
] as const

/** A webhook is disabled after every attempt has failed for this long. */
export const disableAfter = Duration.days(5)

/** The longest `Retry-After` of an endpoint that is respected. */
const longest = Duration.hours(24)

/**
 * Returns the delay after this number of failed attempts; undefined after the last. A jitter of 20 % keeps messages
 * that failed together from being sent again together. The delay is never shorter than the endpoint's `Retry-After`.
 */
export const after = Effect.fnUntraced(function* (
  attempts: number,
  retryAfter: Duration.Duration | undefined
): Effect.fn.Return<Duration.Duration | undefined> {
  const wait = waits[attempts - 1]
  if (wait === undefined) return undefined
  const jittered = Duration.times(wait, yield* Random.nextBetween(0.8, 1.2))
  return retryAfter === undefined ? jittered : Duration.max(jittered, Duration.min(retryAfter, longest))
})
