/** The cursor of `idem contents --after`: opaque to people, and good for its own connection only. */
import * as Base64Url from "effect/encoding/Base64Url"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ExternalId } from "../contract/Content.ts"
import type { ConnectionId } from "../engine/Store.ts"

const Cursor = Schema.fromJsonString(Schema.Tuple([Schema.String, ExternalId]))
const encodeText = Schema.encodeSync(Cursor)
const decodeText = Schema.decodeUnknownResult(Cursor)

/** The place after this id. */
export const encode = (connectionId: ConnectionId, externalId: string): string =>
  Base64Url.encode(encodeText([connectionId, externalId]))

/** The id to go on after, or why this cursor can't be used here. */
export const decode = (connectionId: ConnectionId, cursor: string): Result.Result<string, string> => {
  const text = Base64Url.decodeString(cursor)
  const decoded = Result.isSuccess(text) ? decodeText(text.success) : undefined
  if (decoded === undefined || Result.isFailure(decoded)) {
    return Result.fail("it is no cursor: take the `next` of the page before")
  }
  const [owner, externalId] = decoded.success
  return owner === connectionId
    ? Result.succeed(externalId)
    : Result.fail("it belongs to another connection: take the `next` of this connection's own page")
}
