/**
 * The outermost middleware. It turns every result of a route into a response. Errors become problem details; a defect
 * becomes the id of its log line. Every response gets the security headers.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerRespondable from "effect/http/HttpServerRespondable"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiError from "effect/http-api/HttpApiError"
import type * as Layer from "effect/Layer"
import type * as Types from "effect/Types"
import * as Crypto from "node:crypto"
import { Routes, tooLarge } from "./security/Guard.ts"
import * as Problems from "./Problems.ts"
import { badRequest } from "./RequestErrors.ts"
import { Settings } from "./ServerSettings.ts"
import { Stopping } from "./ShutdownSignal.ts"
import * as Headers from "effect/http/Headers"

const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "frame-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'"
].join("; ")

const refusedFeatures = [
  "accelerometer",
  "camera",
  "display-capture",
  "geolocation",
  "gyroscope",
  "magnetometer",
  "microphone",
  "midi",
  "payment",
  "usb"
]

/**
 * Headers of every response, unless its handler sets them. They forbid resources of other origins, inline scripts and
 * styles, and frames.
 */
const securityHeaders = Headers.fromInput({
  "cache-control": "no-store",
  "content-security-policy": contentSecurityPolicy,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": refusedFeatures.map((name) => `${name}=()`).join(", "),
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
})

/** Adds the security headers that the response does not have. */
const withSecurityHeaders = (response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeaders(response, Headers.merge(securityHeaders, response.headers))

type Problem = HttpServerRespondable.Respondable

const unexpected = Effect.fnUntraced(function* (
  request: HttpServerRequest.HttpServerRequest,
  cause: Cause.Cause<unknown>
) {
  const id = Crypto.randomBytes(8).toString("hex")
  yield* Effect.logError("a request ended with a defect", cause).pipe(
    Effect.annotateLogs({ id, method: request.method, path: pathOf(request.url) })
  )
  return new Problems.UnexpectedProblem({ id, detail: `see the log of this server, under ${id}` })
})

const pathOf = (url: string): string => url.replace(/[?#].*$/s, "")

/** Returns the problem of this error or defect; undefined for an unexpected one. */
const problemOf = (
  error: unknown,
  request: HttpServerRequest.HttpServerRequest,
  routes: Routes["Service"]
): Problem | undefined => {
  if (HttpServerError.isHttpServerError(error)) {
    switch (error.reason._tag) {
      case "RouteNotFound": {
        const allowed = routes.methodsOf(request.url)
        return allowed.length === 0
          ? new Problems.NotFoundProblem({ what: "path", detail: "there is nothing at this path; see /reference" })
          : new Problems.MethodNotAllowedProblem({ allowed, detail: `this path accepts ${allowed.join(", ")}` })
      }
      case "RequestParseError":
        return error.reason.reason === "BodyTooLarge"
          ? tooLarge
          : new Problems.BadRequestProblem({ detail: "the body of the request ended early" })
      default:
        return undefined
    }
  }
  if (error instanceof HttpApiError.HttpApiSchemaError) return badRequest(error, true)
  const known = Problems.problemOf(error)
  return HttpServerRespondable.isRespondable(known) ? known : undefined
}

/** Returns the problem for a response of the router that has only a status; undefined for any other. */
const problemOfStatus = (response: HttpServerResponse.HttpServerResponse): Problem | undefined => {
  if (response.status < 400) return undefined
  const { body } = response
  const isText = body._tag === "Uint8Array" && body.contentType.startsWith("text/plain")
  if (body._tag !== "Empty" && !isText) return undefined
  switch (response.status) {
    case 400:
      return new Problems.BadRequestProblem({})
    case 413:
      return tooLarge
    case 415:
      return new Problems.UnsupportedMediaTypeProblem({ detail: "Content-Type must be application/json" })
    default:
      return undefined
  }
}

/** The `Retry-After`, in seconds, while the database can't be reached or the process is shutting down. */
const retryAfter = "5"

const stopped = new Problems.UnavailableProblem({ detail: "the process is stopping; try again" })

/** Turns every result of a route into a response. */
export const layer: Layer.Layer<never, never, HttpRouter.HttpRouter | Routes | Settings> = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const routes = yield* Routes
    const { proxies } = yield* Settings
    const stopping = yield* Stopping
    const forwarded = HttpMiddleware.xForwardedHeaders({ trustedProxies: proxies })

    const answerOf = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>) {
      const request = yield* HttpServerRequest.HttpServerRequest
      for (const reason of cause.reasons) {
        if (reason._tag === "Interrupt") continue
        const error = reason._tag === "Fail" ? reason.error : reason.defect
        if (HttpServerResponse.isHttpServerResponse(error)) return error
        const problem = problemOf(error, request, routes)
        if (problem !== undefined) return yield* Problems.toResponse(problem)
      }
      return yield* Problems.toResponse(yield* unexpected(request, cause))
    })

    const finished = Effect.fnUntraced(function* (given: HttpServerResponse.HttpServerResponse) {
      const problem = problemOfStatus(given)
      const response = problem === undefined ? given : yield* Problems.toResponse(problem)
      const headers = {
        ...(response.status === 503 && response.headers["retry-after"] === undefined
          ? { "retry-after": retryAfter }
          : {}),
        ...(stopping.isOpen() ? { connection: "close" } : {})
      }
      return HttpServerResponse.setHeaders(withSecurityHeaders(response), headers)
    })

    // This middleware handles every error, but the router's type expects errors to pass through.
    yield* router.addGlobalMiddleware(
      (
        app
      ): Effect.Effect<HttpServerResponse.HttpServerResponse, Types.unhandled, HttpServerRequest.HttpServerRequest> =>
        app.pipe(
          Effect.catchCause((cause) => {
            if (!Cause.hasInterruptsOnly(cause)) return answerOf(cause)
            // A client that has disconnected gets no response.
            const isAway = cause.reasons.some(({ annotations }) => annotations.has(HttpServerError.ClientAbort.key))
            return isAway ? Effect.failCause(cause as Cause.Cause<never>) : Problems.toResponse(stopped)
          }),
          Effect.flatMap(finished),
          forwarded
        )
    )
  })
)
