/**
 * Signs an account in at its provider, with OAuth 2's authorization code (RFC 6749, section 4.1) and PKCE (RFC 7636),
 * so that a person need not enter credentials. The engine implements the protocol; an integration gives the endpoints
 * and the scopes, and turns the grant into its credentials.
 *
 * - provider: the authorization server: two addresses and the parameters of the request
 * - client: this installation of Idem, as it is registered at the provider
 * - grant: the tokens that the provider issues
 */
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Result from "effect/Result"
import type * as Schema from "effect/Schema"

export interface Provider {
  /** The authorization endpoint, which the person's browser opens. */
  readonly authorizationUrl: string
  /** The token endpoint, which exchanges the code for tokens. */
  readonly tokenUrl: string
  /** The provider's issuer identifier. Checked if the response names one (RFC 9207). */
  readonly issuer: string
  /** Additional parameters of the authorization request: the scopes (for reading only), and others. */
  readonly parameters: Readonly<Record<string, string>>
}

export interface Client {
  readonly clientId: string
  /** The client secret. Undefined for a public client, which only some providers accept (`SignIn.publicClients`). */
  readonly clientSecret: Redacted.Redacted | undefined
}

export interface Grant {
  readonly client: Client
  readonly accessToken: Redacted.Redacted
  readonly refreshToken: Redacted.Redacted | undefined
  readonly expiresAt: DateTime.Utc | undefined
  /** The granted scopes, if the provider returns them: a person may have granted fewer than were requested. */
  readonly scope: string | undefined
}

export interface SignIn<Config, Credentials> {
  readonly provider: (config: Config) => Provider
  /** True if the provider accepts clients without a secret. Default: false. */
  readonly publicClients?: boolean | undefined
  /** Whether all clients use PKCE (RFC 7636), or only public ones. Default: all. */
  readonly pkce?: "all" | "public" | undefined
  /** The host of the command line's redirect URI (RFC 8252, section 7.3). Default: `127.0.0.1`. */
  readonly loopbackHost?: "127.0.0.1" | "localhost" | undefined
  /** Converts the token endpoint's response into the form of RFC 6749, section 5, for a provider that uses another. */
  readonly standardize?: ((answer: Schema.Json) => Schema.Json) | undefined
  /**
   * Turns the grant into credentials, or fails with a text for the person: why the grant is unusable, and what to do.
   */
  readonly credentials: (grant: Grant) => Result.Result<Credentials, string>
  /**
   * Adds to new credentials the fields that a sign-in does not give, from the earlier credentials of the same account.
   * Default: adds nothing.
   */
  readonly keep?: ((signedIn: Credentials, before: Credentials) => Credentials) | undefined
  /** Returns the client that the credentials contain, so that a person can sign in again without entering it. */
  readonly client: (credentials: Credentials) => Client | undefined
}

/** The same with the schemas closed over: config and credentials are JSON. */
export interface AnySignIn {
  readonly publicClients: boolean
  readonly pkce: "all" | "public"
  readonly loopbackHost: string
  readonly standardize: (answer: Schema.Json) => Schema.Json
  readonly provider: (config: unknown) => Effect.Effect<Provider, Schema.SchemaError>
  /**
   * Returns the credentials as JSON with secrets in clear, only for `decodeCredentials`; or why the grant is unusable.
   */
  readonly credentials: (grant: Grant) => Effect.Effect<Schema.Json, string>
  /** Applies `SignIn.keep`. Returns `signedIn` unchanged if either value does not fit the schema. */
  readonly keep: (signedIn: Schema.Json, before: Schema.Json) => Effect.Effect<Schema.Json>
  /** Returns the client in these credentials; undefined if they do not fit the schema or contain none. */
  readonly client: (credentials: unknown) => Effect.Effect<Client | undefined>
}
