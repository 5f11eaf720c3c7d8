/**
 * Reads the listing of a label's messages in parallel with the listing of all messages, to find which ids of a page
 * have the label.
 *
 * Both listings are newest first, so for one page of all messages only a few pages of the label are needed: the pages
 * in which its ids were last found, and one page ahead. A page of the label is done once one of its ids was found, so
 * an id that is only in the label's list (its message arrived or left meanwhile) does not block the walk.
 */
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Api } from "./Api.ts"
import type { Filter } from "./Config.ts"
import type { Position } from "./Checkpoint.ts"

/**
 * The most pages of one label in memory. An id that is still unmatched on an older page belongs to a message that the
 * listing of all messages does not show, so the page can be dropped.
 */
const maxPages = 3

interface LabelPage {
  /** The index of the page among the label's loaded pages. */
  readonly at: number
  readonly token: string | undefined
  /** The ids of the page that were not found yet. */
  readonly ids: ReadonlySet<string>
  /** True once one of its ids was found. */
  readonly isFound: boolean
}

export interface Cursor {
  readonly label: string
  readonly pages: ReadonlyArray<LabelPage>
  /** The token of the page after the last loaded one; undefined at the end. */
  readonly next: string | undefined
}

/** The cursors of a label walk (see LabelRebuild.ts). */
export interface Walk {
  readonly cursors: ReadonlyArray<Cursor>
  /** The labels of this walk. Some are listed; others (those of messages that are left out) are only set to null. */
  readonly labels: ReadonlyArray<string>
  /** The last label of this walk, if other labels are left for another walk. */
  readonly more: string | undefined
}

/** Returns the position of the listing, for the checkpoint. */
export const position = ({ pages }: Cursor): Position => {
  const token = pages[0]?.token
  return { ...(token === undefined ? {} : { token }), pages: pages.length }
}

/** Opens the listing of a label at a position. */
export const open = Effect.fnUntraced(function* (api: Api, filter: Filter, label: string, position: Position) {
  let cursor: Cursor = { label, pages: [], next: position.token }
  for (let page = 0; page < position.pages && (page === 0 || cursor.next !== undefined); page++) {
    cursor = yield* load(api, filter, cursor)
  }
  return cursor
})

/**
 * Finds the ids that have the label, and returns them with the advanced cursor. Loads more pages while the last one has
 * some of the ids.
 */
export const take = Effect.fnUntraced(function* (
  api: Api,
  filter: Filter,
  from: Cursor,
  ids: ReadonlySet<string>
): Effect.fn.Return<{ readonly found: ReadonlySet<string>; readonly cursor: Cursor }, IntegrationError> {
  const found = new Set<string>()
  const match = (page: LabelPage): LabelPage => {
    const matching = [...page.ids].filter((id) => ids.has(id))
    for (const id of matching) found.add(id)
    if (matching.length === 0) return page
    return { ...page, ids: new Set([...page.ids].filter((id) => !ids.has(id))), isFound: true }
  }
  let cursor: Cursor = { ...from, pages: from.pages.map(match) }
  while (cursor.pages.at(-1)?.isFound === true && cursor.next !== undefined) {
    const { pages, ...rest } = yield* load(api, filter, cursor)
    cursor = { ...rest, pages: [...cursor.pages, ...pages.slice(-1).map(match)] }
  }
  // The loaded pages have no gap, so that a checkpoint can store them as a token and a number of pages. The page before
  // the oldest page in use stays too: if the walk continues under tokens that shift, ids that moved up are still found.
  const end = cursor.pages.at(-1)?.at ?? 0
  const oldest = cursor.pages.findIndex(({ at, ids }) => at > end - maxPages && (ids.size > 0 || at === end))
  const isOver = cursor.next === undefined && cursor.pages.every(({ ids }) => ids.size === 0)
  return { found, cursor: { ...cursor, pages: isOver ? [] : cursor.pages.slice(Math.max(0, oldest - 1)) } }
})

/** Returns the cursor with the next page of its label loaded. */
const load = (api: Api, filter: Filter, cursor: Cursor): Effect.Effect<Cursor, IntegrationError> =>
  api.messages({ ...filter, labelIds: [...(filter.labelIds ?? []), cursor.label] }, { pageToken: cursor.next }).pipe(
    // If a label was removed since the walk began, no message has it.
    Effect.catch((error) =>
      cursor.next === undefined && (error.reason._tag === "Malformed" || error.reason._tag === "Gone")
        ? Effect.succeed({ messages: [], nextPageToken: undefined })
        : Effect.fail(error)
    ),
    Effect.map(({ messages = [], nextPageToken }) => {
      const page: LabelPage = {
        at: (cursor.pages.at(-1)?.at ?? -1) + 1,
        token: cursor.next,
        ids: new Set(messages.map(({ id }) => id)),
        isFound: false
      }
      return { ...cursor, pages: [...cursor.pages, page], next: nextPageToken }
    })
  )
