/**
 * The errors of the API as problem details (RFC 9457, `application/problem+json`). `type` distinguishes errors that
 * share a status; `detail` is for a person. No problem repeats any part of a request's body.
 */
import * as Effect from "effect/Effect"
import * as HttpServerRespondable from "effect/http/HttpServerRespondable"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiError from "effect/http-api/HttpApiError"
import * as Schema from "effect/Schema"
import { FieldError, SourceError, UsageError } from "../engine/Engine.ts"
import { CursorInvalid } from "../engine/feed/Cursor.ts"
import { NameTaken, StoreError } from "../engine/store/StoreError.ts"

const urn = <const Name extends string>(name: Name): `urn:idem:problem:${Name}` => `urn:idem:problem:${name}`

/** A path, query, header or body does not decode. `errors` names the fields. */
export class BadRequestProblem extends HttpApiError.Problem<BadRequestProblem>()(
  "BadRequestProblem",
  { type: urn("bad-request"), status: 400, title: "The request is invalid" },
  { errors: Schema.optionalKey(Schema.Array(FieldError)) }
) {}

/** The cursor is damaged, or belongs to another list. */
export class CursorProblem extends HttpApiError.Problem<CursorProblem>()(
  "CursorProblem",
  { type: urn("cursor"), status: 400, title: "The cursor can't be used" },
  { reason: Schema.Literals(["malformed", "foreign"]) }
) {}

/** The request has no valid token or session. */
export class UnauthorizedProblem extends HttpApiError.Problem<UnauthorizedProblem>()("UnauthorizedProblem", {
  type: urn("unauthorized"),
  status: 401,
  title: "A token is needed"
}) {}

/** The request comes from a page of another origin, or uses a host name that is not this server's. */
export class ForbiddenProblem extends HttpApiError.Problem<ForbiddenProblem>()("ForbiddenProblem", {
  type: urn("forbidden"),
  status: 403,
  title: "The request is not allowed"
}) {}

/** The resource does not exist; `what` names its kind. */
export class NotFoundProblem extends HttpApiError.Problem<NotFoundProblem>()(
  "NotFoundProblem",
  { type: urn("not-found"), status: 404, title: "Not found" },
  {
    what: Schema.Literals(["connection", "content", "body", "run", "task", "webhook", "message", "token", "path"])
  }
) {}

export class MethodNotAllowedProblem extends HttpApiError.Problem<MethodNotAllowedProblem>()(
  "MethodNotAllowedProblem",
  { type: urn("method-not-allowed"), status: 405, title: "The method is not allowed" },
  { allowed: Schema.Array(Schema.String) }
) {}

/**
 * The present state does not allow the request, for example a reused `Idempotency-Key`, or a resume without
 * credentials.
 */
export class ConflictProblem extends HttpApiError.Problem<ConflictProblem>()("ConflictProblem", {
  type: urn("conflict"),
  status: 409,
  title: "The present state does not allow this"
}) {}

/** Another connection has this name. */
export class NameTakenProblem extends HttpApiError.Problem<NameTakenProblem>()(
  "NameTakenProblem",
  { type: urn("name-taken"), status: 409, title: "The name is taken" },
  { name: Schema.String }
) {}

/** The cursor was valid once. The reader has to begin again without a cursor. */
export class CursorGoneProblem extends HttpApiError.Problem<CursorGoneProblem>()("CursorGoneProblem", {
  type: urn("cursor-gone"),
  status: 410,
  title: "The cursor is no longer valid"
}) {}

/** The body has another entity tag than `If-Match` requires. */
export class PreconditionFailedProblem extends HttpApiError.Problem<PreconditionFailedProblem>()(
  "PreconditionFailedProblem",
  { type: urn("precondition-failed"), status: 412, title: "It has changed" }
) {}

export class PayloadTooLargeProblem extends HttpApiError.Problem<PayloadTooLargeProblem>()("PayloadTooLargeProblem", {
  type: urn("payload-too-large"),
  status: 413,
  title: "The body is too large"
}) {}

export class UnsupportedMediaTypeProblem extends HttpApiError.Problem<UnsupportedMediaTypeProblem>()(
  "UnsupportedMediaTypeProblem",
  { type: urn("unsupported-media-type"), status: 415, title: "The body must be JSON" }
) {}

export class RangeProblem extends HttpApiError.Problem<RangeProblem>()(
  "RangeProblem",
  { type: urn("range"), status: 416, title: "The body has no such range" },
  { size: Schema.Int }
) {}

/** The request is valid, but can't be carried out. `detail` says why, and what to do next. */
export class UsageProblem extends HttpApiError.Problem<UsageProblem>()(
  "UsageProblem",
  { type: urn("usage"), status: 422, title: "The request can't be carried out" },
  {
    /** True if the change is possible together with new credentials. */
    needsCredentials: Schema.optionalKey(Schema.Boolean),
    /** The ids of a retry that are not in the ledger. */
    notInLedger: Schema.optionalKey(Schema.Array(Schema.String)),
    /** The wrong fields of a config or of credentials. */
    errors: Schema.optionalKey(Schema.Array(FieldError))
  }
) {}

