/** A stand-in as the harness uses it: it changes, it fails, and it knows what has to be stored. */
import type * as Schema from "effect/Schema"
import type { Deed, Domain } from "./Schedule.ts"
import type { Tally } from "./Tally.ts"

/** A content as the database has it, with the bytes of its body. */
export interface StoredRow {
  readonly externalId: string
  readonly kind: string
  readonly revision: string | null
  readonly metadata: Schema.JsonObject
  /** Whether a listing of the present scope has shown it. */
  readonly isListed: boolean
  readonly body: Uint8Array
  /** Where the body is: beside its row, or as a blob in the folder or in the database. */
  readonly place: "row" | "folder" | "database"
}

/** How a scope is narrowed. */
interface Narrowed {
  readonly config: Schema.JsonObject
  /** The stored ids that are outside now. They stay stored, since no listing shows them any more. */
  readonly outside: ReadonlySet<string>
}

export interface ChaosSource {
  readonly domain: Domain
  readonly config: Schema.JsonObject
  readonly credentials: Schema.JsonObject
  /** The faults that were ordered, and those that struck. */
  readonly tally: Tally
  /** Called before each request is answered. */
  onRequest: () => void
  /** Does something to the source, and says what. */
  readonly change: (deed: Deed) => string
  /** Orders a fault, and says which. */
  readonly fault: (deed: Deed) => string
  /** Removes most of its items at once; `forgets`: also what would tell of that. Returns their ids. */
  readonly vanish?: (forgets: boolean) => ReadonlyArray<string>
  /** Undoes the disappearance of one of these items, or removes one more. Returns the ids that are missing now. */
  readonly reconsider?: (vanished: ReadonlyArray<string>) => ReadonlyArray<string>
  /** Puts a few items where `narrow` leaves them out, if the seed ends with that. */
  readonly scatter?: () => void
  /** Leaves a part of the source out of the scope. */
  readonly narrow?: () => Narrowed
  /** Has the listing that is under way begin again under another name. */
  readonly restart?: (which: number) => string
  /** Takes back all faults that are left. */
  readonly heal: () => void
  /** How what is stored differs from the source, in words; nothing where it does not. */
  readonly differences: (stored: ReadonlyMap<string, StoredRow>) => ReadonlyArray<string>
  /** Ids that a person may force. */
  readonly ids: () => ReadonlyArray<string>
  /**
   * Requests for bodies so far, and how many of them may be: one for each version of an item, and those that faults or
   * timeouts have spoilt. Undefined where every poll downloads everything.
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
