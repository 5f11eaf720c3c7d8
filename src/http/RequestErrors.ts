/**
 * The API's middleware for requests that do not fit an endpoint's schemas. It also declares the problems that any
 * endpoint may return.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpApiError from "effect/http-api/HttpApiError"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import type * as Layer from "effect/Layer"
import * as ConfigErrors from "../engine/source/ConfigErrors.ts"
import { NoSecrets } from "./Parameters.ts"
import * as Problems from "./Problems.ts"

export class RequestErrors extends HttpApiMiddleware.Service<RequestErrors>()("idem/http/RequestErrors", {
  error: Problems.common
}) {}

const places = {
  Params: "path",
  Headers: "headers",
  Query: "query",
  Payload: "body",
  Body: "answer",
  ResponseHeaders: "answer"
}

/**
 * Names the wrong fields of a request. The problem never repeats values. With `secret` it does not repeat unknown field
 * names either, because a credential may be in their place.
 */
export const badRequest = (error: HttpApiError.HttpApiSchemaError, secret: boolean): Problems.BadRequestProblem => {
  const place = places[error.kind]
  const { issue } = error.cause
  const isJson = !(error.kind === "Payload" && issue._tag === "InvalidValue")
  const message = isJson ? ConfigErrors.explain(issue, { secret }) : "it is not JSON"
  return new Problems.BadRequestProblem({
    detail: `${place}: ${message}${secret ? "; see /reference" : ""}`,
    errors: isJson ? ConfigErrors.fieldErrors(place, issue, { secret }) : [{ place, message }]
  })
}

/**
 * Fails with a `BadRequestProblem` for a request that can't be decoded. A response that can't be encoded is a defect.
 */
export const layer: Layer.Layer<RequestErrors> = HttpApiMiddleware.layerSchemaErrorTransform(
  RequestErrors,
  (error, { endpoint, group }) =>
    error.kind === "Body" || error.kind === "ResponseHeaders"
      ? Effect.die(error)
      : Effect.fail(badRequest(error, !Context.get(Context.merge(group.annotations, endpoint.annotations), NoSecrets)))
)
