/** Contents as API documents. */
import * as Schema from "effect/Schema"
import { contentRow, ContentRow } from "../../engine/feed/ChangeDocument.ts"
import type * as Model from "../../engine/model/Content.ts"

const Time = Schema.DateTimeUtcFromString

export const Content = Schema.Struct({
  ...ContentRow.fields,
  createdAt: Time,
  mediaType: Schema.NullOr(Schema.String),
  metadata: Schema.JsonObject,
  volatile: Schema.JsonObject
}).annotate({ identifier: "Content" })
export type Content = typeof Content.Type

/** Makes the document of one content, without its body. */
export const content = (of: Model.ContentRow): Content => ({
  ...contentRow(of),
  createdAt: of.createdAt,
  mediaType: of.mediaType,
  metadata: of.metadata,
  volatile: of.volatile
})
