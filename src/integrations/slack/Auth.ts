/**
 * Credentials, and the token that each request carries.
 *
 * An app with token rotation has access tokens of 12 hours and a refresh token, which each refresh replaces
 * (https://docs.slack.dev/authentication/using-token-rotation).
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as AccessToken from "../../contract/AccessToken.ts"
import type { RefreshCredentials } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"

const Secret = Schema.Redacted(Schema.NonEmptyString)

// `appToken` is the app-level token (`xapp-…`) for Socket Mode: see SocketMode.ts.

/** A token of an app without token rotation: it does not expire. */
const Lasting = Schema.Struct({ token: Secret, appToken: Schema.optionalKey(Secret) })

/** A token of an app with token rotation. An app with PKCE has no secret. */
const Rotating = Schema.Struct({
  token: Schema.optionalKey(Secret),
  /** When `token` expires; without it the token is used until Slack refuses it. */
  expiresAt: Schema.optionalKey(Schema.DateTimeUtcFromString),
  refreshToken: Secret,
  clientId: Schema.NonEmptyString,
  clientSecret: Schema.optionalKey(Secret),
  appToken: Schema.optionalKey(Secret)
})
export type Rotating = typeof Rotating.Type

export const Credentials = Schema.Union([Rotating, Lasting])
export type Credentials = typeof Credentials.Type

/** A token is not used in its last minutes: a request that waits for quota is sent later than it is made. */
const margin = Duration.minutes(5)

export const make = (options: {
  readonly credentials: Credentials
  readonly refreshCredentials: RefreshCredentials<Credentials>
  /** Asks Slack for the tokens that replace these. */
  readonly refresh: (grant: Rotating) => Effect.Effect<Rotating, IntegrationError>
}): AccessToken.AccessToken =>
  AccessToken.make<Credentials>({
    ...options,
    margin,
    held: (credentials) => ({
      token: credentials.token,
      expiresAt: "expiresAt" in credentials ? credentials.expiresAt : undefined
    }),
    refresh: (credentials) => ("refreshToken" in credentials ? options.refresh(credentials) : undefined)
  })
