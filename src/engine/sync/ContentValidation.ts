/** Checks a content as its integration returns it. A fault in the integration's code fails only that item. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { type Content, externalIdProblem, type Ref } from "../../contract/Content.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as SessionValues from "../../contract/SessionValues.ts"
import * as JsonLength from "../JsonLength.ts"
import * as IntegrationFaults from "../source/IntegrationFaults.ts"

/** The fields that must be a text if they are there. */
const texts = ["title", "mediaType", "revision", "bodyKey"] as const

/** The fields that must be an object of JSON values if they are there. */
const objects = ["metadata", "volatile"] as const

/**
 * Returns the length of the metadata as JSON. Fails with the reason why these fields can't be stored. A value of a
 * wrong type would fail the commit, and with it all items of its batch, at every poll again.
 */
export const metadataLength = (content: Omit<Content, "body" | "kind">): Result.Result<number, string> => {
  const text = texts.find((name) => content[name] !== undefined && typeof content[name] !== "string")
  if (text !== undefined) return Result.fail(`\`${text}\` must be a text, or absent`)
  let length = 0
  for (const name of objects) {
    if (name === "volatile" && content[name] === undefined) continue
    const json = JsonLength.of(name, content[name])
    if (Result.isFailure(json)) return json
    length += json.success
  }
  if (content.occurredAt !== undefined && !DateTime.isDateTime(content.occurredAt)) {
    return Result.fail("`occurredAt` must be a DateTime, or absent")
  }
  // An index has the keys. PostgreSQL refuses entries of more than 2,704 bytes.
  const keyProblem = content.bodyKey === undefined ? undefined : externalIdProblem(content.bodyKey, "`bodyKey`: it")
  return keyProblem === undefined ? Result.succeed(length) : Result.fail(keyProblem)
}

const notBytes = SessionValues.malformed("`body` must be a Uint8Array, or a stream of them")

/** Returns the content with its body and late fields checked while they are read. */
export const checked = <R>(
  ref: Ref,
  content: Effect.Effect<Content, IntegrationError, R>
): Effect.Effect<Content, IntegrationError, R> => {
  const what = `the download of ${JSON.stringify(ref.externalId)}`
  return Effect.flatMap(IntegrationFaults.caught(what, content), (given) => {
    if (!Predicate.isObject(given)) return Effect.fail(SessionValues.malformed("a content must be an object"))
    const { afterBody, body, kind } = given
    if (typeof kind !== "string" || kind === "")
      return Effect.fail(SessionValues.malformed("`kind` must be a text, such as `message`"))
    const isStream = Stream.isStream(body)
    if (!isStream && !(body instanceof Uint8Array)) return Effect.fail(notBytes)
    if (!isStream && afterBody === undefined) return Effect.succeed(given)
    return Effect.succeed({
      ...given,
      body: isStream
        ? Stream.tap(IntegrationFaults.caughtInStream(what, body), (chunk) =>
            chunk instanceof Uint8Array ? Effect.void : Effect.fail(notBytes)
          )
        : body,
      afterBody:
        afterBody === undefined
          ? undefined
          : IntegrationFaults.caught(what, SessionValues.effect("afterBody", afterBody))
    })
  })
}
