/** The endpoints of stored contents and their changes. */
import * as Effect from "effect/Effect"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ExternalId } from "../../contract/Content.ts"
import { ContentState } from "../../engine/model/Content.ts"
import {
  CursorGoneProblem,
  CursorProblem,
  NotFoundProblem,
  PreconditionFailedProblem,
  RangeProblem,
  UsageProblem
} from "../Problems.ts"
import { connectionRef, Instant, limit, NoSecrets, wholeNumber } from "../Parameters.ts"
import { Authenticated } from "../security/Authenticated.ts"
import { Change, ContentRow } from "../../engine/feed/ChangeDocument.ts"
import { LedgerRow } from "../connections/ConnectionDocuments.ts"
import * as Documents from "./ContentDocuments.ts"
import { Named } from "./ContentNames.ts"

/** The longest that a request for changes may wait, in seconds. */
const longestWait = 60

/** The `next` of an earlier page: the list continues after it. */
export const Cursor = Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 10_000)))

/** A text that a title contains. */
export const TitleText = Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 1000)))

/** A content of a list, with its author, its channel, and the names of the users and channels that it mentions. */
const ListedRow = Schema.Struct({ ...ContentRow.fields, ...Named.fields }).annotate({ identifier: "ListedRow" })
export const ListedContent = Schema.Struct({ ...Documents.Content.fields, ...Named.fields }).annotate({
  identifier: "ListedContent"
})

/** A content, with its ledger row if it has one. */
export const ContentWithFailure = Schema.Struct({ ...ListedContent.fields, failure: Schema.NullOr(LedgerRow) })

/** A page of a content's text. */
export const ContentText = Schema.Struct({
  /** The text; null if no text could be extracted, or not yet. */
  text: Schema.NullOr(Schema.String),
  /** The number of characters of the whole text. */
  length: Schema.Int,
  /** The offset of the next page, or null. */
  next: Schema.NullOr(Schema.Int)
})

/** A content of a conversation, with the beginning of its text. */
export const ThreadMessage = Schema.Struct({ ...ListedContent.fields, text: Schema.NullOr(Schema.String) }).annotate({
  identifier: "ThreadMessage"
})

/** The filter, the order and the cursor of a page of contents. */
const contentQuery = {
  state: ContentState.pipe(Schema.withDecodingDefaultKey(Effect.succeed("stored"))),
  kind: Schema.optionalKey(Schema.String),
  since: Schema.optionalKey(Instant),
  until: Schema.optionalKey(Instant),
  text: Schema.optionalKey(TitleText),
  order: Schema.Literals(["id", "newest"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("id"))),
  limit: limit(1000, 100),
  after: Schema.optionalKey(Cursor)
}

const offset = (description: string) =>
  wholeNumber(0, 100_000_000)
    .pipe(Schema.withDecodingDefaultKey(Effect.succeed(0)))
    .annotate({ description })

const optionalHeader = (description: string) => Schema.optionalKey(Schema.String).annotate({ description })

/** The conditions and the range for a body (RFC 9110, sections 13 and 14). */
const rangeHeaders = {
  range: optionalHeader("one range of bytes, like `bytes=0-1023`"),
  "if-range": optionalHeader("the ETag of the body that the range belongs to"),
  "if-match": optionalHeader("the ETags that the body may have"),
  "if-none-match": optionalHeader("the ETags of the bodies that the client has")
}

/** Adds to the OpenAPI document the responses that the handler makes itself. */
const withPartialAnswers = (operation: Record<string, unknown>): Record<string, unknown> => {
  const responses = operation["responses"] as Record<string, object>
  return {
    ...operation,
    responses: {
      ...responses,
      206: { ...responses["200"], description: "The requested range" },
      304: { description: "Not modified" }
    }
  }
}

export const contents = HttpApiGroup.make("contents")
  .add(
    HttpApiEndpoint.get("list", "/connections/:connection/contents", {
      params: connectionRef,
      query: contentQuery,
      success: Schema.Struct({ contents: Schema.Array(ListedRow), next: Schema.NullOr(Schema.String) }),
      error: [NotFoundProblem, CursorProblem, CursorGoneProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "List contents by state, kind, time and text in the title, one page at a time"),
    HttpApiEndpoint.get("listInFull", "/connections/:connection/contents/full", {
      params: connectionRef,
      query: contentQuery,
      success: Schema.Struct({ contents: Schema.Array(ListedContent), next: Schema.NullOr(Schema.String) }),
      error: [NotFoundProblem, CursorProblem, CursorGoneProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "List contents with all their fields, for an export"),
    HttpApiEndpoint.get("get", "/connections/:connection/content", {
      params: connectionRef,
      query: { externalId: ExternalId },
      success: ContentWithFailure,
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "One content, without its body"),
    HttpApiEndpoint.get("text", "/connections/:connection/content/text", {
      params: connectionRef,
      query: {
        externalId: ExternalId,
        offset: offset("where the page begins: `next` of the previous page")
      },
      success: ContentText,
      error: [NotFoundProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "The text that was extracted from one content, 100,000 characters at a time"),
    HttpApiEndpoint.get("thread", "/connections/:connection/content/thread", {
      params: connectionRef,
      query: {
        externalId: ExternalId,
        limit: limit(1000, 100),
        offset: offset("how many of the newest messages to skip: `next` of the previous answer")
      },
      success: Schema.Struct({ messages: Schema.Array(ThreadMessage), next: Schema.NullOr(Schema.Int) }),
      error: [NotFoundProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "The conversation of an email or a message: its newest messages, oldest first"),
    HttpApiEndpoint.get("body", "/connections/:connection/content/body", {
      params: connectionRef,
      query: { externalId: ExternalId },
      headers: rangeHeaders,
      success: HttpApiSchema.StreamUint8Array(),
      error: [NotFoundProblem, PreconditionFailedProblem, RangeProblem]
    })
      .annotateMerge(OpenApi.annotations({ transform: withPartialAnswers }))
      .annotate(
        OpenApi.Summary,
        "Download the body of one content: whole (200), a range (206), or not if the client has it (304, by ETag)"
      ),
    HttpApiEndpoint.get("changes", "/changes", {
      query: {
        after: Schema.optionalKey(Cursor),
        connection: Schema.optionalKey(connectionRef.connection),
        limit: limit(1000, 100),
        wait: wholeNumber(0, longestWait)
          .pipe(Schema.withDecodingDefaultKey(Effect.succeed(0)))
          .annotate({ description: `how many seconds to wait for the first change, at most ${longestWait}` })
      },
      success: Schema.Struct({ changes: Schema.Array(Change), next: Schema.String }),
      error: [NotFoundProblem, CursorProblem, CursorGoneProblem]
    }).annotate(
      OpenApi.Summary,
      "The changes after a cursor, in order: content that was stored, updated, deleted or undeleted. Continue at `next`"
    )
  )
  .annotate(NoSecrets, true)
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Contents")
  .annotate(OpenApi.Description, "Stored content, and its changes")
