/** Changes of content, and the places of readers among them. */
import * as Schema from "effect/Schema"
import type { ConnectionId } from "./Connection.ts"
import type { ContentRow } from "./Content.ts"

/**
 * A time of this database's during which transaction ids only grow. One that was restored, copied or moved begins another,
 * and places in the changes of the one before mean nothing any more.
 */
export interface Epoch {
  /** The database's own id: a copy of a database has it too. */
  readonly databaseId: string
  /** 1 for a database that was just created, one more with each epoch after: for people. */
  readonly number: number
  /** No other epoch has it, of whatever database. */
  readonly id: string
}

/**
 * A place in the order of the changes, which is that of (transaction, connection, external id): just after the row that it
 * names, or before all rows of the transaction where it names none.
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
  /** As it is now, `stored` or `deleted`: what the ledger has against it is not part of its changes. */
  readonly content: ContentRow
}

export interface ChangePage {
  readonly epoch: Epoch
  readonly changes: ReadonlyArray<Change>
  /** Where to go on: after the last of `changes`, or, where no more are visible yet, where those that come will be. */
  readonly next: ChangePlace
  /** False where these are all that are visible now: a reader has to wait for more. */
  readonly more: boolean
  /** `after` lies ahead of all that this database has done: it can't have come from it, and `changes` is empty. */
  readonly isAhead: boolean
}
