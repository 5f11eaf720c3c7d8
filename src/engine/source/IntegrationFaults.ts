/** Turns faults in an integration's code into errors: exceptions, interruptions, and failures of another type. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { AnySession } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as SessionValues from "../../contract/SessionValues.ts"
import * as MessageText from "../MessageText.ts"

/** Returns true for an error that an integration may fail with. A config may no longer fit when it is opened. */
const isAllowed = (error: unknown): boolean =>
  (Predicate.isTagged(error, "IntegrationError") && Predicate.hasProperty(error, "reason")) ||
  Predicate.isTagged(error, "ContentExistenceCheckerError") ||
  Predicate.isTagged(error, "SchemaError")

/**
 * Returns the failure that is no `IntegrationError`, or the interruption of the integration by itself; undefined if the
 * cause has neither. An interruption beside a failure is ignored: a part of the integration was stopped. An
 * interruption of the run does not arrive here: it skips all handlers.
 */
const foreign = (cause: Cause.Cause<unknown>): string | undefined => {
  const failed = cause.reasons.find(Cause.isFailReason)
  if (failed === undefined) return Cause.hasInterrupts(cause) ? "interrupted itself" : undefined
  if (isAllowed(failed.error)) return undefined
  return `failed with ${MessageText.defect(failed.error)}, which is no IntegrationError`
}

const isForeign = (cause: Cause.Cause<unknown>): boolean => foreign(cause) !== undefined
const isFault = (cause: Cause.Cause<unknown>): boolean => Cause.hasDies(cause) || isForeign(cause)

/** Logs the fault with its text, which may hold a secret, and fails with an error that does not repeat the text. */
const failure = (what: string) => (cause: Cause.Cause<unknown>) => {
  const fault = foreign(cause) ?? `threw ${MessageText.defect(Cause.squash(cause))}`
  return Effect.logError(`${what}: the integration ${fault}`, cause).pipe(
    Effect.andThen(Effect.fail(SessionValues.malformed(`the integration ${fault}; the log has its text and stack`)))
  )
}

/** Returns the effect of an integration with its faults as errors. `what` names the effect in the log. */
export const caught = <A, E, R>(
  what: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | IntegrationError, R> => Effect.catchCauseIf(effect, isFault, failure(what))

/** The same for a stream. */
export const caughtInStream = <A, E, R>(
  what: string,
  stream: Stream.Stream<A, E, R>
): Stream.Stream<A, E | IntegrationError, R> =>
  Stream.catchCauseIf(stream, isFault, (cause) => Stream.fromEffect(failure(what)(cause)))

/** Returns the session with its faults as errors. An exception in `list` stays a defect, which ends the run as such. */
export const caughtInSession = (session: AnySession): AnySession => ({
  account: caught("`account`", session.account),
  estimate: caught("`estimate`", session.estimate),
  list: (task, checkpoint, parts) =>
    Stream.catchCauseIf(session.list(task, checkpoint, parts), isForeign, (cause) =>
      Stream.fromEffect(failure("`list`")(cause))
    ),
  download: session.download
})
