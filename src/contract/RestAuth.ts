/** How the requests of a REST source say who asks: its credentials, their headers, and its sign-in. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AccessToken from "./AccessToken.ts"
import type { OpenOptions } from "./Definition.ts"
import { field } from "./Field.ts"
import { ask, fail, type HttpServer, jsonOf } from "./HttpRequest.ts"
import { type IntegrationError, Transient, Unauthorized } from "./IntegrationError.ts"
import type { SignIn } from "./SignIn.ts"

/**
 * How requests say who asks. The credentials are `{token}`, `{username, password}`, `{key}`, nothing, or those of a
 * grant of OAuth 2: `{accessToken}`, or `{clientId, clientSecret, refreshToken}`, which a sign-in gives too.
 */
export type RestAuth<Config> =
  | { readonly type: "none" }
  | { readonly type: "bearer" }
  | { readonly type: "basic" }
  | { readonly type: "header"; readonly name: string }
  | ({ readonly type: "oauth2" } & Omit<SignIn<Config, never>, "credentials" | "client" | "keep">)

type Headings = Readonly<Record<string, string>>

/** Makes a request with the headers of the credentials, once more if a refreshed token has to be given. */
export type Authorize = <A>(
  request: (headers: Headings) => Effect.Effect<A, IntegrationError>
) => Effect.Effect<A, IntegrationError>

export interface Auth<Config, Credentials> {
  readonly credentials: Schema.Codec<Credentials, unknown>
  readonly authorize: (options: OpenOptions<Config, Credentials>) => Authorize
  readonly signIn?: SignIn<Config, Credentials> | undefined
}

const secret = (title: string, description: string) => field(Schema.Redacted(Schema.String), { title, description })

/** Credentials whose headers never change. */
const fixed = <Config, Credentials>(
  credentials: Schema.Codec<Credentials, unknown>,
  headers: (credentials: Credentials) => Headings
): Auth<Config, Credentials> => ({
  credentials,
  authorize: (options) => (request) => request(headers(options.credentials))
})

export const none = () => fixed(Schema.Struct({}), () => ({}))

export const bearer = () =>
  fixed(Schema.Struct({ token: secret("Token", "Sent as a bearer token.") }), ({ token }) => ({
    authorization: `Bearer ${Redacted.value(token)}`
  }))

export const header = (name: string) =>
  fixed(Schema.Struct({ key: secret("Key", `Sent in the header ${name}.`) }), ({ key }) => ({
    [name]: Redacted.value(key)
  }))

export const basic = () =>
  fixed(
    Schema.Struct({
      username: field(Schema.String, { title: "User name", description: "The account at the source." }),
      password: secret("Password", "Sent with the user name (HTTP Basic).")
    }),
    ({ password, username }) => ({
      authorization: `Basic ${Buffer.from(`${username}:${Redacted.value(password)}`).toString("base64")}`
    })
  )

const Secret = Schema.Redacted(Schema.String.pipe(Schema.check(Schema.isNonEmpty())))

const client = {
  clientId: field(Schema.NonEmptyString, { title: "Client ID", description: "Of your app at the source." }),
  clientSecret: field(Schema.optionalKey(Secret), {
    title: "Client secret",
    description: "Of the same app. A public client has none."
  })
}
const expiresAt = field(Schema.optionalKey(Schema.DateTimeUtcFromString), {
  title: "End of the access token",
  description: "Idem keeps it here.",
  isInternal: true
})
const accessToken = field(Secret, { title: "Access token", description: "Sent as a bearer token." })

const Refreshable = Schema.Struct({
  ...client,
  refreshToken: field(Secret, { title: "Refresh token", description: "From a sign-in with this app." }),
  accessToken: field(Schema.optionalKey(Secret), {
    title: "Last access token",
    description: "Idem keeps it here.",
    isInternal: true
  }),
  expiresAt
}).annotate({ title: "An app and its refresh token" })
/** What a sign-in gives at a source whose access tokens last. */
const Lasting = Schema.Struct({ ...client, accessToken, expiresAt }).annotate({ title: "An app and its access token" })
const Token = Schema.Struct({ accessToken }).annotate({ title: "An access token" })

const Credentials = Schema.Union([Refreshable, Lasting, Token])
type Credentials = typeof Credentials.Type