/** The source refused. */
export class SourceRefusedProblem extends HttpApiError.Problem<SourceRefusedProblem>()(
  "SourceRefusedProblem",
  { type: urn("source-refused"), status: 422, title: "The source refused" },
  { reason: Schema.String }
) {}

/** Too many wrong tokens from this address. `retryAfter` is in seconds, like the header `Retry-After`. */
export class TooManyRequestsProblem extends HttpApiError.Problem<TooManyRequestsProblem>()(
  "TooManyRequestsProblem",
  { type: urn("too-many-requests"), status: 429, title: "Too many wrong tokens" },
  { retryAfter: Schema.Int }
) {}

/** A defect. The log has the reason under this `id`. */
export class UnexpectedProblem extends HttpApiError.Problem<UnexpectedProblem>()(
  "UnexpectedProblem",
  { type: urn("unexpected"), status: 500, title: "Unexpected error" },
  { id: Schema.String }
) {}

/** The source did not answer, or asked to wait. */
export class SourceAwayProblem extends HttpApiError.Problem<SourceAwayProblem>()(
  "SourceAwayProblem",
  { type: urn("source-away"), status: 502, title: "The source does not answer" },
  { reason: Schema.String }
) {}

/** The database can't be reached, or the process is shutting down. */
export class UnavailableProblem extends HttpApiError.Problem<UnavailableProblem>()("UnavailableProblem", {
  type: urn("unavailable"),
  status: 503,
  title: "Not now"
}) {}

/** Problems that any endpoint may return. */
export const common = [
  BadRequestProblem,
  UnauthorizedProblem,
  ForbiddenProblem,
  PayloadTooLargeProblem,
  UnsupportedMediaTypeProblem,
  TooManyRequestsProblem,
  UnexpectedProblem,
  UnavailableProblem
] as const

type ProblemOf<E> = E extends CursorInvalid
  ? CursorProblem | CursorGoneProblem
  : E extends NameTaken
    ? NameTakenProblem
    : E extends UsageError
      ? UsageProblem
      : E extends SourceError
        ? SourceRefusedProblem | SourceAwayProblem
        : E extends StoreError
          ? UnavailableProblem
          : E

/** Reasons after which the source may succeed later. */
const passing = new Set(["Transient", "RateLimited", "Timeout"])

/** Returns the problem for an error of the engine. Returns any other error unchanged. */
export const problemOf = (error: unknown): unknown => {
  if (error instanceof CursorInvalid) {
    return error.reason === "gone"
      ? new CursorGoneProblem({ detail: error.message })
      : new CursorProblem({ reason: error.reason, detail: error.message })
  }
  if (error instanceof NameTaken) {
    return new NameTakenProblem({
      name: error.name,
      detail: `a connection with this name exists already: choose another name`
    })
  }
  if (error instanceof UsageError) {
    const { errors, message, needsCredentials, notInLedger } = error
    return new UsageProblem({
      detail: message,
      ...(needsCredentials === undefined ? {} : { needsCredentials }),
      ...(notInLedger === undefined ? {} : { notInLedger }),
      ...(errors === undefined ? {} : { errors })
    })
  }
  if (error instanceof SourceError) {
    return passing.has(error.reason)
      ? new SourceAwayProblem({ reason: error.reason, detail: error.message })
      : new SourceRefusedProblem({ reason: error.reason, detail: error.message })
  }
  if (error instanceof StoreError) return new UnavailableProblem({ detail: error.message })
  return error
}

/** Maps the engine's errors to problems. A handler's own problems stay unchanged. */
export const asProblem = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, ProblemOf<E>, R> =>
  // The cast is correct because `problemOf` maps each error to the problem in `ProblemOf`.
  Effect.mapError(work, (error) => problemOf(error) as ProblemOf<E>)

/** Returns the headers that a problem's status requires. */
const headersOf = (problem: unknown): Record<string, string> => {
  if (problem instanceof UnauthorizedProblem) return { "www-authenticate": 'Bearer realm="idem"' }
  if (problem instanceof TooManyRequestsProblem) return { "retry-after": String(problem.retryAfter) }
  if (problem instanceof MethodNotAllowedProblem) return { allow: problem.allowed.join(", ") }
  if (problem instanceof RangeProblem) return { "content-range": `bytes */${problem.size}` }
  return {}
}

/** Makes a response of a problem, with these headers. */
export const toResponse = (
  problem: HttpServerRespondable.Respondable
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.map(HttpServerRespondable.toResponse(problem), HttpServerResponse.setHeaders(headersOf(problem)))
