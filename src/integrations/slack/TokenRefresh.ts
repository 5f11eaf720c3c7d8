/** Exchanges a refresh token for new tokens. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Call } from "../../contract/Integration.ts"
import { Transient, Unauthorized } from "../../contract/IntegrationError.ts"
import type * as Auth from "./Auth.ts"
import { sender } from "./Client.ts"
import { fail } from "./Errors.ts"

const Tokens = Schema.Struct({
  access_token: Schema.NonEmptyString,
  refresh_token: Schema.optionalKey(Schema.NonEmptyString),
  expires_in: Schema.optionalKey(Schema.Finite)
})
/** A refreshed token of a person stands where a bot's does; the one of a sign-in stands in `authed_user`. */
const decodeTokens = Schema.decodeUnknownEffect(Schema.Union([Tokens, Schema.Struct({ authed_user: Tokens })]))

/** Exchanges a refresh token. Slack revokes it with the first use of the tokens that it returns. */
export const refresh = Effect.fnUntraced(function* (options: {
  readonly grant: Auth.Rotating
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
      // The decoder's error would quote the tokens.
      Effect.mapError(decodeTokens(json), () => fail(new Transient({ message: `${method}: the answer can't be read` })))
    ),
    Effect.interruptible,
    // No repetition mends a refused grant, whatever Slack calls it.
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
  } satisfies Auth.Rotating
})
