/**
 * Classifies Google's errors by Google's own reason, and only then by the status: a 403 may mean "slow down" as well as
 * "you may not" (https://developers.google.com/workspace/gmail/api/guides/handle-errors).
 *
 * Nothing of the failed request is kept, because a client's error contains the Authorization header.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import {
  Forbidden,
  Gone,
  IntegrationError,
  Malformed,
  RateLimited,
  Transient,
  Unauthorized
} from "../../contract/IntegrationError.ts"
import { redact } from "../../contract/Redaction.ts"

const quotaReasons = new Set([
  "rateLimitExceeded",
  "userRateLimitExceeded",
  "quotaExceeded",
  "dailyLimitExceeded",
  // google.rpc.ErrorInfo and google.rpc.Code use these names.
  "RATE_LIMIT_EXCEEDED",
  "RESOURCE_EXHAUSTED"
])

/**
 * Gmail answers 400 `failedPrecondition` ("Precondition check failed.") to 1 to 2 % of the requests of some accounts,
 * and answers the same requests when they are repeated (googleapis/google-api-go-client#645,
 * googleapis/google-api-python-client#2723, googleapis/google-api-php-client#2558).
 */
const transientReasons = new Set(["failedPrecondition", "FAILED_PRECONDITION"])

/**
 * Matches the only `failedPrecondition` that is permanent: the account has no Gmail (FlowCrypt/flowcrypt-browser#435,
 * levz0r/gmail-tester#57).
 */
const isWithoutGmail = (message: string | undefined): boolean => /mail service not enabled/i.test(message ?? "")

const grantReasons = new Set(["invalid_grant", "authError", "invalid_token"])

/** An error response of Google's APIs (`code` and `message`), or of its token endpoint (RFC 6749, section 5.2). */
const ErrorBody = Schema.Struct({
  error: Schema.Union([
    Schema.String.pipe(Schema.check(Schema.isPattern(/^[a-z_]{1,60}$/))),
    Schema.Struct({
      code: Schema.Int,
      message: Schema.String,
      status: Schema.optionalKey(Schema.String),
      errors: Schema.optionalKey(Schema.Array(Schema.Struct({ reason: Schema.optionalKey(Schema.String) }))),
      details: Schema.optionalKey(Schema.Array(Schema.Struct({ reason: Schema.optionalKey(Schema.String) })))
    })
  ]),
  error_description: Schema.optionalKey(Schema.String)
})
const decodeBody = Schema.decodeUnknownOption(ErrorBody)

/** A failed response. Without `status` there was no response, and `network` says why. */
export interface Failure {
  readonly status?: number | undefined
  readonly body?: unknown
  readonly retryAfter?: string | undefined
  readonly network?: string | undefined
}

/**
 * Returns the Retry-After header of a client's response, whose headers are a plain object if it counts as a success.
 */
export const retryAfterOf = (response: unknown): string | undefined => {
  const headers = Predicate.hasProperty(response, "headers") ? response.headers : undefined
  const value: unknown =
    Predicate.hasProperty(headers, "get") && typeof headers.get === "function"
      ? headers.get("retry-after")
      : Predicate.hasProperty(headers, "retry-after") && headers["retry-after"]
  return typeof value === "string" ? value : undefined
}

/** Reads a failed request. Keeps nothing of the request except its host. */
export const failureOf = (error: unknown, host: string): Failure => {
  const response = Predicate.hasProperty(error, "response") ? error.response : undefined
  if (Predicate.hasProperty(response, "status") && typeof response.status === "number") {
    return {
      status: response.status,
      body: Predicate.hasProperty(response, "data") ? response.data : undefined,
      retryAfter: retryAfterOf(response)
    }
  }
  return { network: `${networkProblem(error)} at ${host}` }
}

/** Returns a code for a failure below HTTP, because the client's messages may contain the URL or more. */
export const networkProblem = (error: unknown): string => {
  for (let at: unknown = error, depth = 0; at !== undefined && depth < 5; depth++) {
    if (Predicate.hasProperty(at, "code") && typeof at.code === "string" && /^[A-Za-z_]+$/.test(at.code)) return at.code
    at = Predicate.hasProperty(at, "cause") ? at.cause : undefined
  }
  return "the connection broke"
}

/**
 * Parses a Retry-After header: seconds, or an HTTP date (RFC 9110, 10.2.3), relative to `now`. Returns undefined if it
 * can't be read.
 */
export const retryAfter = (header: string | undefined, now: DateTime.Utc): Duration.Duration | undefined => {
  if (header === undefined) return undefined
  if (/^\s*\d+(\.\d+)?\s*$/.test(header)) return Duration.seconds(Number(header))
  return Option.getOrUndefined(
    Option.map(DateTime.make(header), (date) =>
      Duration.millis(Math.max(0, DateTime.toEpochMillis(date) - DateTime.toEpochMillis(now)))
    )
  )
}

