/**
 * Requests to Slack's Web API as effects. The client library's own retries and queues are off: `call` owns the quota,
 * the deadline and the retries. Interrupting an effect aborts its request.
 */
import { LogLevel, type Logger, WebClient } from "@slack/web-api"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AccessToken } from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import {
  CheckpointExpired,
  Forbidden,
  Gone,
  IntegrationError,
  Malformed,
  RateLimited,
  type Reason,
  TooLarge,
  Transient,
  Unauthorized
} from "../../contract/IntegrationError.ts"
import type * as Auth from "./Auth.ts"

const unauthorized = new Set([
  "invalid_auth",
  "not_authed",
  "account_inactive",
  "token_revoked",
  "token_expired",
  "not_allowed_token_type",
  "invalid_refresh_token",
  "invalid_client_id",
  "bad_client_secret"
])
const forbidden = new Set([
  "not_in_channel",
  "channel_not_found",
  "missing_scope",
  "access_denied",
  "no_permission",
  "restricted_action",
  "method_not_supported_for_channel_type",
  "team_access_not_granted",
  "is_archived",
  "ekm_access_denied",
  "enterprise_is_restricted",
  "two_factor_setup_required"
])
const gone = new Set([
  "message_not_found",
  "thread_not_found",
  "file_not_found",
  "file_deleted",
  "user_not_found",
  "user_not_visible"
])
const transient = new Set([
  "internal_error",
  "fatal_error",
  "service_unavailable",
  "request_timeout",
  "accesslimited",
  "team_added_to_org",
  "org_login_required"
])
const cursors = new Set(["invalid_cursor", "invalid_ts_latest", "invalid_ts_oldest"])

/** Slack's `error` as a reason. An error that is not listed above concerns this request only. */
const classify = (method: string, error: string, retryAfter?: number): IntegrationError => {
  // A body that is no JSON reaches us as `error`; whatever Slack calls an error is one short word.
  if (!/^[a-z0-9_]{1,64}$/.test(error)) return fail(new Transient({ message: `${method}: the answer is not JSON` }))
  const message = `${method}: ${error}`
  if (unauthorized.has(error)) return fail(new Unauthorized({ message }))
  if (error === "ratelimited" || error === "rate_limited") return fail(limited(message, retryAfter))
  if (forbidden.has(error)) return fail(new Forbidden({ message }))
  if (gone.has(error)) return fail(new Gone({ message }))
  if (transient.has(error)) return fail(new Transient({ message }))
  if (cursors.has(error)) return fail(new CheckpointExpired({ message }))
  return fail(new Malformed({ message }))
}

const fail = (reason: Reason) => new IntegrationError({ reason })

const limited = (message: string, seconds: number | undefined) =>
  new RateLimited(seconds === undefined ? { message } : { message, retryAfter: Duration.seconds(seconds) })

const PlatformError = Schema.Struct({
  code: Schema.Literal("slack_webapi_platform_error"),
  data: Schema.Struct({
    error: Schema.String,
    response_metadata: Schema.optionalKey(Schema.Struct({ retryAfter: Schema.optionalKey(Schema.Finite) }))
  })
})
const RateLimitedError = Schema.Struct({
  code: Schema.Literal("slack_webapi_rate_limited_error"),
  retryAfter: Schema.Finite
})
const HttpError = Schema.Struct({ code: Schema.Literal("slack_webapi_http_error"), statusCode: Schema.Int })
const RequestError = Schema.Struct({
  code: Schema.Literal("slack_webapi_request_error"),
  original: Schema.Struct({ message: Schema.String, cause: Schema.optionalKey(Schema.Unknown) })
})

const isPlatformError = Schema.is(PlatformError)
const isRateLimitedError = Schema.is(RateLimitedError)
const isHttpError = Schema.is(HttpError)
const isRequestError = Schema.is(RequestError)

const httpStatus = (what: string, status: number): IntegrationError => {
  const message = `${what}: HTTP ${status}`
  if (status === 429) return fail(limited(message, undefined))
  return status >= 500 || status === 408 ? fail(new Transient({ message })) : fail(new Malformed({ message }))
}

