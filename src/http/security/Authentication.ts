/**
 * Authenticates requests: by the token (`Authorization: Bearer`), by a browser's session, or, if the server has no
 * token, by coming from this machine. Wrong tokens are counted by address: after ten within a minute that address has
 * to wait, and other addresses do not.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import { TooManyRequestsProblem, UnauthorizedProblem } from "../Problems.ts"
import { Deriver } from "../../derive/Deriver.ts"
import { prefix, type Scope } from "../../derive/ReadTokens.ts"
import { UsageError } from "../../engine/Engine.ts"
import { SessionStore } from "../../engine/store/SessionStore.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import * as Sessions from "./Sessions.ts"
import { Settings } from "../ServerSettings.ts"

/**
 * How a request was authenticated: `open` if the server has no token and the request no read token; `reader` by a read
 * token, which opens `/mcp` and `/search` only; `nobody` if the request has no credential.
 */
export type Caller = "token" | "session" | "reader" | "open" | "nobody"
export const Caller = Context.Reference<Caller>("idem/http/security/Authentication/Caller", {
  defaultValue: () => "nobody"
})

/** How many wrong tokens one address may send within a minute. */
const wrongTokens = { limit: 10, window: Duration.minutes(1) } as const

const wrongToken = new UnauthorizedProblem({
  detail: "the token is wrong: give the IDEM_API_TOKEN that the server was started with"
})

/** Returns the token of an `Authorization` header; undefined if it has none. */
const bearerOf = (authorization: string): string | undefined => /^Bearer +(\S+) *$/i.exec(authorization)?.[1]

/** Returns the read token of a request; undefined if it has none. */
const readTokenOf = (request: HttpServerRequest.HttpServerRequest): Redacted.Redacted | undefined => {
  const given = bearerOf(request.headers.authorization ?? "")
  return given?.startsWith(prefix) === true ? Redacted.make(given) : undefined
}

/**
 * Returns the connections that the present request may read. A read token is looked up for each request, so that
 * revoking it ends its sessions.
 */
export const scopeOfRequest = Effect.fnUntraced(function* ({ scopeOf }: Deriver["tokens"]) {
  const request = Option.getOrUndefined(yield* Effect.serviceOption(HttpServerRequest.HttpServerRequest))
  if (request === undefined) return yield* new UsageError({ message: "the request is not known" })
  const token = readTokenOf(request)
  if (token === undefined) return undefined as Scope
  return yield* Option.match(yield* scopeOf(token), {
    onNone: () => Effect.fail(new UsageError({ message: "the token was revoked" })),
    onSome: (scope) => Effect.succeed(scope)
  })
})

export class Access extends Context.Service<
  Access,
  {
    readonly tokenRequired: boolean
    readonly callerOf: (
      request: HttpServerRequest.HttpServerRequest
    ) => Effect.Effect<Caller, UnauthorizedProblem | TooManyRequestsProblem | StoreError>
    /** Creates a session for a client that knows the token; undefined if the server has no token. */
    readonly signIn: (
      request: HttpServerRequest.HttpServerRequest,
      token: Redacted.Redacted<string>
    ) => Effect.Effect<string | undefined, UnauthorizedProblem | TooManyRequestsProblem>
    /** Ends the session of the request, if it has one. */
    readonly signOut: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void, StoreError>
  }
