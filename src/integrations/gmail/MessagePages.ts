/**
 * Pages of `messages.list`, without the chats. Without a query of the user's, the request does not leave out chats: `q`
 * is answered by a search index that may lag behind the mailbox by days (anthropics/claude-code#82548,
 * anthropics/claude-ai-mcp#239), and a message that it leaves out would be missed, or taken for deleted. So chats are
 * known by the list of their label.
 */
import * as Effect from "effect/Effect"
import type { Position } from "./Checkpoint.ts"
import { chatLabel } from "./Config.ts"
import * as LabelCursor from "./LabelCursor.ts"
import type { Source } from "./ListingStep.ts"

/** Where a listing is: the token of its next page, and the position in the list of chats. */
interface Place {
  readonly pageToken?: string | undefined
  readonly chats?: Position | undefined
}

/**
 * Reads a page: all of its ids, and those that are no chats. `opened` is the list of chats once an earlier page opened
 * it; else it is opened at its place. No list is needed where chats are listed, or where the query leaves them out.
 */
export const read = Effect.fnUntraced(function* (
  { api, filter }: Pick<Source, "api" | "filter">,
  { chats: position = { pages: 1 }, pageToken }: Place,
  opened: LabelCursor.Cursor | undefined
) {
  const { messages = [], nextPageToken, resultSizeEstimate } = yield* api.messages(filter, { pageToken })
  const all = messages.map(({ id }) => id)
  const answer = { all, nextPageToken, resultSizeEstimate }
  if (filter.includeChats === true || filter.query !== undefined) {
    return { ...answer, ids: all, chats: undefined, position: {} }
  }
  const from = opened ?? (yield* LabelCursor.open(api, filter, chatLabel, position))
  const { cursor: chats, found } = yield* LabelCursor.take(api, filter, from, new Set(all))
  const ids = all.filter((id) => !found.has(id))
  return { ...answer, ids, chats, position: { chats: LabelCursor.position(chats) } }
})