export const fromThrown = (method: string, host: string, error: unknown): IntegrationError => {
  if (isPlatformError(error)) return classify(method, error.data.error, error.data.response_metadata?.retryAfter)
  if (isRateLimitedError(error)) return fail(limited(`${method}: ratelimited`, error.retryAfter))
  if (isHttpError(error)) return httpStatus(method, error.statusCode)
  if (isRequestError(error))
    return fail(
      new Transient({ message: `Slack could not be reached at ${host} for ${method}: ${detail(error.original)}` })
    )
  // The one plain Error of the library: a 429 whose Retry-After is missing or not a number.
  if (error instanceof Error && error.message.startsWith("Retry header")) {
    return fail(limited(`${method}: ratelimited`, undefined))
  }
  return fail(new Transient({ message: `${method}: ${error instanceof Error ? error.message : "failed"}` }))
}

/** `fetch failed` says nothing; its cause does (ECONNREFUSED, ECONNRESET). */
const detail = (error: { readonly message: string; readonly cause?: unknown }) => {
  const cause = error.cause
  const code = Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined
  return code === undefined ? error.message : `${error.message} (${code})`
}

/** The library would write to the console; what matters is in the errors. */
export const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  setLevel: () => {},
  getLevel: () => LogLevel.ERROR,
  setName: () => {}
}

export type Args = Readonly<Record<string, string | number | boolean | undefined>>

/** Slack refused one request for a reason that concerns only what was asked for: `refused` is its word, or ours. */
export interface Refusal {
  readonly refused: string
}

export const isRefusal = <A extends object>(answer: A | Refusal): answer is Refusal => "refused" in answer

/** The properties of a file that `files.info` announced. */
interface Announced {
  readonly id: string
  readonly url: string
  readonly mediaType: string | undefined
}

export interface Client {
  /** Makes one request, and decodes its answer. */
  readonly request: <A>(method: string, args: Args, schema: Schema.Decoder<A>) => Effect.Effect<A, IntegrationError>
  /**
   * The same for a request about one conversation or one list. Fails for `Unauthorized`, `RateLimited` and `Transient`,
   * which concern the whole source, but for an `internal_error` of one conversation. Any other failure is returned as a
   * `Refusal`.
   */
  readonly ask: <A extends object>(
    method: string,
    args: Args,
    schema: Schema.Decoder<A>
  ) => Effect.Effect<A | Refusal, IntegrationError>
  /** A file's bytes. Follows redirects; fails with `TooLarge` before the body is read. */
  readonly bytes: (file: Announced, maxSize: number) => Stream.Stream<Uint8Array, IntegrationError>
  /** True for a URL that the token may be sent to: Slack's hosts, or the configured origin. */
  readonly takesToken: (url: string) => boolean
}

/** Enterprise Grid answers with one redirect, to `files-origin.slack.com` (hermes-agent#114483, goclaw#233). */
const maxRedirects = 3

export const apiUrlOf = (configured: string | undefined) => new URL(configured ?? "https://slack.com/api/")

/** Sends one request with the library. */
const sender =
  (options: { readonly slackApiUrl: string | undefined; readonly fetch: typeof globalThis.fetch }) =>
  (method: string, args: Args, token: Redacted.Redacted | undefined) =>
    Effect.tryPromise({
      try: (signal) =>
        new WebClient(token === undefined ? undefined : Redacted.value(token), {
          slackApiUrl: apiUrlOf(options.slackApiUrl).href,
          logger: silent,
          retryConfig: { retries: 0 },
          rejectRateLimitedCalls: true,
          allowAbsoluteUrls: false,
          fetch: (url, init) => options.fetch(url, { ...init, signal })
        }).apiCall(method, { ...args }),
      catch: (error) => fromThrown(method, apiUrlOf(options.slackApiUrl).host, error)
    })

const Tokens = Schema.Struct({
  access_token: Schema.NonEmptyString,
  refresh_token: Schema.optionalKey(Schema.NonEmptyString),
  expires_in: Schema.optionalKey(Schema.Finite)
})
/** A refreshed token of a person stands where a bot's does; the one of a sign-in stands in `authed_user`. */
const decodeTokens = Schema.decodeUnknownEffect(Schema.Union([Tokens, Schema.Struct({ authed_user: Tokens })]))