/**
 * Returns the delay until the time that a message names ("User-rate limit exceeded. Retry after
 * 2020-01-21T12:57:51.196Z"), which for limits of a user is given nowhere else (levz0r/gmail-tester#23,
 * taers232c/GAMADV-XTD3#337). A past time is ignored, because the limit may last longer
 * (googleapis/google-api-ruby-client#20544).
 */
const retryAfterIn = (message: string | undefined, now: DateTime.Utc): Duration.Duration | undefined => {
  const [, time] = /retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/i.exec(message ?? "") ?? []
  const delay = time === undefined ? undefined : retryAfter(time, now)
  return delay === undefined || Duration.isZero(delay) ? undefined : delay
}

/** Returns Google's reasons, or that of its token endpoint. */
const reasonsOf = (body: typeof ErrorBody.Type | undefined): ReadonlyArray<string> => {
  const error = body?.error
  return typeof error === "string"
    ? [error]
    : [
        ...(error?.errors ?? []).map((each) => each.reason),
        ...(error?.details ?? []).map((each) => each.reason),
        error?.status
      ].filter((reason) => reason !== undefined)
}

/** Returns true if Google can't read an argument of the request. */
export const isInvalidArgument = ({ body, status }: Failure): boolean =>
  status === 400 && reasonsOf(Option.getOrUndefined(decodeBody(body))).includes("invalidArgument")

/**
 * Classifies a failure. `what` names the request for people: `message 18c2`, `list of messages`. The server's own text
 * is quoted, without the request's secrets, only if the response has Google's form, because another server may be at
 * `rootUrl`.
 */
export const classify = (
  what: string,
  failure: Failure,
  now: DateTime.Utc,
  secrets: ReadonlyArray<Redacted.Redacted>
): IntegrationError => {
  const body = Option.getOrUndefined(decodeBody(failure.body))
  const error = body?.error
  const message = typeof error === "string" ? (body?.error_description ?? error) : error?.message
  const redacted = message === undefined ? undefined : redact(message, secrets.map(Redacted.value))
  const reasons = reasonsOf(body)
  const quoted = redacted === undefined ? "" : `: ${redacted.replace(/\s+/g, " ").slice(0, 200)}`
  const { status } = failure

  if (status === undefined) return unreachable(what, failure.network ?? "no answer")
  if (reasons.some((reason) => quotaReasons.has(reason)) || status === 429) {
    const delay = retryAfter(failure.retryAfter, now) ?? retryAfterIn(message, now)
    return fail(
      new RateLimited({
        message: `Gmail's quota is used up (${status})${quoted}`,
        ...(delay === undefined ? {} : { retryAfter: delay })
      })
    )
  }
  if (status === 401 || reasons.some((reason) => grantReasons.has(reason))) {
    return fail(
      new Unauthorized({
        message: `Gmail does not accept the credentials (${status})${quoted}: give new ones, or sign in`
      })
    )
  }
  if (status === 400 && isWithoutGmail(message)) {
    return fail(
      new Forbidden({
        message: `Gmail refuses ${what} (400)${quoted}: this account has no Gmail. It needs a licence, and Gmail must be on for the user's organizational unit`
      })
    )
  }
  if (status === 408 || status >= 500 || reasons.some((reason) => transientReasons.has(reason))) {
    return fail(new Transient({ message: `Gmail failed at ${what} (${status})${quoted}` }))
  }
  if (status === 403) return fail(new Forbidden({ message: `Gmail refuses ${what} (403)${quoted}` }))
  if (status === 404 || status === 410) return fail(new Gone({ message: `Gmail has no ${what} (${status})${quoted}` }))
  return fail(new Malformed({ message: `Gmail can't answer for ${what} (${status})${quoted}` }))
}

/** Adds the next step to a refusal that concerns all of the user's mail. Other errors are returned unchanged. */
export const ofUser = (error: IntegrationError): IntegrationError =>
  error.reason._tag === "Forbidden"
    ? fail(
        new Forbidden({
          message: `${error.reason.message}: in a Google Workspace, see in Google's Admin console whether the user is suspended, has Gmail, and may use this app. The sync goes on by itself once Gmail gives the mail again`,
          ofAccount: true
        })
      )
    : error

const fail = (reason: IntegrationError["reason"]): IntegrationError => new IntegrationError({ reason })

/** The failure for an id that Gmail can't read, and that no message can have. */
export const noSuchMessage = (id: string): IntegrationError => fail(new Gone({ message: `Gmail has no message ${id}` }))

/** The failure for a missing or incomplete response. */
export const unreachable = (what: string, problem: string): IntegrationError =>
  fail(new Transient({ message: `Gmail could not be reached for ${what} (${problem})` }))

/** The failure for a successful response whose body is truncated, or not what the API documents. */
export const unreadable = (what: string): IntegrationError =>
  fail(new Transient({ message: `Gmail's answer for ${what} can't be read` }))
