/**
 * Reads pages of `messages.list`, without the chats. If the user has no query, the request does not exclude chats: a
 * search index, which may lag behind the mailbox by days, evaluates `q` (anthropics/claude-code#82548,
 * anthropics/claude-ai-mcp#239), and a message that it leaves out would be missed, or count as deleted. So chats are
 * recognized by the list of their label.
 */
import * as Effect from "effect/Effect"
import type { Position } from "./Checkpoint.ts"
import { chatLabel } from "./Config.ts"
import * as LabelCursor from "./LabelCursor.ts"
import type { Source } from "./ListingStep.ts"

/** The position of a listing: the token of its next page, and the position in the list of chats. */
interface Place {
  readonly pageToken?: string | undefined
  readonly chats?: Position | undefined
}

/**
 * Reads a page. Returns all of its ids, and the ids that are not chats. `opened` is the list of chats if an earlier
 * page opened it; otherwise it is opened at its position. No list is needed if chats are included, or the query
 * excludes them.
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
