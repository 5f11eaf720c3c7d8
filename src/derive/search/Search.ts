/** Full-text search over mirrored content. PostgreSQL only. */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { UsageError } from "../../engine/Engine.ts"
import type { CursorInvalid } from "../../engine/feed/Cursor.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"

/** Words that name a field before a colon in a query. */
export const fields = "from to cc bcc subject in label is has filename kind after before".split(" ")

/** Returns words before a colon that name no field, as in `frm:bob`. A query searches them as words of the text. */
export const unknownFields = (query: string): ReadonlyArray<string> => {
  const found = query.matchAll(/(?:^|\s)-?([a-z]+):(?![\s/]|$)/gi)
  return [...new Set(Array.from(found, ([, name = ""]) => name))].filter((name) => !fields.includes(name.toLowerCase()))
}

export interface Query {
  /** The query: words, "phrases", -excluded, OR, and fields such as `from:ann`; empty matches everything. */
  readonly text: string
  /** Searches only these connections; undefined: all. */
  readonly connectionIds?: ReadonlyArray<ConnectionId> | undefined
  readonly kind?: string | undefined
  readonly from?: string | undefined
  /** Selects by the time of the content: since inclusive, until exclusive. */
  readonly since?: DateTime.Utc | undefined
  readonly until?: DateTime.Utc | undefined
  readonly limit: number
  /** The `next` of the previous page, of the same query. */
  readonly after?: string | undefined
}

interface Result {
  readonly connectionId: ConnectionId
  /** The connection's name. */
  readonly connection: string
  readonly externalId: string
  readonly kind: string | null
  readonly title: string | null
  readonly from: string | null
  readonly occurredAt: DateTime.Utc | null
  /** A part of the text around the matching words. */
  readonly snippet: string | null
  /** The positions of these words in the snippet: start and end, in UTF-16 units. */
  readonly highlights: ReadonlyArray<readonly [number, number]>
  readonly score: number
}

export interface Results {
  readonly results: ReadonlyArray<Result>
  readonly next: string | null
}

export interface Search {
  readonly search: (query: Query) => Effect.Effect<Results, StoreError | UsageError | CursorInvalid>
}

const unavailable = new UsageError({ message: "search needs PostgreSQL: this store is in memory" })

/** The search of this database. The default is for stores without SQL. */
export const Search = Context.Reference<Search>("idem/derive/search/Search", {
  defaultValue: () => ({ search: () => unavailable })
})
