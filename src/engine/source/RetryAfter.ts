/** Bounds how long a source may ask to be left alone: a wrong header would park a connection for a century. */
import * as Duration from "effect/Duration"
import { IntegrationError, RateLimited } from "../../contract/IntegrationError.ts"

/** The same error, with a delay of at least nothing and at most `longest`. Says so where it was changed. */
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
