/** Endpoints on the schema `mirror`. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { FeedHolder } from "../../engine/model/Change.ts"
import { NoSecrets, wholeNumber } from "../Parameters.ts"
import { UsageProblem } from "../Problems.ts"
import { Authenticated } from "../security/Authenticated.ts"

/** A read-only query in PostgreSQL's SQL. */
export const Query = Schema.String.pipe(
  Schema.check(
    Schema.isBetweenLength(1, 100_000, { message: "it must have 1 to 100,000 characters: make a view of its parts" })
  )
)

const QueryRequest = Schema.Struct({
  query: Query,
  /** The most rows to return. Default: 1,000. */
  limit: Schema.optionalKey(wholeNumber(1, 100_000))
})

export const QueryResult = Schema.Struct({
  columns: Schema.Array(Schema.String),
  /** Each row has the values of the columns, in order. */
  rows: Schema.Array(Schema.Array(Schema.Json)),
  /** True if there may be more rows than were returned. */
  truncated: Schema.Boolean
}).annotate({ identifier: "QueryResult" })
export type QueryResult = typeof QueryResult.Type

/** How far the schema, and search, are behind the stored contents. */
export const Lag = Schema.Struct({
  /** The number of changes that are not derived yet, at most 10,000. */
  behind: Schema.Int,
  /** Seconds since the oldest of these changes; 0 if there is none. */
  lagSeconds: Schema.Finite,
  /** The number of contents whose text is not extracted yet, at most 10,000. */
  unread: Schema.Int,
  /** The number of contents whose present state search does not find yet, at most 10,000. */
  unindexed: Schema.Int,
  /** True while all rows are being derived again. */
  rebuilding: Schema.Boolean,
  /** The transaction that the feed waits for; null if no transaction writes. */
  feedHolder: Schema.NullOr(FeedHolder)
}).annotate({ identifier: "MirrorLag" })
export type Lag = typeof Lag.Type

export const mirror = HttpApiGroup.make("mirror")
  .add(
    HttpApiEndpoint.post("query", "/sql", {
      payload: QueryRequest,
      success: QueryResult,
      error: UsageProblem
    }).annotate(OpenApi.Summary, "Run a read-only query on the schema mirror"),
    HttpApiEndpoint.get("lag", "/mirror", { success: Lag, error: UsageProblem }).annotate(
      OpenApi.Summary,
      "How far the schema mirror is behind what is stored"
    )
  )
  .annotate(NoSecrets, true)
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Mirror")
  .annotate(OpenApi.Description, "Stored content as tables")