const Tokens = Schema.Struct({
  access_token: Schema.NonEmptyString,
  refresh_token: Schema.optionalKey(Schema.NullOr(Schema.String)),
  expires_in: Schema.optionalKey(Schema.NullOr(Schema.Finite))
})
const decodeTokens = Schema.decodeUnknownEffect(Tokens)

/** A token is not used in its last minute: a request takes up to that long to arrive and be checked. */
const margin = Duration.minutes(1)

type OAuth2<Config> = Extract<RestAuth<Config>, { readonly type: "oauth2" }>

/** Exchanges the refresh token (RFC 6749, section 6). */
const refresh = Effect.fnUntraced(function* <Config>(
  auth: OAuth2<Config>,
  { call, config, network }: OpenOptions<Config, Credentials>,
  grant: typeof Refreshable.Type
) {
  const url = new URL(auth.provider(config).tokenUrl)
  const server: HttpServer = {
    network,
    baseUrl: url,
    headers: { accept: "application/json" },
    // No repetition mends a refused grant, whatever the source calls it. Its text may repeat a token.
    refusal: ({ status }) =>
      status === 429 || status === 408 || status >= 500
        ? undefined
        : new Unauthorized({ message: `${url.host} refuses the refresh token (${status}): sign in again` })
  }
  const post = new URLSearchParams({
    grant_type: "refresh_token",
    refresh_token: Redacted.value(grant.refreshToken),
    client_id: grant.clientId,
    ...(grant.clientSecret === undefined ? {} : { client_secret: Redacted.value(grant.clientSecret) })
  })
  const unreadable = new Transient({ message: `${url.host} answers a refresh with something that is no token` })
  const answer = yield* Effect.interruptible(call("oauth2.token", 0, ask(server, url, { post })))
  const json = answer === undefined ? undefined : yield* jsonOf(server, answer)
  // The decoder's error would quote the tokens.
  const decode = Effect.suspend(() => decodeTokens((auth.standardize ?? ((same) => same))(json as Schema.Json)))
  const tokens = yield* Effect.catch(decode, () => fail(unreadable))
  const now = yield* DateTime.now
  const { expiresAt: _, ...kept } = grant
  return {
    ...kept,
    accessToken: Redacted.make(tokens.access_token),
    refreshToken: tokens.refresh_token ? Redacted.make(tokens.refresh_token) : grant.refreshToken,
    ...(typeof tokens.expires_in === "number"
      ? { expiresAt: DateTime.addDuration(now, Duration.seconds(tokens.expires_in)) }
      : {})
  } satisfies Credentials
})

export const oauth2 = <Config>(auth: OAuth2<Config>): Auth<Config, Credentials> => {
  const { type: _, ...about } = auth
  return {
    credentials: Credentials,
    signIn: {
      ...about,
      credentials: ({ accessToken, client, expiresAt, refreshToken }) => {
        const expiry = expiresAt === undefined ? {} : { expiresAt }
        const { clientId, clientSecret } = client
        const app = { clientId, ...(clientSecret === undefined ? {} : { clientSecret }) }
        return Result.succeed({
          ...app,
          accessToken,
          ...(refreshToken === undefined ? {} : { refreshToken }),
          ...expiry
        })
      },
      client: (credentials) =>
        "clientId" in credentials
          ? { clientId: credentials.clientId, clientSecret: credentials.clientSecret }
          : undefined
    },
    authorize: (options) => {
      const access = AccessToken.make<Credentials>({
        credentials: options.credentials,
        refreshCredentials: options.refreshCredentials,
        margin,
        held: (credentials) => ({
          token: credentials.accessToken,
          expiresAt: "expiresAt" in credentials ? credentials.expiresAt : undefined
        }),
        refresh: (credentials) => ("refreshToken" in credentials ? refresh(auth, options, credentials) : undefined)
      })
      const headersOf = (token: Redacted.Redacted) => ({ authorization: `Bearer ${Redacted.value(token)}` })
      return (request) =>
        Effect.flatMap(access.token, (token) =>
          Effect.catchIf(
            request(headersOf(token)),
            ({ reason }) => reason._tag === "Unauthorized",
            (error) => Effect.flatMap(access.replace(token, error), (next) => request(headersOf(next)))
          )
        )
    }
  }
}
