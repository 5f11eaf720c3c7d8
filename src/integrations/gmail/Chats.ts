/**
 * Takes chats out of a listing. Without a query of the user's, a listing has none: `q` is answered by a search index
 * that may lag behind the mailbox by days (anthropics/claude-code#82548, anthropics/claude-ai-mcp#239), and a message
 * that it leaves out would be missed, or taken for deleted. So chats are known by the list of their label.
 */
import * as Effect from "effect/Effect"
import type { Position } from "./Checkpoint.ts"
import { chatLabel } from "./Config.ts"
import * as LabelCursor from "./LabelCursor.ts"
import type { Source } from "./ListingStep.ts"

/**
 * Opens the list of chats where it was left, or at its beginning; undefined where chats are listed, or a query says.
 */
export const open = ({ api, filter }: Pick<Source, "api" | "filter">, position: Position | undefined) =>
  filter.includeChats === true || filter.query !== undefined
    ? Effect.succeed(undefined)
    : LabelCursor.open(api, filter, chatLabel, position ?? { pages: 1 })

/** The ids of a page that are no chats, and where the list of chats is after it. */
export const without = Effect.fnUntraced(function* (
  { api, filter }: Pick<Source, "api" | "filter">,
  chats: LabelCursor.Cursor | undefined,
  ids: ReadonlyArray<string>
) {
  if (chats === undefined) return { ids, position: {} }
  const found = yield* LabelCursor.take(api, filter, chats, new Set(ids))
  return { ids: ids.filter((id) => !found.has(id)), position: { chats: LabelCursor.position(chats) } }
})
