/** A stand-in as used by the harness: it changes, it fails, and it computes what must be stored. */
import type * as Schema from "effect/Schema"
import type { Deed, Domain } from "./Schedule.ts"
import type { Tally } from "./Tally.ts"

/** A content in the database, with the bytes of its body. */
export interface StoredRow {
  readonly externalId: string
  readonly kind: string
  readonly revision: string | null
  readonly metadata: Schema.JsonObject
  /** True if a listing of the present scope has shown the content. */
  readonly isListed: boolean
  readonly body: Uint8Array
  /** The place of the body: beside its row, or as a blob in the folder or in the database. */
  readonly place: "row" | "folder" | "database"
}

/** The result of narrowing a scope. */
interface Narrowed {
  readonly config: Schema.JsonObject
  /** The stored ids that are now outside of the scope. They stay stored, because no listing shows them any more. */
  readonly outside: ReadonlySet<string>
}

export interface ChaosSource {
  readonly domain: Domain
  readonly config: Schema.JsonObject
  readonly credentials: Schema.JsonObject
  /** Counts the faults that were ordered, and those that occurred. */
  readonly tally: Tally
  /** Called before each request is answered. */
  onRequest: () => void
  /** Changes the source, and returns a description of the change. */
  readonly change: (deed: Deed) => string
  /** Orders a fault, and returns its name. */
  readonly fault: (deed: Deed) => string
  /** Removes most of the items at once; with `forgets`, also the records that would report that. Returns their ids. */
  readonly vanish?: (forgets: boolean) => ReadonlyArray<string>
  /** Restores one of the removed items, or removes one more. Returns the ids that are missing now. */
  readonly reconsider?: (vanished: ReadonlyArray<string>) => ReadonlyArray<string>
  /** Adds a few items outside of the narrowed scope, if the seed ends with `narrow`. */
  readonly scatter?: () => void
  /** Excludes a part of the source from the scope. */
  readonly narrow?: () => Narrowed
  /** Makes the present listing begin again under another name. */
  readonly restart?: (which: number) => string
  /** Removes all remaining faults. */
  readonly heal: () => void
  /** Describes the differences between the stored content and the source; empty if there are none. */
  readonly differences: (stored: ReadonlyMap<string, StoredRow>) => ReadonlyArray<string>
  /** Ids that a person may force. */
  readonly ids: () => ReadonlyArray<string>
  /**
   * The number of requests for bodies so far, and the number allowed: one for each version of an item, and one for each
   * body that a fault or timeout damaged. Undefined if every poll downloads everything.
   */
  readonly downloads: () => { readonly made: number; readonly due: number } | undefined
}

/** Returns the differences of the ids alone. */
export const compareIds = (
  stored: ReadonlyMap<string, StoredRow>,
  expected: ReadonlySet<string>
): ReadonlyArray<string> => [
  ...[...expected].filter((id) => !stored.has(id)).map((id) => `${id} is lost`),
  ...[...stored.keys()].filter((id) => !expected.has(id)).map((id) => `${id} is stored, and not at the source`)
]

export const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0
