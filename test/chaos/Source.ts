/** What the harness needs of a stand-in: changes, faults, and the truth to compare with. */
import type * as Schema from "effect/Schema"
import type { Deed, Domain } from "./Schedule.ts"

/** One content as the database has it, with the bytes of its body. */
export interface StoredRow {
  readonly externalId: string
  readonly kind: string
  readonly revision: string | null
  readonly metadata: Schema.JsonObject
  readonly body: Uint8Array
}

export interface ChaosSource {
  readonly domain: Domain
  readonly config: Schema.JsonObject
  readonly credentials: Schema.JsonObject
  /** Called before each request is answered. */
  onRequest: () => void
  /** Does something to the source, and says what. */
  readonly change: (deed: Deed) => string
  /** Orders a fault, and says which. */
  readonly fault: (deed: Deed) => string
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

/** What is wrong with the ids alone. */
export const compareIds = (
  stored: ReadonlyMap<string, StoredRow>,
  expected: ReadonlySet<string>
): ReadonlyArray<string> => [
  ...[...expected].filter((id) => !stored.has(id)).map((id) => `${id} is lost`),
  ...[...stored.keys()].filter((id) => !expected.has(id)).map((id) => `${id} is stored, and not at the source`)
]

export const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0
