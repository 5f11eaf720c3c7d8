/** The API of the server that `IDEM_URL` names. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import packageJson from "../../../package.json" with { type: "json" }
import { Api } from "../Api.ts"
import { CommandApi } from "../CommandApi.ts"
import * as Problems from "../Problems.ts"
import { ApiClient, ServerError } from "./ApiClient.ts"
import type { ServerAddress } from "./ServerAddress.ts"

const codeOf = (cause: unknown): string | undefined => {
  if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") return cause.code
  return Predicate.hasProperty(cause, "cause") ? codeOf(cause.cause) : undefined
}

const networkFailures: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was reset",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the host's address can't be resolved now",
  ETIMEDOUT: "no answer in time",
  EHOSTUNREACH: "the host can't be reached"
}

const unreachable = (at: string, code: string): string => {
  if (/CERT|SIGNATURE|ISSUER/.test(code)) {
    return `the certificate of the server at ${at} is not trusted (${code}): if the authority is your own, name its file in NODE_EXTRA_CA_CERTS`
  }
  if (code === "EPROTO" || code.startsWith("ERR_SSL")) return `the server at ${at} does not speak https: is it http?`
  if (code.startsWith("HPE_")) return `the server at ${at} does not speak http: is it https?`
  const why = code === "" ? "" : ` (${networkFailures[code] ?? code})`
  return `no server answers at ${at}${why}: start it there with idem serve, or unset IDEM_URL`
}

const notIdem = (url: string): ServerError =>
  new ServerError({
    reason: "NotIdem",
    message: `the server at IDEM_URL (${url}) is not Idem, or another version: set IDEM_URL to where idem serve listens`
  })

/** Explains why the server can't be used; undefined for problems of the operation itself. */
const serverError = (url: string, error: unknown): ServerError | undefined => {
  const at = `IDEM_URL (${url})`
  if (error instanceof ServerError) return error
  if (error instanceof Problems.UnauthorizedProblem) {
    return new ServerError({
      reason: "Unauthorized",
      message: `the server at ${at} does not take this token: set IDEM_API_TOKEN to the one that it was started with`
    })
  }
  if (error instanceof Problems.ForbiddenProblem) {
    return new ServerError({
      reason: "Forbidden",
      message: `the server at ${at} refuses requests for this name${error.detail === undefined ? "" : ` (${error.detail})`}: use the address that it listens on, or start it with an IDEM_API_TOKEN`
    })
  }
  if (error instanceof Problems.TooManyRequestsProblem) {
    return new ServerError({
      reason: "TooManyRequests",
      message: `the server at ${at} was given too many wrong tokens: try again in ${error.retryAfter} seconds, with the right IDEM_API_TOKEN`
    })
  }
  if (HttpClientError.isHttpClientError(error) && error.reason._tag === "TransportError") {
    return new ServerError({ reason: "Unreachable", message: unreachable(at, codeOf(error.reason) ?? "") })
  }
  return HttpClientError.isHttpClientError(error) || Schema.isSchemaError(error) ? notIdem(url) : undefined
}

/** Returns true for idempotent requests, which may be repeated. */
const isRepeatable = ({ headers, method }: HttpClientRequest.HttpClientRequest): boolean =>
  method === "GET" || headers["idempotency-key"] !== undefined

/**
 * Makes the client for this server, with its token. It repeats idempotent requests without a response, at most three
 * times.
 */
const requests = Effect.fnUntraced(function* ({ token, url }: ServerAddress) {
  const http = (yield* HttpClient.HttpClient).pipe(
    HttpClient.mapRequest((request) => {
      const addressed = HttpClientRequest.prependUrl(request, url)
      return Option.isNone(token) ? addressed : HttpClientRequest.bearerToken(addressed, token.value)
    })
  )
  return HttpClient.transform(http, (sending, request) =>
    sending.pipe(
      Effect.retry({
        schedule: Schedule.exponential("100 millis"),
        times: 3,
        while: (error) => isRepeatable(request) && HttpClient.isTransientError(error)
      }),
      Effect.mapError((error) => serverError(url, error) ?? notIdem(url))
    )
  )
})

const majorMinor = (version: string): string => version.split(".").slice(0, 2).join(".")

/** Fails if the server can't be reached, is not Idem, has another version, or refuses the token. */
const check = Effect.fnUntraced(function* (
  { token, url }: ServerAddress,
  httpClient: HttpClient.HttpClient.With<HttpClientError.HttpClientError | ServerError>
): Effect.fn.Return<void, ServerError> {
  const system = yield* HttpApiClient.group(Api, { group: "system", httpClient })
  const session = yield* Effect.mapError(system.session({}), (error) => serverError(url, error) ?? notIdem(url))
  if (session.tokenRequired && !session.authenticated) {
    const next = "set IDEM_API_TOKEN to the one that it was started with"
    return yield* Option.isNone(token)
      ? new ServerError({
          reason: "Unauthorized",
          message: `the server at IDEM_URL (${url}) asks for a token: ${next}`,
          setting: "IDEM_API_TOKEN"
        })
      : new ServerError({
          reason: "Unauthorized",
          message: `the server at IDEM_URL (${url}) does not take this token: ${next}`
        })
  }
  if (session.version !== null && majorMinor(session.version) !== majorMinor(packageJson.version)) {
    return yield* new ServerError({
      reason: "OtherVersion",
      message: `the server at IDEM_URL (${url}) is Idem ${session.version}, this is ${packageJson.version}: use the same version here`
    })
  }
})

/** Provides the client of this server. Fails if the server can't be used. */
export const layer = (address: ServerAddress): Layer.Layer<ApiClient, ServerError, HttpClient.HttpClient> =>
  Layer.effect(
    ApiClient,
    Effect.gen(function* () {
      const httpClient = yield* requests(address)
      yield* check(address, httpClient)
      return yield* HttpApiClient.makeWith(CommandApi, {
        httpClient,
        transformResponse: Effect.mapError((error) => serverError(address.url, error) ?? error)
      })
    })
  )
