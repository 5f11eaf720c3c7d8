/** Credentials, and the access token that each request carries (see src/contract/AccessToken.ts). */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as AccessToken from "../../contract/AccessToken.ts"
import { field } from "../../contract/Field.ts"
import type { Call, RefreshCredentials } from "../../contract/Integration.ts"
import { IntegrationError, Unauthorized } from "../../contract/IntegrationError.ts"
import * as TokenEndpoint from "./TokenEndpoint.ts"

const Secret = Schema.Redacted(Schema.String.pipe(Schema.check(Schema.isNonEmpty())))

/** The last access token, and when it expires, by Google's word. */
const lastToken = {
  accessToken: field(Schema.optionalKey(Secret), {
    title: "Last access token",
    description: "Idem keeps it here.",
    isInternal: true
  }),
  expiresAt: field(Schema.optionalKey(Schema.DateTimeUtcFromString), {
    title: "End of the last access token",
    description: "Idem keeps it here.",
    isInternal: true
  })
}

/** An access token that someone else keeps fresh. */
const Token = Schema.Struct({
  accessToken: field(Secret, {
    title: "Access token",
    description: "Begins with ya29. It lasts an hour, and then somebody has to give another.",
    example: "ya29.…"
  })
}).annotate({ title: "An access token" })

/** A grant: access tokens are made from the refresh token. */
const Grant = Schema.Struct({
  clientId: field(Schema.NonEmptyString, {
    title: "Client ID",
    description: "Of your OAuth client in the Google Cloud console.",
    example: "1234567890-abc.apps.googleusercontent.com"
  }),
  clientSecret: field(Secret, { title: "Client secret", description: "Of the same client.", example: "GOCSPX-…" }),
  refreshToken: field(Secret, {
    title: "Refresh token",
    description: "What a sign-in with this client gave. Without one, sign in.",
    example: "1//…"
  }),
  ...lastToken
}).annotate({ title: "An OAuth client and its refresh token" })
export type Grant = typeof Grant.Type

/** A key of a service account, as Google's file has it (https://cloud.google.com/iam/docs/keys-create-delete). */
const Key = Schema.Struct({
  type: Schema.Literal("service_account"),
  project_id: Schema.NonEmptyString,
  private_key: Secret,
  private_key_id: Schema.optionalKey(Schema.String),
  client_email: Schema.NonEmptyString,
  client_id: Schema.optionalKey(Schema.String),
  token_uri: Schema.optionalKey(Schema.String),
  auth_uri: Schema.optionalKey(Schema.String),
  auth_provider_x509_cert_url: Schema.optionalKey(Schema.String),
  client_x509_cert_url: Schema.optionalKey(Schema.String),
  universe_domain: Schema.optionalKey(Schema.String)
})

/** A service account that acts for one user, `subject`, by domain-wide delegation. */
const serviceAccountFields = {
  serviceAccount: field(Key, {
    title: "Key of the service account",
    description: "The JSON of the key file as Google made it.",
    example: { type: "service_account", project_id: "…", private_key: "…", client_email: "…" }
  }),
  subject: field(Schema.NonEmptyString, {
    title: "User",
    description: "The address of the user whose mail is mirrored, by domain-wide delegation.",
    example: "somebody@example.com"
  })
}
export const ServiceAccount = Schema.Struct({ ...serviceAccountFields, ...lastToken }).annotate({
  title: "A service account of a Google Workspace"
})
export type ServiceAccount = typeof ServiceAccount.Type

export const Credentials = Schema.Union([Grant, ServiceAccount, Token])
export type Credentials = typeof Credentials.Type

/** A token is not used in its last minute: a request takes up to that long to arrive and be checked. */
const margin = Duration.minutes(1)

/** The key of a client's budget: the units of a project are counted for all accounts that use it. */
export const clientOf = (credentials: Credentials): string | undefined => {
  if ("serviceAccount" in credentials) return `project ${credentials.serviceAccount.project_id}`
  return "clientId" in credentials ? `client ${credentials.clientId}` : undefined
}

const googleHosts = new Set(["oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"])

/**
 * Fails for a key that names another token endpoint than Google's or that of the connection's address. Assertions are
 * sent to `tokenUrl` and nowhere else; the check tells a person that the key is from elsewhere.
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
  /** The scope that a service account asks for. */
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

/** The account with another token for its subject. */
const renewAccount = (
  options: Pick<Options<never>, "call" | "endpoint" | "scope">,
  account: ServiceAccount
): Effect.Effect<ServiceAccount, IntegrationError> =>
  Effect.map(ask(options, TokenEndpoint.assertion(options.endpoint, account, options.scope)), ({ last }) => ({
    serviceAccount: account.serviceAccount,
    subject: account.subject,
    ...last
  }))

/** The access token of a service account. */
export const ofServiceAccount = (options: Options<ServiceAccount>) =>
  Effect.as(
    checkTokenUri(options.credentials, options.endpoint.tokenUrl),
    AccessToken.make({ ...options, margin, tokenOf, refresh: (account) => renewAccount(options, account) })
  )

/** The access token of any credentials. */
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
