/** Checks a content as its integration returns it. A fault in the integration's code fails only that item. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "../../contract/Content.ts"
import { IntegrationError, Malformed } from "../../contract/IntegrationError.ts"
import * as MessageText from "../MessageText.ts"

const malformed = (message: string) => new IntegrationError({ reason: new Malformed({ message }) })

/** Returns true for an exception of the integration. An interruption is passed on. */
const isThrown = (cause: Cause.Cause<unknown>): boolean => Cause.hasDies(cause) && !Cause.hasInterrupts(cause)

/** Logs the exception with its stack, and fails with an error that names its class and its line. */
const thrown = ({ externalId }: Ref, cause: Cause.Cause<unknown>) =>
  Effect.logError(`the download of ${JSON.stringify(externalId)} ended with a defect`, cause).pipe(
    Effect.andThen(
      Effect.fail(
        malformed(`the integration threw ${MessageText.defect(Cause.squash(cause))}; the log has its text and stack`)
      )
    )
  )

const caught = <A, R>(ref: Ref, effect: Effect.Effect<A, IntegrationError, R>) =>
  Effect.catchCauseIf(effect, isThrown, (cause) => thrown(ref, cause))

const notBytes = malformed("`body` must be a Uint8Array, or a stream of them")

const bodyOf = (ref: Ref, body: Stream.Stream<Uint8Array, IntegrationError>) =>
  Stream.catchCauseIf(body, isThrown, (cause) => Stream.fromEffect(thrown(ref, cause))).pipe(
    Stream.tap((chunk) => (chunk instanceof Uint8Array ? Effect.void : Effect.fail(notBytes)))
  )

/** Returns the content with its body and late fields checked while they are read. */
export const checked = <R>(
  ref: Ref,
  content: Effect.Effect<Content, IntegrationError, R>
): Effect.Effect<Content, IntegrationError, R> =>
  Effect.flatMap(caught(ref, content), (given) => {
    const { afterBody, body, kind } = given
    if (typeof kind !== "string" || kind === "")
      return Effect.fail(malformed("`kind` must be a text, such as `message`"))
    const isStream = Stream.isStream(body)
    if (!isStream && !(body instanceof Uint8Array)) return Effect.fail(notBytes)
    if (!isStream && afterBody === undefined) return Effect.succeed(given)
    return Effect.succeed({
      ...given,
      body: isStream ? bodyOf(ref, body) : body,
      afterBody: afterBody === undefined ? undefined : caught(ref, afterBody)
    })
  })
