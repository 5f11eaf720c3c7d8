/**
 * Credentials, and the token that each request carries.
 *
 * An app with token rotation has access tokens of 12 hours and a refresh token, which each refresh replaces
 * (https://docs.slack.dev/authentication/using-token-rotation). Refreshes are serialized over all processes, and a new
 * token is used only once it is stored.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { RefreshCredentials } from "../../contract/Integration.ts"
import { IntegrationError, Unauthorized } from "../../contract/IntegrationError.ts"

const Secret = Schema.Redacted(Schema.NonEmptyString)

/** A token of an app without token rotation: it does not expire. */
const Lasting = Schema.Struct({ token: Secret })

/** A token of an app with token rotation. An app with PKCE has no secret. */
const Rotating = Schema.Struct({
  token: Schema.optionalKey(Secret),
  /** When `token` expires; without it the token is used until Slack refuses it. */
  expiresAt: Schema.optionalKey(Schema.DateTimeUtcFromString),
  refreshToken: Secret,
  clientId: Schema.NonEmptyString,
  clientSecret: Schema.optionalKey(Secret)
})
export type Rotating = typeof Rotating.Type

export const Credentials = Schema.Union([Rotating, Lasting])
export type Credentials = typeof Credentials.Type

/** A token is not used in its last minutes: a request that waits for quota is sent later than it is made. */
const margin = Duration.minutes(5)

/** Gives the token to use. */
export interface Auth {
  readonly token: Effect.Effect<Redacted.Redacted, IntegrationError>
  /** Another token than the one that was refused, refreshed unless that was done meanwhile; or fails with `error`. */
  readonly replace: (
    refused: Redacted.Redacted,
    error: IntegrationError
  ) => Effect.Effect<Redacted.Redacted, IntegrationError>
}

export const make = Effect.fnUntraced(function* (options: {
  readonly credentials: Credentials
  readonly refreshCredentials: RefreshCredentials<Credentials>
  /** Asks Slack for the tokens that replace these. */
  readonly refresh: (grant: Rotating) => Effect.Effect<Rotating, IntegrationError>
}) {
  let current = options.credentials
  const lock = yield* Semaphore.make(1)

  const usable = (credentials: Credentials) =>
    Effect.map(DateTime.now, (now) => {
      const expiresAt = "expiresAt" in credentials ? credentials.expiresAt : undefined
      const isFresh = expiresAt === undefined || DateTime.isLessThan(DateTime.addDuration(now, margin), expiresAt)
      return isFresh ? credentials.token : undefined
    })

  /** A token other than `refused`: the current one, the one that is stored by now, or a fresh one. */
  const renewed = (refused: Redacted.Redacted | undefined) =>
    Effect.gen(function* () {
      const isOther = (token: Redacted.Redacted | undefined) =>
        token !== undefined && (refused === undefined || Redacted.value(token) !== Redacted.value(refused))
      const token = yield* usable(current)
      if (token !== undefined && isOther(token)) return token
      current = yield* options.refreshCredentials(
        Effect.fnUntraced(function* (stored) {
          const known = yield* usable(stored)
          return !("refreshToken" in stored) || isOther(known) ? stored : yield* options.refresh(stored)
        })
      )
      if (current.token !== undefined) return current.token
      const message = "Slack gave no token: sign in again"
      return yield* new IntegrationError({ reason: new Unauthorized({ message }) })
    }).pipe(lock.withPermit)

  const auth: Auth = {
    token: Effect.flatMap(
      Effect.suspend(() => usable(current)),
      (token) => (token === undefined ? renewed(undefined) : Effect.succeed(token))
    ),
    replace: (refused, error) =>
      Effect.suspend(() => ("refreshToken" in current ? renewed(refused) : Effect.fail(error)))
  }
  return auth
})
