/** Checks the values that an integration's functions return, which may differ from their types in JavaScript. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { externalIdProblem } from "./Content.ts"
import type { Estimate } from "./Definition.ts"
import { IntegrationError, Malformed } from "./IntegrationError.ts"
import type { Quota } from "./Quota.ts"

/** The error for a value that breaks the contract: a fault in the integration's code. */
export const malformed = (message: string) => new IntegrationError({ reason: new Malformed({ message }) })

/** Returns the given Effect. Fails for a promise, or for anything else that is not an Effect. */
export const effect = <A, E, R>(
  name: string,
  given: Effect.Effect<A, E, R>
): Effect.Effect<A, E | IntegrationError, R> =>
  Effect.isEffect(given) ? given : Effect.fail(malformed(`\`${name}\` must be an Effect`))

/** Returns the given Stream. Fails for anything else. */
export const stream = <A, E, R>(
  name: string,
  given: Stream.Stream<A, E, R>
): Stream.Stream<A, E | IntegrationError, R> =>
  Stream.isStream(given) ? given : Stream.fail(malformed(`\`${name}\` must be a Stream`))

/** Returns the given session. Fails for anything that is no object. */
export const session = <A extends object>(given: A): Effect.Effect<A, IntegrationError> =>
  Predicate.isObject(given) ? Effect.succeed(given) : Effect.fail(malformed("`open` must return a session"))

/** Returns why the checkpoints of this page can't be read; undefined if they can. */
export const pageProblem = (page: { readonly parts?: ReadonlyArray<unknown> | undefined }): string | undefined => {
  if (!Predicate.isObject(page)) return "it must be an object"
  const { parts = [] } = page
  return Array.isArray(parts) && parts.every(Predicate.isObject) ? undefined : "`parts` must be an array of objects"
}

/** Checks an account. The rules are those of an external id. */
export const account = (given: string): Effect.Effect<string, IntegrationError> => {
  const problem = externalIdProblem(given, "`account`: it")
  return problem === undefined ? Effect.succeed(given) : Effect.fail(malformed(problem))
}

const amount = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const isEstimate = Schema.is(
  Schema.Struct({
    items: Schema.optional(amount),
    unitsPerItem: amount,
    bytesPerItem: Schema.optional(amount),
    leftOut: Schema.optional(Schema.Array(Schema.String))
  })
)

export const estimate = (given: Estimate): Effect.Effect<Estimate, IntegrationError> =>
  isEstimate(given)
    ? Effect.succeed(given)
    : Effect.fail(
        malformed("`estimate` must give `unitsPerItem` and, if known, `items` and `bytesPerItem`: numbers from 0")
      )

const isQuota = Schema.is(Schema.Struct({ unitsPerMinute: Schema.Finite.check(Schema.isGreaterThan(0)) }))

/** Returns the quota. Throws if it has no units: every call would wait forever. */
export const quota = (domain: string, given: Quota): Quota => {
  if (isQuota(given)) return given
  throw new TypeError(`${domain}: \`quota\` must give \`unitsPerMinute\`, a number above 0`)
}