/** Exchanges a refresh token. Slack revokes it with the first use of the tokens that it returns. */
export const refresh = Effect.fnUntraced(function* (options: {
  readonly grant: Auth.Rotating
  readonly slackApiUrl: string | undefined
  readonly call: Call
  readonly fetch: typeof globalThis.fetch
}) {
  const { clientId, clientSecret, refreshToken } = options.grant
  const args = {
    grant_type: "refresh_token",
    client_id: clientId,
    client_secret: clientSecret === undefined ? undefined : Redacted.value(clientSecret),
    refresh_token: Redacted.value(refreshToken)
  }
  const method = "oauth.v2.access"
  const answer = yield* options.call(method, 0, sender(options)(method, args, undefined)).pipe(
    Effect.flatMap((json) =>
      // The decoder's error would quote the tokens.
      Effect.mapError(decodeTokens(json), () => fail(new Transient({ message: `${method}: the answer can't be read` })))
    ),
    Effect.interruptible,
    // No repetition mends a refused grant, whatever Slack calls it.
    Effect.mapError((error) =>
      error.reason._tag === "RateLimited" || error.reason._tag === "Transient"
        ? error
        : fail(new Unauthorized({ message: `${error.reason.message}: sign in again` }))
    )
  )
  const tokens = "authed_user" in answer ? answer.authed_user : answer
  const now = yield* DateTime.now
  const { expiresAt: _, ...kept } = options.grant
  return {
    ...kept,
    token: Redacted.make(tokens.access_token),
    refreshToken: tokens.refresh_token === undefined ? refreshToken : Redacted.make(tokens.refresh_token),
    ...(tokens.expires_in === undefined
      ? {}
      : { expiresAt: DateTime.addDuration(now, Duration.seconds(tokens.expires_in)) })
  } satisfies Auth.Rotating
})

