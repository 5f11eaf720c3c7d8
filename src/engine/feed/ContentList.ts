/** Lists the contents of a connection, with the cursors of the API. */
import * as Effect from "effect/Effect"
import * as Cursor from "./Cursor.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { ContentRow, ContentSelection } from "../model/Content.ts"
import { ContentStore } from "../store/ContentStore.ts"
import { FeedStore } from "../store/FeedStore.ts"
import type { StoreError } from "../store/StoreError.ts"

/** A selection of contents, after a cursor. */
export type Query = Omit<ContentSelection, "after" | "order"> & {
  readonly order: "id" | "newest"
  readonly after?: string | undefined
}

/** Returns a page, and the cursor of the next page or null; see `ContentStore.contents`. */
export const list = Effect.fnUntraced(function* (
  connectionId: ConnectionId,
  query: Query
): Effect.fn.Return<
  { readonly contents: ReadonlyArray<ContentRow>; readonly next: string | null },
  Cursor.CursorInvalid | StoreError,
  ContentStore | FeedStore
> {
  const feedStore = yield* FeedStore
  const { after: cursor, ...selection } = query
  const list = { epoch: yield* feedStore.epoch, connectionId, order: query.order }
  const after = cursor === undefined ? undefined : yield* Cursor.contentPlace(list, cursor)
  const { contents, next } = yield* (yield* ContentStore).contents(connectionId, { ...selection, after })
  return { contents, next: next === null ? null : Cursor.ofContent(list, next) }
})
