/**
 * Signs in at Slack, version 2 (https://docs.slack.dev/authentication/installing-with-oauth), as the person, because a
 * user's token can read whatever that person can read. Slack's responses have their own form: `ok`, and the person's
 * token in `authed_user`.
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Guide } from "../../contract/Integration.ts"
import type { SignIn } from "../../contract/SignIn.ts"
import type { Credentials } from "./Auth.ts"

/** The scopes of the called methods. None of them writes. */
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
  "search:read",
  "users:read"
]

/** How to create the app (https://docs.slack.dev/authentication/installing-with-oauth). */
export const guide: Guide = {
  url: "https://api.slack.com/apps",
  steps: [
    { text: "Create an app from scratch, in your workspace." },
    {
      on: "dashboard",
      text: "Under OAuth & Permissions, add the redirect URL {redirectUri} Slack takes https addresses only."
    },
    {
      on: "command line",
      text: "To sign in with the browser, add the redirect URL http://localhost:3118/callback under OAuth & Permissions, switch on PKCE, and set IDEM_SIGN_IN_PORT=3118. Giving a token needs none of that."
    },
    { text: `Under OAuth & Permissions, add these user token scopes: ${scopes.join(", ")}.` },
    {
      text: "To sign in, copy the client ID and the client secret under Basic Information. For a token, install the app in the workspace, and copy the user token (xoxp-…)."
    }
  ]
}

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
  // Only an app that was switched to PKCE accepts it, and such an app has no secret. Its redirect URI may be
  // http://localhost; other apps need https. Other apps answer `pkce_not_allowed` or `internal_error` (nango#4640,
  // centaur#1100).
  publicClients: true,
  pkce: "public",
  loopbackHost: "localhost",
  standardize: (answer) => {
    const refusal = decodeRefusal(answer)
    if (Option.isSome(refusal)) return { error: refusal.value.error }
    return Option.match(decodeAnswer(answer), {
      onNone: () => answer,
      onSome: ({ authed_user: token }) => ({ ...token, token_type: "Bearer" })
    })
  },
  credentials: ({ accessToken, client, expiresAt, refreshToken }) =>
    Result.succeed(
      refreshToken === undefined
        ? { token: accessToken }
        : {
            token: accessToken,
            refreshToken,
            clientId: client.clientId,
            ...(client.clientSecret === undefined ? {} : { clientSecret: client.clientSecret }),
            ...(expiresAt === undefined ? {} : { expiresAt })
          }
    ),
  // The app-level token belongs to its app, so a sign-in with another app does not keep it. Not every token shows its
  // app.
  keep: (signedIn, before) => {
    const isOtherApp = "clientId" in signedIn && "clientId" in before && signedIn.clientId !== before.clientId
    return before.appToken === undefined || isOtherApp ? signedIn : { ...signedIn, appToken: before.appToken }
  },
  client: (credentials) =>
    "clientId" in credentials ? { clientId: credentials.clientId, clientSecret: credentials.clientSecret } : undefined
} satisfies SignIn<{ readonly slackApiUrl?: string }, Credentials>
