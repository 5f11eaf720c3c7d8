/** Changes of content, and positions in the feed of changes. */
import * as Schema from "effect/Schema"
import type { ConnectionId } from "./Connection.ts"
import type { ContentRow } from "./Content.ts"

/**
 * A period of the database in which transaction ids only grow. A restored, copied or moved database begins a new epoch,
 * in which earlier positions are invalid.
 */
export interface Epoch {
  /** The database's own id: a copy of a database has it too. */
  readonly databaseId: string
  /** The number of the epoch, shown to people: 1 for a new database, and one more for each later epoch. */
  readonly number: number
  /** The id of the epoch, unique among all epochs of all databases. */
  readonly id: string
}

/**
 * A position in the order of changes (transaction, connection, external id): just after the row that it names or,
 * without a row, before all rows of the transaction.
 */
export interface ChangePlace {
  /** The id of a transaction, 0 to 2^64 - 1. */
  readonly transaction: bigint
  readonly row: { readonly connectionId: ConnectionId; readonly externalId: string } | null
}

export const ChangeKind = Schema.Literals(["stored", "updated", "deleted", "undeleted"])
export type ChangeKind = typeof ChangeKind.Type

/** The latest change of one content. */
export interface Change {
  readonly place: ChangePlace
  readonly connectionId: ConnectionId
  readonly change: ChangeKind
  /** The transactions in which the content became `stored` and last became `undeleted`; null if never or unknown. */
  readonly became: { readonly stored: bigint | null; readonly undeleted: bigint | null }
  /** The present content, `stored` or `deleted`. Ledger states are not part of changes. */
  readonly content: ContentRow
}

/**
 * Returns the latest change of this content that is of one of these kinds and is new to a reader who has seen
 * everything before the transaction `since`. Returns undefined if there is none. Content that was stored and then
 * updated is `stored` for a reader of that kind alone. Deleted content has no other change than `deleted`.
 */
export const latestOf = (
  kinds: ReadonlyArray<ChangeKind>,
  { became, change }: Change,
  since: bigint
): ChangeKind | undefined => {
  if (kinds.includes(change)) return change
  if (change === "deleted") return undefined
  return (["undeleted", "stored"] as const).find((kind) => {
    // For a reader from the beginning (0), all content is new, even if the time of its storing is unknown.
    const transaction = became[kind] ?? (kind === "stored" ? 0n : -1n)
    return kinds.includes(kind) && transaction >= since
  })
}

export interface ChangePage {
  readonly epoch: Epoch
  readonly changes: ReadonlyArray<Change>
  /** The position to continue from: after the last of `changes`, or where later changes will appear. */
  readonly next: ChangePlace
  /** False if these are all visible changes: the reader has to wait for more. */
  readonly more: boolean
  /**
   * True if `after` is ahead of every transaction of this database, so that it must come from another one. Then
   * `changes` is empty.
   */
  readonly isAhead: boolean
}

/** The oldest transaction that writes to the database. The feed shows no change made after its start until it ends. */
export const FeedHolder = Schema.Struct({
  /** How long the transaction has been open, in seconds. */
  seconds: Schema.Finite,
  /**
   * The process id of the transaction's session in the server; null for a prepared transaction, which has no session.
   */
  process: Schema.NullOr(Schema.Int),
  /** The session's own name (`application_name`), or the name of the prepared transaction. */
  application: Schema.NullOr(Schema.String)
}).annotate({ identifier: "FeedHolder" })
export type FeedHolder = typeof FeedHolder.Type
