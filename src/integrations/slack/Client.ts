/**
 * Requests to Slack's Web API as effects. The client library's own retries and queues are off: quota, deadline and
 * retries belong to whoever gives `call`. Interrupting an effect aborts its request.
 */
import { LogLevel, type Logger, WebClient } from "@slack/web-api"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
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

/** Slack's words for a conversation, or a kind of conversations, that this token may not read. */
export const closed: ReadonlyArray<string> = [
  "not_in_channel",
  "channel_not_found",
  "missing_scope",
  "access_denied",
  "no_permission",
  "restricted_action",
  "method_not_supported_for_channel_type",
  "team_access_not_granted",
  "is_archived"
]

const unauthorized = new Set([
  "invalid_auth",
  "not_authed",
  "account_inactive",
  "token_revoked",
  "token_expired",
  "not_allowed_token_type"
])
const forbidden = new Set([...closed, "ekm_access_denied", "enterprise_is_restricted", "two_factor_setup_required"])
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

/** Slack's `error` as a reason. A word that is not known says something about this request only. */
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

const fromThrown = (method: string, error: unknown): IntegrationError => {
  if (error instanceof IntegrationError) return error
  if (isPlatformError(error)) return classify(method, error.data.error, error.data.response_metadata?.retryAfter)
  if (isRateLimitedError(error)) return fail(limited(`${method}: ratelimited`, error.retryAfter))
  if (isHttpError(error)) return httpStatus(method, error.statusCode)
  if (isRequestError(error)) return fail(new Transient({ message: `${method}: ${detail(error.original)}` }))
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
const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  setLevel: () => {},
  getLevel: () => LogLevel.ERROR,
  setName: () => {}
}

export type Args = Readonly<Record<string, string | number | boolean | undefined>>

export interface Client {
  /** One request, decoded. */
  readonly request: <A>(method: string, args: Args, schema: Schema.Decoder<A>) => Effect.Effect<A, IntegrationError>
  /** The same; a refusal whose `error` is among `expected` gives that word instead of failing. */
  readonly ask: <A, E extends string>(
    method: string,
    args: Args,
    schema: Schema.Decoder<A>,
    expected: ReadonlyArray<E>
  ) => Effect.Effect<A | { readonly refused: E }, IntegrationError>
  /** A file's bytes, with the token, only from Slack's own hosts; `TooLarge` before the body is read. */
  readonly bytes: (id: string, url: string, maxSize: number) => Stream.Stream<Uint8Array, IntegrationError>
  /** True for a URL that our token may be sent to. */
  readonly isOurs: (url: string) => boolean
}

export const make = (options: {
  readonly token: Redacted.Redacted
  readonly slackApiUrl: string | undefined
  readonly call: Call
}): Client => {
  const apiUrl = new URL(options.slackApiUrl ?? "https://slack.com/api/")

  const isOurs = (text: string) => {
    if (!URL.canParse(text)) return false
    const url = new URL(text)
    if (options.slackApiUrl !== undefined && url.host === apiUrl.host && url.protocol === apiUrl.protocol) return true
    return url.protocol === "https:" && (url.hostname === "slack.com" || url.hostname.endsWith(".slack.com"))
  }

  const send = (method: string, args: Args) =>
    Effect.tryPromise({
      try: (signal) =>
        new WebClient(Redacted.value(options.token), {
          slackApiUrl: apiUrl.href,
          logger: silent,
          retryConfig: { retries: 0 },
          rejectRateLimitedCalls: true,
          allowAbsoluteUrls: false,
          fetch: (url, init) => fetch(url, { ...init, signal })
        }).apiCall(method, { ...args }),
      catch: (error) => error
    })

  const attempt = <A>(method: string, args: Args, schema: Schema.Decoder<A>) => {
    const decode = Schema.decodeUnknownEffect(schema)
    return Effect.flatMap(send(method, args), (answer) =>
      Effect.mapError(decode(answer), (error) =>
        fail(new Malformed({ message: `${method}: the answer can't be read: ${error.message}` }))
      )
    )
  }

  const request: Client["request"] = (method, args, schema) =>
    options.call(
      method,
      1,
      Effect.mapError(attempt(method, args, schema), (error) => fromThrown(method, error))
    )

  const ask: Client["ask"] = (method, args, schema, expected) =>
    options.call(
      method,
      1,
      Effect.catch(attempt(method, args, schema), (error) => {
        const refused = isPlatformError(error) ? expected.find((word) => word === error.data.error) : undefined
        return refused === undefined ? Effect.fail(fromThrown(method, error)) : Effect.succeed({ refused })
      })
    )

  const open = (id: string, url: string, maxSize: number) =>
    Effect.tryPromise({
      // A redirect could lead to another host, to which the token must not go: it is refused, not followed.
      try: (signal) =>
        fetch(url, {
          signal,
          redirect: "manual",
          headers: { authorization: `Bearer ${Redacted.value(options.token)}` }
        }),
      catch: (error) => fail(new Transient({ message: `file ${id}: ${error instanceof Error ? detail(error) : ""}` }))
    }).pipe(
      Effect.flatMap((response) => {
        const discard = Effect.promise(() => response.body?.cancel().catch(() => {}) ?? Promise.resolve())
        const refuse = (error: IntegrationError) => Effect.andThen(discard, Effect.fail(error))
        const { status } = response
        if (status === 404 || status === 410) return refuse(fail(new Gone({ message: `file ${id}: HTTP ${status}` })))
        // Without the scope, Slack redirects to a page for signing in.
        if (status === 401 || status === 403 || (status >= 300 && status < 400)) {
          return refuse(
            fail(new Forbidden({ message: `file ${id}: HTTP ${status}; is the scope files:read granted?` }))
          )
        }
        if (status === 429) {
          const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10)
          return refuse(fail(limited(`file ${id}: ratelimited`, Number.isNaN(seconds) ? undefined : seconds)))
        }
        if (status !== 200) return refuse(httpStatus(`file ${id}`, status))
        const length = Number(response.headers.get("content-length") ?? Number.NaN)
        if (length > maxSize) return refuse(tooLarge(id, length, maxSize))
        return Effect.succeed(response)
      })
    )

  const bytes: Client["bytes"] = (id, url, maxSize) =>
    Stream.unwrap(
      Effect.map(options.call("files.download", 1, open(id, url, maxSize)), ({ body }) => {
        if (body === null) return Stream.empty
        let size = 0
        return Stream.fromReadableStream({
          evaluate: () => body,
          onError: () => fail(new Transient({ message: `file ${id}: the connection broke` }))
        }).pipe(
          Stream.mapEffect((chunk) => {
            size += chunk.length
            return size > maxSize ? Effect.fail(tooLarge(id, size, maxSize)) : Effect.succeed(chunk)
          })
        )
      })
    )

  return { request, ask, bytes, isOurs }
}

export const tooLarge = (id: string, size: number, maxSize: number): IntegrationError =>
  fail(new TooLarge({ message: `file ${id} has ${size} bytes, more than maxFileSize (${maxSize})` }))
