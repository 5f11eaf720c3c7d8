/**
 * Credentials, and the access token that each request carries. A token is refreshed by one fiber at a time, over all
 * processes, and a new one is used only once it is stored: Google may have replaced the refresh token with it.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { Call, RefreshCredentials } from "../../contract/Integration.ts"
import type { Network } from "../../contract/Network.ts"
import { IntegrationError, Unauthorized } from "../../contract/IntegrationError.ts"
import { classify, networkProblem, unreachable, unreadable } from "./Errors.ts"

const Secret = Schema.Redacted(Schema.String.pipe(Schema.check(Schema.isNonEmpty())))

/** An access token that someone else keeps fresh. */
const Token = Schema.Struct({ accessToken: Secret })

/** A grant: access tokens are made from the refresh token, and the last one is kept until it expires. */
const Grant = Schema.Struct({
  clientId: Schema.NonEmptyString,
  clientSecret: Secret,
  refreshToken: Secret,
  accessToken: Schema.optionalKey(Secret),
  /** When `accessToken` ends, by Google's word. */
  expiresAt: Schema.optionalKey(Schema.DateTimeUtcFromString)
})
type Grant = typeof Grant.Type

export const Credentials = Schema.Union([Grant, Token])
export type Credentials = typeof Credentials.Type

/** A token is not used in its last minute: a request takes up to that long to arrive and be checked. */
const margin = Duration.minutes(1)

const refreshTimeout = Duration.seconds(30)

const TokenAnswer = Schema.Struct({
  access_token: Schema.String,
  expires_in: Schema.optionalKey(Schema.Finite),
  refresh_token: Schema.optionalKey(Schema.String)
})
const decodeTokenAnswer = Schema.decodeUnknownEffect(TokenAnswer)

/** Gives the token to use. */
export interface Auth {
  readonly token: Effect.Effect<Redacted.Redacted, IntegrationError>
  /**
   * After a 401 for `refused`: another token to try once, refreshed unless someone did that in the meantime. Fails with
   * `Unauthorized` where nothing can be refreshed.
   */
  readonly replace: (refused: Redacted.Redacted) => Effect.Effect<Redacted.Redacted, IntegrationError>
}

export const make = Effect.fnUntraced(function* (options: {
  readonly credentials: Credentials
  readonly tokenUrl: string
  readonly call: Call
  readonly network: Network
  readonly refreshCredentials: RefreshCredentials<Credentials>
}) {
  const { credentials } = options
  if (!("refreshToken" in credentials)) {
    const auth: Auth = {
      token: Effect.succeed(credentials.accessToken),
      replace: () =>
        Effect.fail(
          new IntegrationError({
            reason: new Unauthorized({
              message: "Gmail no longer accepts the access token, and there is none to refresh it with. Connect again"
            })
          })
        )
    }
    return auth
  }

  const current = yield* Ref.make<Grant>(credentials)
  const lock = yield* Semaphore.make(1)

  const usable = Effect.fnUntraced(function* ({ accessToken, expiresAt }: Grant) {
    if (accessToken === undefined) return undefined
    const now = yield* DateTime.now
    return expiresAt === undefined || DateTime.isLessThan(DateTime.addDuration(now, margin), expiresAt)
      ? accessToken
      : undefined
  })

  const renew = Effect.fnUntraced(function* (grant: Grant) {
    const answer = yield* Effect.interruptible(options.call("oauth2.token", 0, requestToken(options, grant)))
    const now = yield* DateTime.now
    return {
      clientId: grant.clientId,
      clientSecret: grant.clientSecret,
      refreshToken: answer.refresh_token === undefined ? grant.refreshToken : Redacted.make(answer.refresh_token),
      accessToken: Redacted.make(answer.access_token),
      ...(answer.expires_in === undefined
        ? {}
        : { expiresAt: DateTime.addDuration(now, Duration.seconds(answer.expires_in)) })
    } satisfies Grant
  })

  /** A token other than the refused one: what is stored by now, or a fresh one. */
  const refresh = Effect.fnUntraced(function* (refused: Redacted.Redacted | undefined) {
    const stored = yield* options.refreshCredentials(
      Effect.fnUntraced(function* (latest) {
        // A person may have put a bare token in the grant's place: it is used as it is.
        if (!("refreshToken" in latest)) return latest
        const token = yield* usable(latest)
        const isNews = token !== undefined && (refused === undefined || !same(token, refused))
        return isNews ? latest : yield* renew(latest)
      })
    )
    if ("refreshToken" in stored) yield* Ref.set(current, stored)
    return stored.accessToken ?? (yield* unreadable("a fresh access token"))
  })

  const auth: Auth = {
    token: Effect.gen(function* () {
      const token = yield* Effect.flatMap(Ref.get(current), usable)
      if (token !== undefined) return token
      return yield* lock.withPermit(
        Effect.flatMap(Effect.flatMap(Ref.get(current), usable), (again) =>
          again === undefined ? refresh(undefined) : Effect.succeed(again)
        )
      )
    }),
    replace: (refused) =>
      lock.withPermit(
        Effect.flatMap(Effect.flatMap(Ref.get(current), usable), (token) =>
          token !== undefined && !same(token, refused) ? Effect.succeed(token) : refresh(refused)
        )
      )
  }
  return auth
})

const same = (one: Redacted.Redacted, other: Redacted.Redacted): boolean =>
  Redacted.value(one) === Redacted.value(other)

/** RFC 6749, section 6. The response is decoded; its failure never quotes it. */
const requestToken = ({ network, tokenUrl }: { readonly network: Network; readonly tokenUrl: string }, grant: Grant) =>
  HttpClientRequest.post(tokenUrl).pipe(
    HttpClientRequest.bodyUrlParams({
      grant_type: "refresh_token",
      client_id: grant.clientId,
      client_secret: Redacted.value(grant.clientSecret),
      refresh_token: Redacted.value(grant.refreshToken)
    }),
    HttpClient.execute,
    Effect.flatMap((response) => Effect.map(response.text, (text) => ({ response, text }))),
    Effect.timeout(refreshTimeout),
    Effect.provide(FetchHttpClient.layer),
    Effect.provideService(FetchHttpClient.Fetch, network.fetch),
    // The client's error holds the request, and so the secrets: only the fact is kept.
    Effect.mapError((error) => unreachable("a fresh access token", networkProblem(error))),
    Effect.flatMap(({ response, text }) =>
      Effect.gen(function* () {
        const json = yield* Effect.orElseSucceed(decodeJson(text), () => undefined)
        if (response.status < 200 || response.status > 299) {
          const now = yield* DateTime.now
          const failure = { status: response.status, body: json, retryAfter: response.headers["retry-after"] }
          const error = classify("a fresh access token", failure, now, [grant.clientSecret, grant.refreshToken])
          // Whatever else a 4xx says here (invalid_client, unauthorized_client), no retry will mend it.
          return yield* error.reason._tag === "Malformed" ||
          error.reason._tag === "Gone" ||
          error.reason._tag === "Forbidden"
            ? new IntegrationError({ reason: new Unauthorized({ message: error.reason.message }) })
            : error
        }
        return yield* Effect.mapError(decodeTokenAnswer(json), () => unreadable("a fresh access token"))
      })
    )
  )

const decodeJson = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))
