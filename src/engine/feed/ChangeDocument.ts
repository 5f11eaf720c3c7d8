/** A change of content as JSON: the same in the feed, in webhooks and in the API. */
import * as Schema from "effect/Schema"
import type * as Model from "../model/Change.ts"
import { ConnectionId } from "../model/Connection.ts"
import * as ContentModel from "../model/Content.ts"

const Time = Schema.DateTimeUtcFromString

export const ContentRow = Schema.Struct({
  externalId: Schema.String,
  kind: Schema.NullOr(Schema.String),
  state: ContentModel.ContentState,
  revision: Schema.NullOr(Schema.String),
  hash: Schema.NullOr(Schema.String),
  size: Schema.Int,
  title: Schema.NullOr(Schema.String),
  occurredAt: Schema.NullOr(Time),
  updatedAt: Time
}).annotate({ identifier: "ContentRow" })
export type ContentRow = typeof ContentRow.Type

/** A change of content. An id that has changed again is reported once, with its latest change. */
export const Change = Schema.Struct({
  connection: ConnectionId,
  change: Schema.Literals(["stored", "updated", "deleted", "undeleted"]),
  content: ContentRow,
  /** The cursor at which a reader continues after this change. */
  cursor: Schema.String
}).annotate({ identifier: "Change" })
export type Change = typeof Change.Type

export const contentRow = (of: ContentModel.ContentRow): ContentRow => ({
  externalId: of.externalId,
  kind: of.kind,
  state: of.state,
  revision: of.revision,
  hash: of.hash,
  size: of.size,
  title: of.title,
  occurredAt: of.occurredAt,
  updatedAt: of.updatedAt
})

export const change = ({ change, connectionId, content }: Model.Change, cursor: string): Change => ({
  connection: connectionId,
  change,
  content: contentRow(content),
  cursor
})
