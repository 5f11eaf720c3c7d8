/**
 * Signing in at Slack, version 2 (https://docs.slack.dev/authentication/installing-with-oauth), as the person: a user's
 * token reads what that person can read. Its answers are Slack's own: `ok`, and the person's token in `authed_user`.
 */
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SignIn } from "../../contract/SignIn.ts"

/** What each method that is called needs, and nothing that writes. */
const scopes = [
  "channels:history",
  "channels:read",
  "files:read",
  "groups:history",
  "groups:read",
  "im:history",
  "im:read",
  "mpim:history",
  "mpim:read",
  "users:read"
]

const Token = Schema.Struct({
  access_token: Schema.String,
  scope: Schema.optionalKey(Schema.String),
  refresh_token: Schema.optionalKey(Schema.String),
  expires_in: Schema.optionalKey(Schema.Finite)
})
const decodeAnswer = Schema.decodeUnknownOption(Schema.Struct({ ok: Schema.Literal(true), authed_user: Token }))
const decodeRefusal = Schema.decodeUnknownOption(Schema.Struct({ ok: Schema.Literal(false), error: Schema.String }))

export const signIn = {
  provider: ({ slackApiUrl }) => {
    const api = slackApiUrl ?? "https://slack.com/api/"
    return {
      issuer: new URL(api).origin,
      authorizationUrl: new URL("/oauth/v2/authorize", api).href,
      tokenUrl: new URL("oauth.v2.access", api.endsWith("/") ? api : `${api}/`).href,
      parameters: { user_scope: scopes.join(",") }
    }
  },
  // An app with PKCE is a public client; such a one may be redirected to http://localhost, others need https.
  publicClients: true,
  loopbackHost: "localhost",
  standardize: (answer) => {
    const refusal = decodeRefusal(answer)
    if (Option.isSome(refusal)) return { error: refusal.value.error }
    return Option.match(decodeAnswer(answer), {
      onNone: () => answer,
      onSome: ({ authed_user: token }) => ({ ...token, token_type: "Bearer" })
    })
  },
  credentials: ({ accessToken, refreshToken }) =>
    refreshToken === undefined
      ? Result.succeed({ token: accessToken })
      : Result.fail(
          "the app has token rotation, and its tokens end after 12 hours: make an app without it, or give a token of your own"
        ),
  client: () => undefined
} satisfies SignIn<{ readonly slackApiUrl?: string }, { readonly token: Redacted.Redacted }>
