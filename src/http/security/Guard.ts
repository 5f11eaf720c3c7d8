/**
 * Guards every route before its handler. New routes require authentication by default, and requests that another site's
 * page causes a browser to send are refused.
 *
 * A request that is authenticated by a session's cookie, or by coming from this machine, must come from our own pages
 * (`Sec-Fetch-Site`, or `Origin` for browsers without it). Programs send neither header. If the server has no token,
 * the request must also name a loopback host, because with another host name that resolves to this machine (DNS
 * rebinding) another site's page would have our origin; and it must not contain headers of a forwarding proxy.
 */
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as FindMyWay from "effect/http/FindMyWay"
import * as JsonBounds from "../../contract/JsonBounds.ts"
import { IsRemote } from "../../engine/network/SourceNetwork.ts"
import { Access, Caller } from "./Authentication.ts"
import {
  BadRequestProblem,
  ForbiddenProblem,
  PayloadTooLargeProblem,
  UnauthorizedProblem,
  UnsupportedMediaTypeProblem
} from "../Problems.ts"
import { routerConfig } from "../Parameters.ts"
import { isLoopback } from "../ServerSettings.ts"

/**
 * Public routes. Every other route requires authentication. Public routes reveal no stored data. The callback of a
 * sign-in, to which no cookie is sent, is protected by its own secret. Callbacks of providers are signed.
 */
const open: ReadonlySet<string> = new Set(["/", "/favicon.ico", "/health", "/ready", "/session", "/sign-in/callback"])

/** Returns true if the route with this pattern is public. */
export const isOpen = (pattern: string): boolean =>
  open.has(pattern) || pattern.startsWith("/assets/") || pattern.startsWith("/events/")

/** The longest body of a request, in bytes. */
const longestBody = 1_000_000

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const
const safe: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"])

/** Routes that a read token opens. Their handlers apply the scope of the token. */
const forReaders: ReadonlySet<string> = new Set(["/mcp", "/search"])

/** Headers that forwarding proxies add. Many proxies replace the host name by this machine's. */
const proxyHeaders = ["forwarded", "via", "x-forwarded-for"] as const

/** Returns the host of a `Host` header, without its port. */
const hostOf = (header: string): string => header.replace(/:\d+$/, "")

const isJson = (contentType: string): boolean => /^application\/(?:[\w.-]+\+)?json *(?:;|$)/i.test(contentType)

