/**
 * How an account is signed in at its provider, instead of a person giving credentials: OAuth 2's authorization code
 * (RFC 6749, section 4.1) with PKCE (RFC 7636). The engine speaks the protocol; an integration says where, what for,
 * and how the answer becomes its credentials.
 *
 * - provider: who signs people in: two addresses and the parameters of the request
 * - client: this installation of Idem, as it is registered at the provider
 * - grant: what the provider gives in the end: tokens
 */
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Result from "effect/Result"
import type * as Schema from "effect/Schema"

export interface Provider {
  /** Where a person is sent. */
  readonly authorizationUrl: string
  /** Where the code is changed for tokens. */
  readonly tokenUrl: string
  /** How the provider names itself: checked where its answer says a name (RFC 9207). */
  readonly issuer: string
  /** Parameters of the request besides those of the protocol: the scopes (for reading only), and others. */
  readonly parameters: Readonly<Record<string, string>>
}

export interface Client {
  readonly clientId: string
  /** A public client has none; only providers that say so (`SignIn.publicClients`) take it. */
  readonly clientSecret: Redacted.Redacted | undefined
}

export interface Grant {
  readonly client: Client
  readonly accessToken: Redacted.Redacted
  readonly refreshToken: Redacted.Redacted | undefined
  readonly expiresAt: DateTime.Utc | undefined
  /** The scopes that were granted, in the provider's own words, where it says them: a person may have left some out. */
  readonly scope: string | undefined
}

export interface SignIn<Config, Credentials> {
  readonly provider: (config: Config) => Provider
  /** True where the provider signs in clients that have no secret. Default false. */
  readonly publicClients?: boolean | undefined
  /** Whether PKCE (RFC 7636) is used by all clients, or only by public ones. Default all. */
  readonly pkce?: "all" | "public" | undefined
  /** The name of this machine in the redirect URI of the command line (RFC 8252, section 7.3). Default `127.0.0.1`. */
  readonly loopbackHost?: "127.0.0.1" | "localhost" | undefined
  /** The token endpoint's answer in the words of RFC 6749, section 5, for a provider that has others. */
  readonly standardize?: ((answer: Schema.Json) => Schema.Json) | undefined
  /** The grant as credentials; or why it is no use and what to do, in words for a person. */
  readonly credentials: (grant: Grant) => Result.Result<Credentials, string>
  /**
   * The credentials of a new sign-in, with what a sign-in does not give: taken from the credentials that the same
   * account had before. Default: nothing is taken.
   */
  readonly keep?: ((signedIn: Credentials, before: Credentials) => Credentials) | undefined
  /** The client in credentials that a sign-in made, to sign in again without giving it. */
  readonly client: (credentials: Credentials) => Client | undefined
}

/** The same with the schemas closed over: config and credentials are JSON. */
export interface AnySignIn {
  readonly publicClients: boolean
  readonly pkce: "all" | "public"
  readonly loopbackHost: string
  readonly standardize: (answer: Schema.Json) => Schema.Json
  readonly provider: (config: unknown) => Effect.Effect<Provider, Schema.SchemaError>
  /** Credentials as JSON, with secrets in clear: only for `decodeCredentials`; or why the grant is no use. */
  readonly credentials: (grant: Grant) => Effect.Effect<Schema.Json, string>
  /** The credentials of a sign-in, with what they keep of those before. Unchanged where either does not fit. */
  readonly keep: (signedIn: Schema.Json, before: Schema.Json) => Effect.Effect<Schema.Json>
  /** The client in these credentials, if they are right and hold one. */
  readonly client: (credentials: unknown) => Effect.Effect<Client | undefined>
}