export const make = (options: {
  readonly auth: AccessToken
  readonly slackApiUrl: string | undefined
  readonly call: Call
  readonly fetch: typeof globalThis.fetch
}): Client => {
  const apiUrl = apiUrlOf(options.slackApiUrl)
  const send = sender(options)

  const takesToken: Client["takesToken"] = (text) => {
    const url = URL.parse(text)
    if (url === null) return false
    if (options.slackApiUrl !== undefined && url.origin === apiUrl.origin) return true
    return url.protocol === "https:" && (url.hostname === "slack.com" || url.hostname.endsWith(".slack.com"))
  }

  const request: Client["request"] = (method, args, schema) => {
    const decode = Schema.decodeUnknownEffect(schema)
    const attempt = (token: Redacted.Redacted) =>
      options.call(
        method,
        1,
        Effect.flatMap(send(method, args, token), (answer) =>
          Effect.mapError(decode(answer), () =>
            // The answer is not Slack's and may be a stranger's, so it is not quoted.
            fail(new Malformed({ message: `${method}: the answer is not what Slack's API documents` }))
          )
        )
      )
    return Effect.flatMap(options.auth.token, (token) =>
      Effect.catch(attempt(token), (error) =>
        error.reason._tag === "Unauthorized"
          ? Effect.flatMap(options.auth.replace(token, error), attempt)
          : Effect.fail(error)
      )
    )
  }

  /** Requests about a conversation in a row that Slack failed to answer. */
  let failures = 0

  const ask: Client["ask"] = (method, args, schema) =>
    request(method, args, schema).pipe(
      Effect.tap(() => Effect.sync(() => void (failures = 0))),
      Effect.catch(({ reason }) => {
        const word = reason.message.replace(`${method}: `, "")
        // Slack's trouble with one conversation, after the retries of the call. With that many in a row it is Slack's
        // trouble with all of them.
        const isOfOne = args.channel !== undefined && ofConversation.has(word) && ++failures < mostFailures
        return ofSource.has(reason._tag) && !isOfOne ? Effect.fail(fail(reason)) : Effect.succeed({ refused: word })
      })
    )

  /** The response of a file's URL. The token goes only where it may, also after a redirect. */
  const follow = (id: string, url: string, token: Redacted.Redacted) =>
    Effect.gen(function* () {
      let at = url
      for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
        const to = at
        const response = yield* Effect.tryPromise({
          try: (signal) =>
            options.fetch(to, {
              signal,
              redirect: "manual",
              headers: takesToken(to) ? { authorization: `Bearer ${Redacted.value(token)}` } : {}
            }),
          catch: (error) =>
            fail(new Transient({ message: `file ${id}: ${error instanceof Error ? detail(error) : "failed"}` }))
        })
        const location = response.headers.get("location")
        if (response.status < 300 || response.status >= 400 || location === null) return response
        yield* discard(response)
        const next = URL.parse(location, to)
        const isSafe = next?.protocol === "https:" || (next?.protocol === "http:" && to.startsWith("http:"))
        if (next === null || !isSafe) {
          return yield* fail(new Forbidden({ message: `file ${id}: redirected to an address that is not https` }))
        }
        at = next.href
      }
      return yield* fail(new Forbidden({ message: `file ${id}: more than ${maxRedirects} redirects` }))
    })

  const open = (file: Announced, maxSize: number, token: Redacted.Redacted) =>
    Effect.flatMap(follow(file.id, file.url, token), (response) => {
      const { id } = file
      const refuse = (error: IntegrationError) => Effect.andThen(discard(response), Effect.fail(error))
      const { status } = response
      if (status === 404 || status === 410) return refuse(fail(new Gone({ message: `file ${id}: HTTP ${status}` })))
      if (status === 401 || status === 403 || (status >= 300 && status < 400)) {
        return refuse(fail(new Forbidden({ message: `file ${id}: HTTP ${status}; is the scope files:read granted?` })))
      }
      if (status === 429) {
        const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10)
        return refuse(fail(limited(`file ${id}: ratelimited`, Number.isNaN(seconds) ? undefined : seconds)))
      }
      if (status !== 200) return refuse(httpStatus(`file ${id}`, status))
      const page = pageInstead(file.mediaType, response.headers.get("content-type"))
      if (page !== undefined) {
        const message = `file ${id}: Slack answered with ${page} instead of the file; is the scope files:read granted?`
        return refuse(fail(new Forbidden({ message })))
      }
      const length = Number(response.headers.get("content-length") ?? Number.NaN)
      return length > maxSize ? refuse(tooLarge(id, length, maxSize)) : Effect.succeed(response)
    })

  const bytes: Client["bytes"] = (file, maxSize) =>
    Stream.unwrap(
      Effect.map(
        Effect.flatMap(options.auth.token, (token) => options.call("files.download", 1, open(file, maxSize, token))),
        ({ body }) => {
          if (body === null) return Stream.empty
          let size = 0
          return Stream.fromReadableStream({
            evaluate: () => body,
            onError: () => fail(new Transient({ message: `file ${file.id}: the connection broke` }))
          }).pipe(
            Stream.mapEffect((chunk) => {
              size += chunk.length
              return size > maxSize ? Effect.fail(tooLarge(file.id, size, maxSize)) : Effect.succeed(chunk)
            })
          )
        }
      )
    )

  return { request, ask, bytes, takesToken }
}

/** Slack's words for a failure of its own that may concern one conversation only, for as long as it lasts. */
const ofConversation: ReadonlySet<string> = new Set(["internal_error", "fatal_error"])
const mostFailures = 20

/** Failures that concern the whole source. */
const ofSource: ReadonlySet<Reason["_tag"]> = new Set(["Unauthorized", "RateLimited", "Transient"])

const discard = (response: Response) =>
  Effect.promise(() => response.body?.cancel().catch(() => {}) ?? Promise.resolve())

/**
 * The media type of a page that Slack sent instead of a file: its page for signing in is HTML with status 200
 * (deno-slack-sdk#285, bolt-js#2585), its errors are JSON. Canvases and posts are HTML or JSON themselves
 * (slackdump#401).
 */
const pageInstead = (announced: string | undefined, answered: string | null): string | undefined => {
  const type = answered?.split(";")[0]?.trim().toLowerCase()
  if (type !== "text/html" && type !== "application/json") return undefined
  const isDocument = announced?.startsWith("application/vnd.slack-docs") === true
  return isDocument || announced?.toLowerCase() === type ? undefined : type
}

export const tooLarge = (id: string, size: number, maxSize: number): IntegrationError =>
  fail(new TooLarge({ message: `file ${id} has ${size} bytes, more than maxFileSize (${maxSize})` }))
