/** The authentication of a REST source: its credentials, the headers of its requests, and its sign-in. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { OpenOptions } from "./Definition.ts"
import { field } from "./Field.ts"
import type { IntegrationError } from "./IntegrationError.ts"
import * as AccessToken from "./AccessToken.ts"
import * as OAuthGrant from "./OAuthGrant.ts"
import type { SignIn } from "./SignIn.ts"

/**
 * How requests are authenticated. The credentials are `{token}`, `{username, password}`, `{key}`, nothing, or those of
 * a grant of OAuth 2: `{accessToken}`, or `{clientId, clientSecret, refreshToken}`, which a sign-in gives too.
 */
export type RestAuth<Config> =
  | { readonly type: "none" }
  | { readonly type: "bearer" }
  | { readonly type: "basic" }
  | { readonly type: "header"; readonly name: string }
  | ({ readonly type: "oauth2" } & Omit<SignIn<Config, never>, "credentials" | "client" | "keep">)

type Headings = Readonly<Record<string, string>>

/**
 * Makes a request with the headers of the credentials. If the source refuses an access token, refreshes it and makes
 * the request once more.
 */
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

const accessToken = field(OAuthGrant.Secret, { title: "Access token", description: "Sent as a bearer token." })

const Refreshable = Schema.Struct(OAuthGrant.fields).annotate({ title: "An app and its refresh token" })
/** The credentials of a sign-in at a source whose access tokens do not expire. */
const Lasting = Schema.Struct({ ...OAuthGrant.clientFields, accessToken, expiresAt: OAuthGrant.expiresAt }).annotate({
  title: "An app and its access token"
})
const Token = Schema.Struct({ accessToken }).annotate({ title: "An access token" })

const Credentials = Schema.Union([Refreshable, Lasting, Token])
type Credentials = typeof Credentials.Type

type OAuth2<Config> = Extract<RestAuth<Config>, { readonly type: "oauth2" }>

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
      const access = OAuthGrant.accessToken<Credentials>({
        ...options,
        endpointOf: (credentials) =>
          "refreshToken" in credentials
            ? {
                grant: credentials,
                tokenUrl: new URL(auth.provider(options.config).tokenUrl),
                standardize: auth.standardize
              }
            : undefined
      })
      const headersOf = (token: Redacted.Redacted) => ({ authorization: `Bearer ${Redacted.value(token)}` })
      return (request) => AccessToken.withToken(access, (token) => request(headersOf(token)))
    }
  }
}
