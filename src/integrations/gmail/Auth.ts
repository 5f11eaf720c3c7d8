/** The access token that each request carries (see src/contract/AccessToken.ts). */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as AccessToken from "../../contract/AccessToken.ts"
import type { Call, RefreshCredentials } from "../../contract/Integration.ts"
import { IntegrationError, Unauthorized } from "../../contract/IntegrationError.ts"
import type { Credentials, ServiceAccount } from "./Credentials.ts"
import * as TokenEndpoint from "./TokenEndpoint.ts"

/** A token is not used in its last minute, because a request may take that long to arrive and be checked. */
const margin = Duration.minutes(1)

const googleHosts = new Set(["oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"])

/**
 * Fails for a key with a token endpoint other than Google's or that of the connection's address. Assertions are sent
 * only to `tokenUrl`; the check tells a person that the key belongs to another server.
 */
const checkTokenUri = ({ serviceAccount }: ServiceAccount, tokenUrl: string) => {
  const { client_email, token_uri } = serviceAccount
  const url = token_uri === undefined ? undefined : URL.parse(token_uri)
  const isKnown = token_uri === undefined || (url !== null && url !== undefined && isTokenHost(url, tokenUrl))
  if (isKnown) return Effect.void
  const message = `the token_uri in the key of ${client_email} is not Google's: give the JSON key file as Google made it`
  return Effect.fail(new IntegrationError({ reason: new Unauthorized({ message }) }))
}

const isTokenHost = (url: URL, tokenUrl: string) =>
  (url.protocol === "https:" && googleHosts.has(url.host)) || url.origin === new URL(tokenUrl).origin

interface Options<C> {
  readonly credentials: C
  readonly endpoint: TokenEndpoint.Endpoint
  /** The scope that a service account requests. */
  readonly scope: string
  readonly call: Call
  readonly refreshCredentials: RefreshCredentials<C>
}

const tokenOf = (credentials: Credentials): AccessToken.StoredToken => ({
  token: credentials.accessToken,
  expiresAt: "expiresAt" in credentials ? credentials.expiresAt : undefined
})

const ask = ({ call }: Pick<Options<never>, "call">, request: Effect.Effect<TokenEndpoint.Tokens, IntegrationError>) =>
  Effect.map(Effect.interruptible(call("oauth2.token", 0, request)), ({ accessToken, expiresAt, refreshToken }) => ({
    last: { accessToken, ...(expiresAt === undefined ? {} : { expiresAt }) },
    refreshToken
  }))

/** Returns the account with a new token for its subject. */
const renewAccount = (
  options: Pick<Options<never>, "call" | "endpoint" | "scope">,
  account: ServiceAccount
): Effect.Effect<ServiceAccount, IntegrationError> =>
  Effect.map(ask(options, TokenEndpoint.assertion(options.endpoint, account, options.scope)), ({ last }) => ({
    serviceAccount: account.serviceAccount,
    subject: account.subject,
    ...last
  }))

/** Manages the access token of a service account. */
export const ofServiceAccount = (options: Options<ServiceAccount>) =>
  Effect.as(
    checkTokenUri(options.credentials, options.endpoint.tokenUrl),
    AccessToken.make({ ...options, margin, tokenOf, refresh: (account) => renewAccount(options, account) })
  )

/** Manages the access token of any credentials. */
export const make = Effect.fnUntraced(function* (options: Options<Credentials>) {
  const { credentials, endpoint } = options
  if ("serviceAccount" in credentials) yield* checkTokenUri(credentials, endpoint.tokenUrl)
  return AccessToken.make<Credentials>({
    ...options,
    margin,
    tokenOf,
    refresh: (current) => {
      if ("serviceAccount" in current) return renewAccount(options, current)
      if (!("refreshToken" in current)) return undefined
      const { clientId, clientSecret } = current
      return Effect.map(ask(options, TokenEndpoint.refresh(endpoint, current)), ({ last, refreshToken }) => ({
        clientId,
        clientSecret,
        refreshToken: refreshToken ?? current.refreshToken,
        ...last
      }))
    }
  })
})
