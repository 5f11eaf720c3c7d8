/** The endpoint of full-text search over all mirrored content. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { CursorGoneProblem, CursorProblem, NotFoundProblem, UsageProblem } from "../Problems.ts"
import { connectionRef, Instant, limit, NoSecrets } from "../Parameters.ts"
import { Cursor } from "../contents/ContentEndpoints.ts"
import { Named } from "../contents/ContentNames.ts"
import { Authenticated } from "../security/Authenticated.ts"

/** A query. */
export const Query = Schema.String.pipe(Schema.check(Schema.isMaxLength(2000)))
/** A sender or a kind. */
export const Word = Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 300)))

/** A content that a search found. */
export const SearchResult = Schema.Struct({
  /** The connection's name, and its id. */
  connection: Schema.String,
  connectionId: ConnectionId,
  externalId: Schema.String,
  kind: Schema.NullOr(Schema.String),
  title: Schema.NullOr(Schema.String),
  ...Named.fields,
  occurredAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** A part of the text around the matching words, as plain text. */
  snippet: Schema.NullOr(Schema.String),
  /** The positions of the matching words in the snippet: start and end, in UTF-16 units. */
  highlights: Schema.Array(Schema.Tuple([Schema.Int, Schema.Int])),
  /** Higher is better. Scores are comparable only within one search. */
  score: Schema.Finite
}).annotate({ identifier: "SearchResult" })

export const searches = HttpApiGroup.make("searches")
  .add(
    HttpApiEndpoint.get("search", "/search", {
      query: {
        q: Query.annotate({
          description:
            'words, "phrases", -excluded, OR, and fields: from: to: subject: in: label: filename: has:attachment before: after: is:deleted'
        }),
        connection: Schema.optionalKey(connectionRef.connection),
        from: Schema.optionalKey(Word),
        kind: Schema.optionalKey(Word),
        since: Schema.optionalKey(Instant),
        until: Schema.optionalKey(Instant),
        limit: limit(100, 20),
        after: Schema.optionalKey(Cursor)
      },
      success: Schema.Struct({ results: Schema.Array(SearchResult), next: Schema.NullOr(Schema.String) }),
      error: [NotFoundProblem, CursorProblem, CursorGoneProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "Search contents by words, best results first, one page at a time")
  )
  .annotate(NoSecrets, true)
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Search")
  .annotate(OpenApi.Description, "Full-text search over what is stored")
