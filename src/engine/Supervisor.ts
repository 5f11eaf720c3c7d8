/** Restarts work that ended or failed. A defect is logged, and the work begins again. */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** Runs the work again and again, `pause` after each end. `what` names the work in the log line of a defect. */
export const forever = <E, R>(
  work: Effect.Effect<unknown, E, R>,
  options: { readonly what: string; readonly pause: Duration.Input }
): Effect.Effect<never, E, R> =>
  work.pipe(
    Effect.catchCauseIf(
      (cause) => !Cause.hasInterruptsOnly(cause),
      (cause) => Effect.logError(`${options.what} failed with a defect, and goes on`, cause)
    ),
    Effect.andThen(Effect.sleep(options.pause)),
    Effect.forever
  )
