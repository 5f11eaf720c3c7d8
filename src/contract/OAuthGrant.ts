/** A grant of OAuth 2: a client, its refresh token, and the newest access token. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as AccessToken from "./AccessToken.ts"
import type { RefreshCredentials } from "./Definition.ts"
import { field } from "./Field.ts"
import { ask, fail, type HttpServer, jsonOf } from "./HttpRequest.ts"
import { type IntegrationError, Transient, Unauthorized } from "./IntegrationError.ts"
import type { Network } from "./Network.ts"
import type { Call } from "./Quota.ts"

export const Secret = Schema.Redacted(Schema.String.pipe(Schema.check(Schema.isNonEmpty())))

export const clientFields = {
  clientId: field(Schema.NonEmptyString, { title: "Client ID", description: "Of your app at the source." }),
  clientSecret: field(Schema.optionalKey(Secret), {
    title: "Client secret",
    description: "Of the same app. A public client has none."
  })
}

export const expiresAt = field(Schema.optionalKey(Schema.DateTimeUtcFromString), {
  title: "End of the access token",
  description: "Idem keeps it here.",
  isInternal: true
})

/** The fields of a grant that can be refreshed. */
export const fields = {
  ...clientFields,
  refreshToken: field(Secret, { title: "Refresh token", description: "From a sign-in with this app." }),
  accessToken: field(Schema.optionalKey(Secret), {
    title: "Last access token",
    description: "Idem keeps it here.",
    isInternal: true
  }),
  expiresAt
}

/** The fields that every grant has. */
type Grant = Schema.Struct.Type<typeof fields>

/** The token endpoint that refreshes a grant. */
interface Endpoint<G> {
  readonly grant: G
  readonly tokenUrl: URL
  /** Converts the provider's own form of response into that of RFC 6749. */
  readonly standardize?: ((answer: Schema.Json) => Schema.Json) | undefined
}

interface Source {
  readonly call: Call
  readonly network: Network
}

const Tokens = Schema.Struct({
  access_token: Schema.NonEmptyString,
  refresh_token: Schema.optionalKey(Schema.NullOr(Schema.String)),
  /**
   * The lifetime in seconds. Decoded separately (`secondsOf`), so that a bad value does not lose the tokens beside it.
   */
  expires_in: Schema.optionalKey(Schema.Unknown)
})
const decodeTokens = Schema.decodeUnknownEffect(Tokens)

/** Some providers write the lifetime as text (modelcontextprotocol/typescript-sdk#1120, panva/oauth4webapi#112). */
const secondsOf = (lifetime: unknown): number | undefined => {
  const seconds = typeof lifetime === "string" && lifetime.trim() !== "" ? Number(lifetime) : lifetime
  return typeof seconds === "number" && seconds >= 0 && seconds <= longestLifetime ? seconds : undefined
}

/** A hundred years, in seconds. A longer lifetime counts as no expiry. */
const longestLifetime = 100 * 365 * 86_400

/** Matches an error sent with a success status, as GitHub does (getsentry/junior#620). */
const isRefusal = Schema.is(Schema.Struct({ error: Schema.NonEmptyString }))

/** Errors that may not recur if the request is repeated. */
const passing: ReadonlySet<string> = new Set(["temporarily_unavailable", "server_error", "slow_down"])

/** A token is not used in its last minute: a request takes up to that long to arrive and be checked. */
const margin = Duration.minutes(1)

/** Exchanges the refresh token (RFC 6749, section 6). */
const refresh = Effect.fnUntraced(function* <G extends Grant>(
  { call, network }: Source,
  { grant, standardize, tokenUrl }: Endpoint<G>
) {
  const refused = (status: number) =>
    new Unauthorized({ message: `${tokenUrl.host} refuses the refresh token (${status}): sign in again` })
  const server: HttpServer = {
    network,
    baseUrl: tokenUrl,
    headers: { accept: "application/json" },
    // A refused grant stays refused, whatever the error is called. The text may quote a token, so it is not reported.
    refusal: ({ status }) => (status === 429 || status === 408 || status >= 500 ? undefined : refused(status))
  }
  const post = new URLSearchParams({
    grant_type: "refresh_token",
    refresh_token: Redacted.value(grant.refreshToken),
    client_id: grant.clientId,
    ...(grant.clientSecret === undefined ? {} : { client_secret: Redacted.value(grant.clientSecret) })
  })
  const unreadable = new Transient({ message: `${tokenUrl.host} answers a refresh without a token` })
  const answer = yield* Effect.interruptible(call("oauth2.token", 0, ask(server, tokenUrl, { post })))
  const json = yield* jsonOf(server, answer)
  const standard = yield* Effect.catch(
    Effect.try({ try: () => (standardize ?? ((same) => same))(json as Schema.Json), catch: () => unreadable }),
    fail
  )
  if (isRefusal(standard) && !passing.has(standard.error)) return yield* fail(refused(200))
  // The decoder's error would quote the tokens.
  const tokens = yield* Effect.catch(decodeTokens(standard), () => fail(unreadable))
  const now = yield* DateTime.now
  const seconds = secondsOf(tokens.expires_in)
  const { expiresAt: _, ...kept } = grant
  return {
    ...kept,
    accessToken: Redacted.make(tokens.access_token),
    refreshToken: tokens.refresh_token ? Redacted.make(tokens.refresh_token) : grant.refreshToken,
    ...(seconds === undefined ? {} : { expiresAt: DateTime.addDuration(now, Duration.seconds(seconds)) })
  }
})

/**
 * Manages the access token of credentials. `endpointOf` returns the grant to refresh, or undefined for other
 * credentials.
 */
export const accessToken = <C extends object>(
  options: Source & {
    readonly credentials: C
    readonly refreshCredentials: RefreshCredentials<C>
    readonly endpointOf: (credentials: C) => Endpoint<Extract<C, Grant>> | undefined
  }
): AccessToken.AccessToken =>
  AccessToken.make<C>({
    credentials: options.credentials,
    refreshCredentials: options.refreshCredentials,
    margin,
    tokenOf: (credentials: Partial<AccessTokenFields>) => ({
      token: credentials.accessToken,
      expiresAt: credentials.expiresAt
    }),
    refresh: (credentials) => {
      const endpoint = options.endpointOf(credentials)
      return endpoint === undefined
        ? undefined
        : (refresh(options, endpoint) as Effect.Effect<Extract<C, Grant>, IntegrationError>)
    }
  })

interface AccessTokenFields {
  readonly accessToken: Redacted.Redacted | undefined
  readonly expiresAt: DateTime.Utc | undefined
}
