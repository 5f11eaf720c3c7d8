/**
 * Computes how long calls wait after a source has refused one: as long as the source asks, up to a bound, or else a
 * back-off.
 */
import * as Duration from "effect/Duration"
import { IntegrationError, RateLimited } from "../../contract/IntegrationError.ts"

/**
 * Returns the error with its delay limited to between 0 and `longest`: a wrong header could stop a connection for a
 * century. The message mentions a shortened delay.
 */
export const bound = (error: IntegrationError, longest: Duration.Duration): IntegrationError => {
  const { reason } = error
  if (reason._tag !== "RateLimited" || reason.retryAfter === undefined) return error
  const retryAfter = Duration.max(Duration.zero, Duration.min(reason.retryAfter, longest))
  if (Duration.equals(retryAfter, reason.retryAfter)) return error
  const message = Duration.equals(retryAfter, longest)
    ? `${reason.message} (it asks for a longer wait than ${Duration.format(longest)}: Idem asks again after that)`
    : reason.message
  return new IntegrationError({ reason: new RateLimited({ message, retryAfter }) })
}

/** The longest back-off after refusals without a delay. Calls may wait this long after the source's limit has ended. */
const longestBackOff = Duration.hours(1)

/**
 * Counts refusals in a row without a delay, by budget and method, across calls and runs. So a limit that lasts for
 * hours costs some dozen refused calls, each with its units, and not one a second.
 */
export const makeBackOff = () => {
  const refused = new Map<string, { readonly count: number; readonly at: number }>()
  return {
    /**
     * Returns the wait after a refusal of a call that began at this time: from one second, doubled with each refusal.
     */
    refused: (key: string, begunAt: number, now: number): Duration.Duration => {
      const { at, count } = refused.get(key) ?? { at: Number.NEGATIVE_INFINITY, count: 0 }
      // Calls that were in flight together count as one refusal.
      const next = begunAt >= at ? count + 1 : count
      refused.set(key, { count: next, at: now })
      return Duration.min(Duration.seconds(2 ** Math.min(next - 1, 20)), longestBackOff)
    },
    passed: (key: string): boolean => refused.delete(key)
  }
}