/** Returns true if a page of another origin made the request, by the browser's headers. */
const isForeign = (request: HttpServerRequest.HttpServerRequest): boolean => {
  const { "sec-fetch-mode": mode, "sec-fetch-site": site, host = "", origin } = request.headers
  if (site !== undefined) {
    if (site === "same-origin" || site === "none") return false
    // Following a link is allowed: only the person sees its result.
    return !(mode === "navigate" && safe.has(request.method))
  }
  if (origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host !== host
}

const admit = Effect.fnUntraced(function* (access: Access["Service"], pattern: string) {
  const request = yield* HttpServerRequest.HttpServerRequest
  const { host = "", "content-length": length, "content-type": type } = request.headers
  if (!access.tokenRequired && !isLoopback(hostOf(host))) {
    return yield* new ForbiddenProblem({
      detail: "without an IDEM_API_TOKEN the server accepts only names of its own machine, like localhost"
    })
  }
  if (!access.tokenRequired && proxyHeaders.some((name) => request.headers[name] !== undefined)) {
    return yield* new ForbiddenProblem({
      detail:
        "a proxy forwarded the request, and the server has no token: set IDEM_API_TOKEN, and give it to your clients"
    })
  }
  const caller = yield* access.callerOf(request).pipe(
    // Public routes work without the database too: health, and the page that reports the problem.
    Effect.catchTag("StoreError", (error) => (isOpen(pattern) ? Effect.succeed<Caller>("nobody") : Effect.fail(error)))
  )
  if (caller !== "token" && isForeign(request)) {
    return yield* new ForbiddenProblem({ detail: "requests from pages of another site are refused" })
  }
  if (caller === "reader" && !forReaders.has(pattern)) {
    return yield* new ForbiddenProblem({ detail: "a read token is valid for /mcp and /search only" })
  }
  if (caller === "nobody" && !isOpen(pattern)) {
    return yield* new UnauthorizedProblem({ detail: "give the token: Authorization: Bearer TOKEN" })
  }
  if (length !== undefined && !(Number(length) <= longestBody)) return yield* tooLarge
  if (!safe.has(request.method) && type !== undefined && !isJson(type)) {
    return yield* new UnsupportedMediaTypeProblem({ detail: "Content-Type must be application/json" })
  }
  return caller
})

/** Bounds of a request's JSON. It may name 20,000 ids. */
const bodyBounds: JsonBounds.Bounds = { depth: 32, values: 20_000, names: 1_000 }

/**
 * Reads the body of a request, and refuses JSON that would take long to decode. A body without a `Content-Type` is
 * decoded as JSON too.
 */
const checkBody = Effect.gen(function* () {
  const request = yield* HttpServerRequest.HttpServerRequest
  if (safe.has(request.method)) return
  const message = JsonBounds.problem(yield* request.text, bodyBounds)
  if (message === undefined) return
  return yield* new BadRequestProblem({ detail: `body: ${message}`, errors: [{ place: "body", message }] })
})

/** The problem for a body whose `Content-Length` or number of bytes is too large. */
export const tooLarge = new PayloadTooLargeProblem({
  detail: `the body of a request may have at most ${longestBody.toLocaleString("en")} bytes`
})

/** The guarded router, and the methods of each path. */
export class Routes extends Context.Service<Routes, { readonly methodsOf: (url: string) => ReadonlyArray<string> }>()(
  "idem/http/security/Guard"
) {}

/** Provides a router that guards and records every route. */
export const layer: Layer.Layer<HttpRouter.HttpRouter | Routes, never, HttpRouter.HttpRouter | Access> =
  Layer.effectContext(
    Effect.gen(function* () {
      const router = yield* HttpRouter.HttpRouter
      const access = yield* Access
      const known = FindMyWay.make<true>(routerConfig)

      const guarded = <E, R>(route: HttpRouter.Route<E, R>): HttpRouter.Route<E, R> => {
        known.on(route.method === "*" ? methods : route.method, route.path, true)
        if (route.path.endsWith("/*")) {
          const parent = route.path.slice(0, -2)
          if (parent !== "") known.on(route.method === "*" ? methods : route.method, parent as `/${string}`, true)
        }
        const handler = Effect.flatMap(admit(access, route.path), (caller) =>
          Effect.andThen(checkBody, route.handler).pipe(
            Effect.provideService(Caller, caller),
            Effect.provideService(IsRemote, true),
            Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(longestBody))
          )
        )
        // `Respond` handles the guard's failures like those of handlers.
        return { ...route, handler: handler as Effect.Effect<HttpServerResponse.HttpServerResponse, E, R> }
      }

      const wrapped: HttpRouter.HttpRouter = {
        ...router,
        add: (method, path, handler, options) =>
          router.addAll([guarded(HttpRouter.route(method, path, handler, options))]),
        // A guarded route has the type of the route, so the type of the list does not change.
        addAll: ((routes: ReadonlyArray<HttpRouter.Route>) =>
          router.addAll(routes.map(guarded))) as HttpRouter.HttpRouter["addAll"]
      }
      return Context.make(HttpRouter.HttpRouter, wrapped).pipe(
        Context.add(Routes, {
          methodsOf: (url) => {
            const found = methods.filter((method) => known.find(method, url) !== undefined)
            return found.includes("GET") ? ["HEAD", ...found] : found
          }
        })
      )
    })
  )
