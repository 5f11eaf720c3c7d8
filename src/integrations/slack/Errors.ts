/** Classifies the failures of Slack: its own errors, HTTP statuses, and errors of the client library. */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
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

/** Classifies Slack's `error`. An error that is not listed above concerns this request only. */
const classify = (method: string, error: string, retryAfter?: number): IntegrationError => {
  // A body that is not JSON arrives as `error`; Slack's own error codes are one short word.
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

export const fail = (reason: Reason) => new IntegrationError({ reason })

export const limited = (message: string, seconds: number | undefined) =>
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

export const httpStatus = (what: string, status: number): IntegrationError => {
  const message = `${what}: HTTP ${status}`
  if (status === 429) return fail(limited(message, undefined))
  return status >= 500 || status === 408 ? fail(new Transient({ message })) : fail(new Malformed({ message }))
}

/** The response is not parsed, because that would take too long. */
export class AnswerTooMuch extends Error {}

/** The response is not parsed. Fewer items can be requested. */
export class TooManyItems extends Malformed {}

export const fromThrown = (method: string, host: string, error: unknown): IntegrationError => {
  if (isPlatformError(error)) return classify(method, error.data.error, error.data.response_metadata?.retryAfter)
  if (isRateLimitedError(error)) return fail(limited(`${method}: ratelimited`, error.retryAfter))
  if (isHttpError(error)) return httpStatus(method, error.statusCode)
  if (isRequestError(error) && error.original instanceof AnswerTooMuch) {
    return fail(new TooManyItems({ message: `${method}: the answer is too large: ${error.original.message}` }))
  }
  if (isRequestError(error))
    return fail(
      new Transient({ message: `Slack could not be reached at ${host} for ${method}: ${detail(error.original)}` })
    )
  // The library's only plain Error: a 429 whose Retry-After is missing or not a number.
  if (error instanceof Error && error.message.startsWith("Retry header")) {
    return fail(limited(`${method}: ratelimited`, undefined))
  }
  return fail(new Transient({ message: `${method}: ${error instanceof Error ? error.message : "failed"}` }))
}

/** Adds the reason from the cause (ECONNREFUSED, ECONNRESET), because the message is only `fetch failed`. */
export const detail = (error: { readonly message: string; readonly cause?: unknown }) => {
  const cause = error.cause
  const code = Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined
  return code === undefined ? error.message : `${error.message} (${code})`
}

export const tooLarge = (id: string, size: number, maxSize: number): IntegrationError =>
  fail(new TooLarge({ message: `file ${id} has ${size} bytes, more than maxFileSize (${maxSize})` }))
