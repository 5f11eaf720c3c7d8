/** Stored content, the ledger, and staged deletions as a store gives them. */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import type { Metadata, Ref } from "../../contract/Content.ts"

/** One row of the ledger. */
export interface LedgerRow {
  readonly externalId: string
  readonly state: "failed" | "dead" | "deferred"
  readonly revision: string | undefined
  readonly reason: string
  readonly message: string
  readonly attempts: number
  readonly nextAttemptAt: DateTime.Utc | null
}

export const ContentState = Schema.Literals(["stored", "failed", "dead", "gone", "deferred", "deleted"])
export type ContentState = typeof ContentState.Type

/** One content as it is listed. `hash` is SHA-256 in hex; null and 0 where nothing was ever stored. */
export interface ContentRow {
  readonly externalId: string
  readonly kind: string | null
  readonly state: ContentState
  readonly revision: string | null
  readonly hash: string | null
  readonly size: number
  readonly title: string | null
  readonly mediaType: string | null
  readonly occurredAt: DateTime.Utc | null
  readonly metadata: Metadata
  readonly volatile: Metadata
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

/** A place in a list of contents: just after the content that it names. By external id alone, or by both. */
export interface ContentPlace {
  readonly externalId: string
  readonly occurredAt: DateTime.Utc | null
}

/** Which contents are listed, in which order, and how many. */
export interface ContentSelection {
  readonly state: ContentState
  readonly limit: number
  /**
   * `id` (where it is left out): by external id, in the order of bytes. `newest`: by `occurredAt`, the latest first and
   * unknown times last; those of one time by external id, the last in the order of bytes first.
   */
  readonly order?: "id" | "newest" | undefined
  readonly kind?: string | undefined
  /** By `occurredAt`: since inclusive, until exclusive. What has no known time is in no such window. */
  readonly since?: DateTime.Utc | undefined
  readonly until?: DateTime.Utc | undefined
  /** In the title, whatever the case. */
  readonly text?: string | undefined
  /** The `next` of the page before, of the same selection. */
  readonly after?: ContentPlace | undefined
}

/** Bytes from `start` up to but not including `end`; what lies beyond the end of the body is not there. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * A page of a selection. `next` is where to go on, or null at the end. By `kind` or `text` a page may hold fewer rows than
 * `limit`, or none, and still have a `next`: a page looks at no more than so many rows (`Store.contents`).
 */
export interface ContentPage {
  readonly contents: ReadonlyArray<ContentRow>
  readonly next: ContentPlace | null
}

/** A content that is to be deleted: how that was found, and since when. */
interface StagedDeletion {
  readonly externalId: string
  readonly kind: string | null
  readonly title: string | null
  readonly occurredAt: DateTime.Utc | null
  readonly cause: "event" | "absence"
  readonly stagedAt: DateTime.Utc
}

/** Staged deletions by external id, the first of them. */
export interface StagedDeletions {
  readonly deletions: ReadonlyArray<StagedDeletion>
  /** How many there are, whatever is listed here. */
  readonly total: number
  /** Stands for just these ids, all of them: another one if an id came or left. */
  readonly token: string
}

/**
 * Which staged deletions are complete. Those of passes that were complete (`PageEnd.complete`) are, whatever is said
 * here.
 */
export interface Complete {
  /** The reading of the changes came to its end, and so did all that only it told. */
  readonly changes: boolean
  /** The listing came to its end: the events that its pages told are complete too. Absences wait for their pass. */
  readonly listing: boolean
}

/** What a purge took away: what deleted contents held, ids that were gone, and bodies that nothing else names. */
export interface Purged {
  readonly deleted: number
  readonly gone: number
  readonly bodies: number
  readonly bytes: number
}

/** Refs of ledger rows, for `download`. */
export const refOf = (row: LedgerRow): Ref => ({ externalId: row.externalId, revision: row.revision })
