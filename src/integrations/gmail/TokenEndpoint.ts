/**
 * Google's token endpoint: returns access tokens for a refresh token (RFC 6749, section 6), and for a service account
 * that acts for a user of its domain (RFC 7523, section 2.1;
 * https://developers.google.com/identity/protocols/oauth2/service-account). `oauth4webapi` implements the protocol.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as oauth from "oauth4webapi"
import { createPrivateKey } from "node:crypto"
import type { Network } from "../../contract/Network.ts"
import { IntegrationError, Transient, Unauthorized } from "../../contract/IntegrationError.ts"
import type { Grant, ServiceAccount } from "./Credentials.ts"
import { classify, type Failure, networkProblem, unreachable, unreadable } from "./Errors.ts"

/** The token endpoint of the authorization server `issuer`. */
export interface Endpoint {
  readonly issuer: string
  readonly tokenUrl: string
  readonly network: Network
}

/** A response of the endpoint. */
export interface Tokens {
  readonly accessToken: Redacted.Redacted
  readonly expiresAt: DateTime.Utc | undefined
  /** The new refresh token, if it replaces the one that was used. */
  readonly refreshToken: Redacted.Redacted | undefined
}

const timeout = Duration.seconds(30)

/** The validity of an assertion: the longest that Google accepts. */
const assertionLifetime = Duration.hours(1)

const what = "a fresh access token"

/** A failed response, which the library's fetch throws. */
class Refused {
  readonly failure: Failure
  constructor(failure: Failure) {
    this.failure = failure
  }
}

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json))

/**
 * Converts a response for the library. An error bypasses the library, which would reduce it to RFC 6749's fields. The
 * ID token of a grant with the scope `openid` is dropped, because the mailbox itself reports the account.
 */
const standard = async (answer: Response): Promise<Response> => {
  const body = Option.getOrUndefined(decodeJson(await answer.text()))
  if (!answer.ok) {
    throw new Refused({ status: answer.status, body, retryAfter: answer.headers.get("retry-after") ?? undefined })
  }
  const { id_token: _, ...rest } = Predicate.isObject(body) ? (body as Schema.JsonObject) : {}
  return new Response(JSON.stringify(rest), { status: answer.status, headers: { "content-type": "application/json" } })
}

/** Explains why the endpoint returned no token. Nothing of the request is kept, because it contains the secrets. */
const failed = (error: unknown): { readonly failure: Failure } | IntegrationError => {
  for (let at: unknown = error, depth = 0; at !== undefined && depth < 5; depth++) {
    if (at instanceof Refused) return at
    at = Predicate.hasProperty(at, "cause") ? at.cause : undefined
  }
  return error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError
    ? unreadable(what)
    : unreachable(what, networkProblem(error))
}

/** Makes one request. `refused` explains a refusal that no retry can fix. Default: give new credentials. */
const ask = (
  endpoint: Endpoint,
  request: (
    server: oauth.AuthorizationServer,
    options: oauth.TokenEndpointRequestOptions
  ) => Promise<oauth.TokenEndpointResponse>,
  refusal: {
    readonly secrets: ReadonlyArray<Redacted.Redacted>
    readonly explain?: (error: { readonly code: string; readonly message: string }) => IntegrationError
  }
): Effect.Effect<Tokens, IntegrationError> =>
  Effect.tryPromise({
    try: (signal) =>
      request(
        { issuer: endpoint.issuer, token_endpoint: endpoint.tokenUrl },
        {
          signal,
          // A stand-in on this machine may use plain HTTP: a person wrote its address in the config.
          [oauth.allowInsecureRequests]: endpoint.tokenUrl.startsWith("http:"),
          [oauth.customFetch]: async (url, init) =>
            standard(await endpoint.network.fetch(url, { ...init, redirect: "error" }))
        }
      ),
    catch: failed
  }).pipe(
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(unreachable(what, "no answer")) }),
    Effect.catch((error) =>
      error instanceof IntegrationError
        ? Effect.fail(error)
        : Effect.flatMap(DateTime.now, (now) => {
            const classified = classify(what, error.failure, now, refusal.secrets)
            const { _tag, message } = classified.reason
            // Retries do not fix any other 4xx (invalid_client, unauthorized_client).
            if (!["Unauthorized", "Malformed", "Gone", "Forbidden"].includes(_tag)) return Effect.fail(classified)
            return Effect.fail(
              refusal.explain?.({ code: codeOf(error.failure), message }) ??
                new IntegrationError({ reason: new Unauthorized({ message }) })
            )
          })
    ),
    Effect.flatMap((answer) =>
      Effect.map(DateTime.now, (now): Tokens => ({
        accessToken: Redacted.make(answer.access_token),
        expiresAt:
          answer.expires_in === undefined ? undefined : DateTime.addDuration(now, Duration.seconds(answer.expires_in)),
        refreshToken: answer.refresh_token === undefined ? undefined : Redacted.make(answer.refresh_token)
      }))
    )
  )