>()("idem/http/security/Authentication") {
  static readonly layer: Layer.Layer<Access, never, Settings | SessionStore> = Layer.effect(
    Access,
    Effect.gen(function* () {
      const { token } = yield* Settings
      const { tokens } = yield* Deriver
      const readerOf = Effect.fnUntraced(function* (readToken: Redacted.Redacted) {
        if (Option.isSome(yield* tokens.scopeOf(readToken))) return "reader" as const
        return yield* new UnauthorizedProblem({ detail: "the read token was revoked, or belongs to another server" })
      })
      if (token === undefined) {
        return Access.of({
          tokenRequired: false,
          // A read token restricts its holder even on an open server.
          callerOf: (request) => {
            const readToken = readTokenOf(request)
            return readToken === undefined ? Effect.succeed("open") : readerOf(readToken)
          },
          signIn: () => Effect.as(Effect.void, undefined),
          signOut: () => Effect.void
        })
      }
      const sessions = yield* Sessions.make(token, yield* SessionStore)
      const check = yield* checker(token)
      return Access.of({
        tokenRequired: true,
        callerOf: Effect.fnUntraced(function* (request) {
          const { authorization } = request.headers
          if (authorization !== undefined) {
            const given = bearerOf(authorization)
            if (given === undefined) {
              return yield* new UnauthorizedProblem({
                detail: "write the header as Authorization: Bearer TOKEN"
              })
            }
            const readToken = readTokenOf(request)
            if (readToken !== undefined) return yield* readerOf(readToken)
            yield* check(request, Redacted.make(given))
            return "token" as const
          }
          // Wrong cookies are not counted: a cookie can't be guessed, and a browser keeps sending an old one.
          const cookie = request.cookies[Sessions.cookieName(isSecure(request))]
          return cookie !== undefined && (yield* sessions.isValid(cookie)) ? ("session" as const) : ("nobody" as const)
        }),
        signOut: (request) => {
          const cookie = request.cookies[Sessions.cookieName(isSecure(request))]
          return cookie === undefined ? Effect.void : sessions.end(cookie)
        },
        signIn: (request, given) => Effect.andThen(check(request, given), sessions.make)
      })
    })
  ).pipe(Layer.provide(RateLimiter.layer), Layer.provide(RateLimiter.layerStoreMemory))
}

/** Returns true if the request used https, to this server or to a trusted proxy. */
export const isSecure = (request: HttpServerRequest.HttpServerRequest): boolean => request.protocol === "https"

/** Hashes the client's address into one of 65,536 buckets, to bound memory. An IPv6 address counts as its /64. */
const bucketOf = (request: HttpServerRequest.HttpServerRequest, salt: Uint8Array): string => {
  const remote = Option.getOrElse(request.remoteAddress, () => "")
  const parsed = NetAddress.ipFromString(remote)
  const address = Result.isSuccess(parsed) ? NetAddress.toCanonical(parsed.success) : undefined
  const network =
    address !== undefined && NetAddress.isIpv6Address(address)
      ? NetAddress.ipv6ToSegments(address).slice(0, 4).join(":")
      : remote
  return Crypto.createHmac("sha256", salt).update(network).digest("hex").slice(0, 4)
}

const checker = Effect.fnUntraced(function* (token: Redacted.Redacted<string>) {
  const limiter = yield* RateLimiter.RateLimiter
  const salt = Crypto.randomBytes(16)
  const tooMany = (retryAfter: Duration.Duration) =>
    new TooManyRequestsProblem({
      retryAfter: Math.max(1, Math.ceil(Duration.toSeconds(retryAfter))),
      detail: "this address has given too many wrong tokens, and must wait"
    })
  const consume = (key: string, tokens: number) =>
    limiter.consume({ ...wrongTokens, key, tokens }).pipe(
      Effect.catchReason("RateLimiterError", "RateLimitExceeded", ({ retryAfter }) =>
        Effect.succeed({ remaining: -1, resetAfter: retryAfter })
      ),
      Effect.orDie
    )
  return Effect.fnUntraced(function* (
    request: HttpServerRequest.HttpServerRequest,
    given: Redacted.Redacted<string>
  ): Effect.fn.Return<void, UnauthorizedProblem | TooManyRequestsProblem> {
    const key = bucketOf(request, salt)
    const { remaining, resetAfter } = yield* consume(key, 0)
    if (remaining <= 0) return yield* tooMany(resetAfter)
    if (Sessions.same(Redacted.value(given), Redacted.value(token))) return
    yield* consume(key, 1)
    yield* Effect.logWarning("a wrong token was given").pipe(
      Effect.annotateLogs({ address: Option.getOrElse(request.remoteAddress, () => "unknown") })
    )
    return yield* wrongToken
  })
})
