/**
 * Signs in at a provider with the authorization code flow of OAuth 2 and PKCE, through `oauth4webapi`. The state of a
 * sign-in is a secret value (`Pending`), which the caller keeps until the redirect.
 *
 * Errors repeat only the provider's short error code, because the rest of its response may contain a code or a token.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as oauth from "oauth4webapi"
import type { Network } from "../../contract/Network.ts"
import type { AnySignIn, Client, Grant, Provider } from "../../contract/SignIn.ts"

/** The sign-in failed. The message says why and what to do, and contains no secret. */
export class SignInError extends Schema.TaggedError<SignInError>()("SignInError", {
  reason: Schema.Literals(["Expired", "Refused", "Unreachable", "Unusable"]),
  message: Schema.String
}) {}

/** The state of a pending sign-in. It is secret: with the code of the redirect it yields the tokens. */
export const Pending = Schema.Struct({
  state: Schema.String,
  /** The PKCE verifier; null for a sign-in without PKCE. */
  verifier: Schema.NullOr(Schema.String),
  redirectUri: Schema.String,
  clientId: Schema.String,
  clientSecret: Schema.NullOr(Schema.String)
})
export type Pending = typeof Pending.Type

/** The time limit of the token exchange. */
const exchangeTimeout = Duration.seconds(30)

const serverOf = (provider: Provider): oauth.AuthorizationServer => ({
  issuer: provider.issuer,
  authorization_endpoint: provider.authorizationUrl,
  token_endpoint: provider.tokenUrl
})

/** Begins a sign-in. Returns the URL to send the person to, and the pending state. */
export const begin = Effect.fnUntraced(function* (options: {
  readonly signIn: AnySignIn
  readonly provider: Provider
  readonly client: Client
  readonly redirectUri: string
}) {
  const { client, provider, redirectUri } = options
  const withPkce = options.signIn.pkce === "all" || client.clientSecret === undefined
  const verifier = withPkce ? oauth.generateRandomCodeVerifier() : null
  const state = oauth.generateRandomState()
  const challenge =
    verifier === null
      ? {}
      : {
          code_challenge: yield* Effect.promise(() => oauth.calculatePKCECodeChallenge(verifier)),
          code_challenge_method: "S256"
        }
  const url = new URL(provider.authorizationUrl)
  const parameters = {
    ...provider.parameters,
    response_type: "code",
    client_id: client.clientId,
    redirect_uri: redirectUri,
    state,
    ...challenge
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  const pending: Pending = {
    state,
    verifier,
    redirectUri,
    clientId: client.clientId,
    clientSecret: client.clientSecret === undefined ? null : Redacted.value(client.clientSecret)
  }
  return { url: url.href, pending }
})

/** Returns the provider's error code if it has the form of a code. Other text is not repeated. */
const errorCode = (error: unknown): string =>
  Predicate.hasProperty(error, "error") && typeof error.error === "string" && /^[a-z_]{1,60}$/.test(error.error)
    ? ` (${error.error})`
    : ""

const refused = (error: unknown): SignInError => {
  if (error instanceof oauth.AuthorizationResponseError) {
    return new SignInError({
      reason: "Refused",
      message:
        error.error === "access_denied"
          ? "access was denied at the provider: sign in again, and allow it"
          : `the provider refused the sign-in${errorCode(error)}`
    })
  }
  if (error instanceof oauth.ResponseBodyError) {
    return new SignInError({
      reason: "Refused",
      message:
        `the provider did not give tokens for the code${errorCode(error)}: ` +
        "check the client id, its secret and the redirect URI, and sign in again"
    })
  }
  if (error instanceof oauth.WWWAuthenticateChallengeError) {
    return new SignInError({ reason: "Refused", message: "the provider refused the client id or its secret" })
  }
  if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError) {
    return new SignInError({
      reason: "Refused",
      message: "the provider's answer does not follow OAuth 2: sign in again"
    })
  }
  return new SignInError({
    reason: "Unreachable",
    message: "the provider's token address can't be reached or gave no answer: try again in a moment"
  })
}

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json))

/** Converts a response into the form of RFC 6749. Errors get an error status. */
const standardResponse = async (answer: Response, standardize: AnySignIn["standardize"]): Promise<Response> => {
  const json = decodeJson(await answer.text())
  const body = json._tag === "Some" ? standardize(json.value) : {}
  const isError = Predicate.hasProperty(body, "error")
  const status = isError && answer.status < 400 ? 400 : answer.status
  // The ID token is not used: the source itself reports the account.
  const { id_token: _, ...rest } = Predicate.isObject(body) ? (body as Schema.JsonObject) : {}
  return new Response(JSON.stringify(rest), { status, headers: { "content-type": "application/json" } })
}

/**
 * Finishes a sign-in: exchanges the code of the redirect for tokens. `parameters` are those of the redirect. Fails if
 * the state or the issuer does not match, or if the provider refused.
 */
export const finish = Effect.fnUntraced(function* (options: {
  readonly signIn: AnySignIn
  readonly provider: Provider
  readonly pending: Pending
  readonly parameters: URLSearchParams
  readonly network: Network
}) {
  const { pending, provider, signIn } = options
  const server = serverOf(provider)
  const client: oauth.Client = { client_id: pending.clientId }
  const answer = yield* Effect.tryPromise({
    try: async (signal) => {
      const parameters = oauth.validateAuthResponse(server, client, options.parameters, pending.state)
      const response = await oauth.authorizationCodeGrantRequest(
        server,
        client,
        pending.clientSecret === null ? oauth.None() : oauth.ClientSecretPost(pending.clientSecret),
        parameters,
        pending.redirectUri,
        pending.verifier ?? oauth.nopkce,
        {
          signal,
          // A stand-in on this machine may use plain HTTP: a person wrote its address in the config.
          [oauth.allowInsecureRequests]: provider.tokenUrl.startsWith("http:"),
          [oauth.customFetch]: async (url, init) =>
            standardResponse(await options.network.fetch(url, { ...init, redirect: "error" }), signIn.standardize)
        }
      )
      return oauth.processAuthorizationCodeResponse(server, client, response)
    },
    catch: refused
  }).pipe(
    Effect.timeoutOrElse({
      duration: exchangeTimeout,
      orElse: () => Effect.fail(refused(undefined))
    })
  )
  const now = yield* DateTime.now
  const grant: Grant = {
    client: {
      clientId: pending.clientId,
      clientSecret: pending.clientSecret === null ? undefined : Redacted.make(pending.clientSecret)
    },
    accessToken: Redacted.make(answer.access_token),
    refreshToken: answer.refresh_token === undefined ? undefined : Redacted.make(answer.refresh_token),
    expiresAt:
      answer.expires_in === undefined ? undefined : DateTime.addDuration(now, Duration.seconds(answer.expires_in)),
    scope: answer.scope
  }
  return yield* Effect.mapError(
    signIn.credentials(grant),
    (message) => new SignInError({ reason: "Unusable", message })
  )
})
