/** The endpoints of read tokens, which agents use. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { NoSecrets } from "../Parameters.ts"
import { NotFoundProblem, UsageProblem } from "../Problems.ts"
import { Authenticated } from "../security/Authenticated.ts"

/** The name of a read token. */
export const Name = Schema.String.pipe(
  Schema.check(
    Schema.isPattern(/^[\w. -]{1,100}$/, { message: "a token's name has 1 to 100 letters, digits, spaces and . _ -" })
  )
)

const Time = Schema.DateTimeUtcFromString

/** A read token, without its secret. */
export const ReadToken = Schema.Struct({
  name: Schema.String,
  /** The names of the connections that it may read; null for all. */
  connections: Schema.NullOr(Schema.Array(Schema.String)),
  createdAt: Time,
  /** When it was last used, to the minute; null if never. */
  usedAt: Schema.NullOr(Time)
}).annotate({ identifier: "ReadToken" })
export type ReadToken = typeof ReadToken.Type

export const tokens = HttpApiGroup.make("tokens")
  .add(
    HttpApiEndpoint.get("list", "/tokens", {
      success: Schema.Struct({ tokens: Schema.Array(ReadToken) }),
      error: UsageProblem
    }).annotate(OpenApi.Summary, "List the read tokens"),
    HttpApiEndpoint.post("create", "/tokens", {
      payload: Schema.Struct({
        name: Name,
        /** Connections by name or id. Default: all, including later ones. */
        connections: Schema.optionalKey(Schema.NonEmptyArray(Schema.String))
      }),
      success: Schema.Struct({ name: Schema.String, token: Schema.String }),
      error: [NotFoundProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "Create a read token, for /mcp and /search. Only this answer has it"),
    HttpApiEndpoint.delete("revoke", "/tokens/:name", {
      params: { name: Schema.String },
      success: HttpApiSchema.NoContent,
      error: [NotFoundProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "Revoke a token at once")
  )
  .annotate(NoSecrets, true)
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Read tokens")
  .annotate(OpenApi.Description, "Read tokens, for agents")
