/**
 * The listing of a label's messages beside the listing of all messages: which ids of a page have the label.
 *
 * Both come newest first, so that for one page of all messages only a few pages of the label must be kept: those on
 * which its ids were last found, and one more to look ahead. A label's page is passed once an id of it was found, so an
 * id that is in the label's list but not among all messages (it arrived or left meanwhile) delays nothing.
 */
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Api, Filter } from "./Api.ts"
import type { Position } from "./Checkpoint.ts"

/**
 * Pages of one label that are kept in memory at a time. An id that is still unmatched on an older page belongs to a
 * message that the listing of all messages does not show, so the page can be dropped.
 */
const maxPages = 3

interface LabelPage {
  /** Its place among the label's pages that were loaded. */
  readonly at: number
  readonly token: string | undefined
  readonly ids: Set<string>
  found: boolean
}

export interface Cursor {
  readonly label: string
  readonly pages: Array<LabelPage>
  /** The token of the page after the last one that was loaded; undefined at the end. */
  next: string | undefined
}

/** Where the listing is, for the checkpoint. */
export const position = ({ pages }: Cursor): Position => {
  const token = pages[0]?.token
  return { ...(token === undefined ? {} : { token }), pages: pages.length }
}

/** Opens the listing of a label where it was left. */
export const open = Effect.fnUntraced(function* (api: Api, filter: Filter, label: string, position: Position) {
  const cursor: Cursor = { label, pages: [], next: position.token }
  for (let page = 0; page < position.pages && (page === 0 || cursor.next !== undefined); page++) {
    yield* load(api, filter, cursor)
  }
  return cursor
})

/**
 * Removes the ids that have the label from the loaded pages, and returns them. Loads more pages while the last one has
 * some of the ids.
 */
export const take = Effect.fnUntraced(function* (api: Api, filter: Filter, cursor: Cursor, ids: ReadonlySet<string>) {
  const taken = new Set<string>()
  const find = (page: LabelPage) => {
    for (const id of page.ids) {
      if (!ids.has(id)) continue
      taken.add(id)
      page.ids.delete(id)
      page.found = true
    }
  }
  cursor.pages.forEach(find)
  for (let last = cursor.pages.at(-1); last?.found === true && cursor.next !== undefined; last = cursor.pages.at(-1)) {
    const loaded = yield* load(api, filter, cursor)
    find(loaded)
  }
  // The loaded pages have no gap, so that a checkpoint can store them as a token and a number of pages. The page before
  // the oldest page in use stays too: if the walk continues under tokens that shift, ids that moved up are still found.
  const end = cursor.pages.at(-1)?.at ?? 0
  const oldest = cursor.pages.findIndex(({ at, ids }) => at > end - maxPages && (ids.size > 0 || at === end))
  cursor.pages.splice(0, Math.max(0, oldest - 1))
  if (cursor.next === undefined && cursor.pages.every(({ ids }) => ids.size === 0)) cursor.pages.length = 0
  return taken
})

const load = (api: Api, filter: Filter, cursor: Cursor): Effect.Effect<LabelPage, IntegrationError> =>
  api.messages({ ...filter, labelIds: [...(filter.labelIds ?? []), cursor.label] }, { pageToken: cursor.next }).pipe(
    // A label that was removed since the walk began is no label any more: no message has it.
    Effect.catch((error) =>
      cursor.next === undefined && (error.reason._tag === "Malformed" || error.reason._tag === "Gone")
        ? Effect.succeed({ messages: [], nextPageToken: undefined })
        : Effect.fail(error)
    ),
    Effect.map((list) => {
      const page: LabelPage = {
        at: (cursor.pages.at(-1)?.at ?? -1) + 1,
        token: cursor.next,
        ids: new Set((list.messages ?? []).map((message) => message.id)),
        found: false
      }
      cursor.pages.push(page)
      cursor.next = list.nextPageToken
      return page
    })
  )
