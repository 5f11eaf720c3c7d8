/** When a message that was not taken is sent again. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/** After each attempt that failed, as Standard Webhooks suggests: ten attempts within a little more than three days. */
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

/** A webhook of which every attempt has failed for so long is disabled. */
export const disableAfter = Duration.days(5)

/** The longest that an endpoint may ask us to wait. */
const longest = Duration.hours(24)

/**
 * How long to wait after this many attempts that failed, undefined after the last: within a fifth of the time above, so that
 * what failed together is not sent again together, and no sooner than the endpoint asks for.
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
