/** Lists of a connection's contents by cursor. */
import * as Effect from "effect/Effect"
import * as Cursor from "./Cursor.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { ContentRow, ContentSelection } from "../model/Content.ts"
import { Store, type StoreError } from "../Store.ts"

/** A selection of contents, after a cursor. */
export type Query = Omit<ContentSelection, "after" | "order"> & {
  readonly order: "id" | "newest"
  readonly after?: string | undefined
}

/** One page, and the cursor of the next page or null; see `Store.contents`. */
export const list = Effect.fnUntraced(function* (
  connectionId: ConnectionId,
  query: Query
): Effect.fn.Return<
  { readonly contents: ReadonlyArray<ContentRow>; readonly next: string | null },
  Cursor.CursorInvalid | StoreError,
  Store
> {
  const store = yield* Store
  const { after: cursor, ...selection } = query
  const list = { epoch: yield* store.epoch, connectionId, order: query.order }
  const after = cursor === undefined ? undefined : yield* Cursor.contentPlace(list, cursor)
  const { contents, next } = yield* store.contents(connectionId, { ...selection, after })
  return { contents, next: next === null ? null : Cursor.ofContent(list, next) }
})