/** Returns the error code of RFC 6749, section 5.2; empty if the response has none. */
const codeOf = ({ body }: Failure): string =>
  Predicate.hasProperty(body, "error") && typeof body.error === "string" ? body.error : ""

/** Requests tokens with a refresh token. */
export const refresh = (endpoint: Endpoint, grant: Grant): Effect.Effect<Tokens, IntegrationError> =>
  ask(
    endpoint,
    async (server, options) => {
      const client = { client_id: grant.clientId }
      const secret = oauth.ClientSecretPost(Redacted.value(grant.clientSecret))
      const refreshToken = Redacted.value(grant.refreshToken)
      const answer = await oauth.refreshTokenGrantRequest(server, client, secret, refreshToken, options)
      return oauth.processRefreshTokenResponse(server, client, answer)
    },
    { secrets: [grant.clientSecret, grant.refreshToken] }
  )

const unauthorized = (message: string) => new IntegrationError({ reason: new Unauthorized({ message }) })

/** Imports the private key of the account, for RS256. */
const signingKey = ({ serviceAccount }: ServiceAccount): Effect.Effect<oauth.PrivateKey, IntegrationError> =>
  Effect.tryPromise({
    try: async () => {
      const key = createPrivateKey(Redacted.value(serviceAccount.private_key))
      const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }
      const der = key.export({ type: "pkcs8", format: "der" })
      return {
        key: await crypto.subtle.importKey("pkcs8", new Uint8Array(der), algorithm, false, ["sign"]),
        ...(serviceAccount.private_key_id === undefined ? {} : { kid: serviceAccount.private_key_id })
      }
    },
    // The error may contain the key.
    catch: () =>
      unauthorized(
        `the private key of ${serviceAccount.client_email} can't be read: give the JSON key file as Google made it`
      )
  })

/**
 * Google's error codes for service accounts, with the next step
 * (https://developers.google.com/identity/protocols/oauth2/service-account#error-codes). An account that was disabled
 * or deleted is an `invalid_grant` too: "Robot is disabled.", "account not found"
 * (googleapis/google-api-ruby-client#720). A user who was deleted is an `invalid_grant`, "The account has been
 * deleted", and later an `invalid_request`, "Invalid impersonation "sub" field" (GAM-team/GAM#1171).
 */
const explainFor =
  ({ serviceAccount, subject }: ServiceAccount, scope: string) =>
  ({ code, message }: { readonly code: string; readonly message: string }): IntegrationError => {
    const { client_email: account, client_id: id } = serviceAccount
    const said = message.replace(/: give new ones, or sign in$/, "")
    if (code === "unauthorized_client" || code === "access_denied") {
      return unauthorized(
        `${account} may not act for ${subject} (${code}): in Google's Admin console, under Security > Access and data control > API controls > Domain-wide delegation, add the client ID ${id ?? "of the service account"} with the scope ${scope}, and wait: it may take up to 24 hours`
      )
    }
    if (code === "invalid_grant" && /\b(iat|exp)\b/.test(message)) {
      return new IntegrationError({
        reason: new Transient({ message: `Google refuses the time of this machine: set its clock. ${said}` })
      })
    }
    const isAboutUser =
      (code === "invalid_grant" && /email|user id|account has been deleted/i.test(message)) ||
      (code === "invalid_request" && /impersonation/i.test(message))
    return unauthorized(
      isAboutUser
        ? `${said}: ${subject} is no user of a domain that ${account} may act for, or was deleted. Check the subject, and the user in Google's Admin console. Once the user is there again, idem resume goes on`
        : `${said}: Google does not accept the key of ${account}. In the Google Cloud console, see that the service account and this key are enabled, or create another key, and connect again with it`
    )
  }

/** Requests a token with which the service account acts for its subject, with this scope. It has no refresh token. */
export const assertion = Effect.fnUntraced(function* (endpoint: Endpoint, account: ServiceAccount, scope: string) {
  const { serviceAccount, subject } = account
  const key = yield* signingKey(account)
  const issuedAt = Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1000)
  return yield* ask(
    endpoint,
    async (server, options) => {
      const client = { client_id: serviceAccount.client_email }
      // A client assertion has the same form as the assertion of this grant, so the library can sign it.
      const signed = new URLSearchParams()
      const sign = oauth.PrivateKeyJwt(key, {
        [oauth.modifyAssertion]: (header, payload) => {
          header.typ = "JWT"
          for (const name of Object.keys(payload)) delete payload[name]
          const claims = { iss: client.client_id, sub: subject, scope, aud: endpoint.tokenUrl }
          Object.assign(payload, claims, { iat: issuedAt, exp: issuedAt + Duration.toSeconds(assertionLifetime) })
        }
      })
      await sign(server, client, signed, new Headers())
      const answer = await oauth.genericTokenEndpointRequest(
        server,
        client,
        // Google's documentation requires only the assertion.
        () => undefined,
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        { assertion: signed.get("client_assertion") ?? "" },
        options
      )
      return oauth.processGenericTokenEndpointResponse(server, client, answer)
    },
    { secrets: [serviceAccount.private_key], explain: explainFor(account, scope) }
  )
})
