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
import { field } from "../../contract/Field.ts"
import type { RefreshCredentials } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"

const Secret = Schema.Redacted(Schema.NonEmptyString)

// `appToken` is the app-level token (`xapp-…`) for Socket Mode: see SocketMode.ts.

const appToken = field(Schema.optionalKey(Secret), {
  title: "App-level token",
  description: "For Socket Mode, with the scope connections:write: changes then arrive within seconds.",
  example: "xapp-…"
})

/** A token of an app without token rotation: it does not expire. */
const Lasting = Schema.Struct({
  token: field(Secret, {
    title: "Token",
    description: "A user token (xoxp-…) reads what you can read, a bot token (xoxb-…) what the bot was invited to.",
    example: "xoxp-…"
  }),
  appToken
}).annotate({ title: "A token" })

/** A token of an app with token rotation. An app with PKCE has no secret. */
const Rotating = Schema.Struct({
  clientId: field(Schema.NonEmptyString, {
    title: "Client ID",
    description: "Of your app, under Basic Information.",
    example: "1234567890.1234567890"
  }),
  clientSecret: field(Schema.optionalKey(Secret), {
    title: "Client secret",
    description: "Of the same app; an app with PKCE has none.",
    example: "…"
  }),
  refreshToken: field(Secret, { title: "Refresh token", description: "Begins with xoxe-.", example: "xoxe-1-…" }),
  appToken,
  token: field(Schema.optionalKey(Secret), {
    title: "Last token",
    description: "Idem keeps it here.",
    isInternal: true
  }),
  /** Without it the token is used until Slack refuses it. */
  expiresAt: field(Schema.optionalKey(Schema.DateTimeUtcFromString), {
    title: "End of the last token",
    description: "Idem keeps it here.",
    isInternal: true
  })
}).annotate({ title: "A refresh token, of an app with token rotation" })
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
