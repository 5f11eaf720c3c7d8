/**
 * Manages the credentials, and the token that each request carries.
 *
 * An app with token rotation has access tokens of 12 hours and a refresh token, which each refresh replaces
 * (https://docs.slack.dev/authentication/using-token-rotation).
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as AccessToken from "../../contract/AccessToken.ts"
import { field } from "../../contract/Field.ts"
import type { Call, RefreshCredentials } from "../../contract/Integration.ts"
import { Transient, Unauthorized } from "../../contract/IntegrationError.ts"
import { sender } from "./Client.ts"
import { fail } from "./Errors.ts"

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
  /** Without it, the token is used until Slack refuses it. */
  expiresAt: field(Schema.optionalKey(Schema.DateTimeUtcFromString), {
    title: "End of the last token",
    description: "Idem keeps it here.",
    isInternal: true
  })
}).annotate({ title: "A refresh token, of an app with token rotation" })
type Rotating = typeof Rotating.Type

export const Credentials = Schema.Union([Rotating, Lasting])
export type Credentials = typeof Credentials.Type

const Tokens = Schema.Struct({
  access_token: Schema.NonEmptyString,
  refresh_token: Schema.optionalKey(Schema.NonEmptyString),
  expires_in: Schema.optionalKey(Schema.Finite)
})
/** The refreshed token of a person is in the same place as a bot's; that of a sign-in is in `authed_user`. */
const decodeTokens = Schema.decodeUnknownEffect(Schema.Union([Tokens, Schema.Struct({ authed_user: Tokens })]))

/** Exchanges a refresh token. Slack revokes it with the first use of the tokens that it returns. */
const refresh = Effect.fnUntraced(function* (options: {
  readonly grant: Rotating
  readonly slackApiUrl: string | undefined
  readonly call: Call
  readonly fetch: typeof globalThis.fetch
}) {
  const { clientId, clientSecret, refreshToken } = options.grant
  const args = {
    grant_type: "refresh_token",
    client_id: clientId,
    client_secret: clientSecret === undefined ? undefined : Redacted.value(clientSecret),
    refresh_token: Redacted.value(refreshToken)
  }
  const method = "oauth.v2.access"
  const answer = yield* options.call(method, 0, sender(options)(method, args, undefined)).pipe(
    Effect.flatMap((json) =>
      // The decoder's error would contain the tokens.
      Effect.mapError(decodeTokens(json), () => fail(new Transient({ message: `${method}: the answer can't be read` })))
    ),
    Effect.interruptible,
    // A refused grant stays refused, whatever Slack's error code: a person has to sign in again.
    Effect.mapError((error) =>
      error.reason._tag === "RateLimited" || error.reason._tag === "Transient"
        ? error
        : fail(new Unauthorized({ message: `${error.reason.message}: sign in again` }))
    )
  )
  const tokens = "authed_user" in answer ? answer.authed_user : answer
  const now = yield* DateTime.now
  const { expiresAt: _, ...kept } = options.grant
  return {
    ...kept,
    token: Redacted.make(tokens.access_token),
    refreshToken: tokens.refresh_token === undefined ? refreshToken : Redacted.make(tokens.refresh_token),
    ...(tokens.expires_in === undefined
      ? {}
      : { expiresAt: DateTime.addDuration(now, Duration.seconds(tokens.expires_in)) })
  } satisfies Rotating
})

/** A token is not used in its last minutes, because a request that waits for quota is sent later than it is made. */
const margin = Duration.minutes(5)

export const make = (options: {
  readonly credentials: Credentials
  readonly refreshCredentials: RefreshCredentials<Credentials>
  readonly slackApiUrl: string | undefined
  readonly call: Call
  readonly fetch: typeof globalThis.fetch
}): AccessToken.AccessToken =>
  AccessToken.make<Credentials>({
    ...options,
    margin,
    tokenOf: (credentials) => ({
      token: credentials.token,
      expiresAt: "expiresAt" in credentials ? credentials.expiresAt : undefined
    }),
    refresh: (credentials) => ("refreshToken" in credentials ? refresh({ ...options, grant: credentials }) : undefined)
  })
