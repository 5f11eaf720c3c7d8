/** The API client of commands, derived from the endpoints: for this process or over the network. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CommandApi } from "../CommandApi.ts"

/** The server can't be used. The message names `IDEM_URL` and says what to do next. */
export class ServerError extends Schema.TaggedError<ServerError>()("ServerError", {
  reason: Schema.Literals(["Unreachable", "Unauthorized", "Forbidden", "TooManyRequests", "NotIdem", "OtherVersion"]),
  message: Schema.String,
  /** The name of the setting that is missing, if that is the cause. */
  setting: Schema.optionalKey(Schema.String)
}) {}

export class ApiClient extends Context.Service<ApiClient, HttpApiClient.ForApi<typeof CommandApi, ServerError>>()(
  "idem/http/client/ApiClient"
) {}

/** A body broke off. */
export class BodyError extends Schema.TaggedError<BodyError>()("BodyError", {
  message: Schema.String,
  cause: Schema.Defect()
}) {}

/** Returns the original error: the client wraps the error of a stream, and the reason is in its causes. */
const rootOf = (error: unknown): unknown =>
  Predicate.hasProperty(error, "reason") && typeof error.reason === "object"
    ? rootOf(error.reason)
    : Predicate.hasProperty(error, "cause") && error.cause instanceof Error
      ? rootOf(error.cause)
      : error

interface Body {
  /** The SHA-256 in hex. */
  readonly hash: string
  readonly size: number
  readonly bytes: Stream.Stream<Uint8Array, BodyError>
}

/** Reads the body of one content. The hash and the size are those of its bytes. */
export const body = Effect.fnUntraced(function* (connection: string, externalId: string) {
  const api = yield* ApiClient
  const [bytes, { headers }] = yield* api.contents.body({
    params: { connection },
    query: { externalId },
    headers: {},
    responseMode: "decoded-and-response"
  })
  const broken = (error: unknown) => {
    const root = rootOf(error)
    const why = root instanceof Error && root.message !== "" ? root.message : "the connection broke off"
    return new BodyError({ message: `the bytes of ${JSON.stringify(externalId)} can't be read: ${why}`, cause: error })
  }
  return {
    hash: (headers["etag"] ?? "").replaceAll('"', ""),
    size: Number(headers["content-length"]),
    bytes: Stream.mapError(bytes, broken)
  } satisfies Body
})
