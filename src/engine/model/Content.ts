/** The model of stored content, the ledger, and staged deletions in the stores. */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import type { Metadata, Ref } from "../../contract/Content.ts"

export const LedgerState = Schema.Literals(["failed", "dead", "deferred"])

/** A row of the ledger. */
export interface LedgerRow {
  readonly externalId: string
  readonly state: typeof LedgerState.Type
  readonly revision: string | undefined
  readonly reason: string
  readonly message: string
  readonly attempts: number
  readonly nextAttemptAt: DateTime.Utc | null
}

export const ContentState = Schema.Literals(["stored", "failed", "dead", "gone", "deferred", "deleted"])
export type ContentState = typeof ContentState.Type

/** A content in a list. `hash` is SHA-256 in hex; null, and `size` 0, if nothing was ever stored. */
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

/**
 * A position in a list of contents: just after the content with this external id or, in the order `newest`, with these
 * fields.
 */
export interface ContentPlace {
  readonly externalId: string
  readonly occurredAt: DateTime.Utc | null
}

/** The filter, the order and the size of a page of contents. */
export interface ContentSelection {
  readonly state: ContentState
  readonly limit: number
  /**
   * `id` (the default): by external id, in byte order. `newest`: by `occurredAt`, latest first and unknown times last;
   * within one time by external id, in descending byte order.
   */
  readonly order?: "id" | "newest" | undefined
  readonly kind?: string | undefined
  /**
   * Selects by `occurredAt`: since inclusive, until exclusive. Content without a known time is never selected by a
   * window.
   */
  readonly since?: DateTime.Utc | undefined
  readonly until?: DateTime.Utc | undefined
  /** Text in the title, case-insensitive. */
  readonly text?: string | undefined
  /** The `next` of the previous page of the same selection. */
  readonly after?: ContentPlace | undefined
}

/** Bytes from `start` (inclusive) to `end` (exclusive). The range is cut at the end of the body. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * A page of a selection. `next` is the position of the next page, or null at the end. With `kind` or `text` a page may
 * hold fewer rows than `limit`, or none, and still have a `next`, because a page reads a bounded number of rows
 * (`ContentStore.contents`).
 */
export interface ContentPage {
  readonly contents: ReadonlyArray<ContentRow>
  readonly next: ContentPlace | null
}

/** A staged deletion: how it was found, and when. */
interface StagedDeletion {
  readonly externalId: string
  readonly kind: string | null
  readonly title: string | null
  readonly occurredAt: DateTime.Utc | null
  readonly cause: "event" | "absence"
  readonly stagedAt: DateTime.Utc
}

/** The first staged deletions, by external id. */
export interface StagedDeletions {
  readonly deletions: ReadonlyArray<StagedDeletion>
  /** The number of all staged deletions. */
  readonly total: number
  /** Identifies the set of all staged ids. It changes when an id is added or removed. */
  readonly token: string
}

/**
 * Which staged deletions may be applied now. Deletions of a pass that has completed may always be applied: the store
 * marks those (`PageEnd.complete`).
 */
export interface Readiness {
  /** True if the changes were read to their end: deletions that only they reported may be applied. */
  readonly changes: boolean
  /**
   * True if the listing ended: deletions that its pages reported may be applied. Absences wait for the end of their
   * pass.
   */
  readonly listing: boolean
}

/** The numbers of deleted contents, gone ids, and unreferenced bodies that a purge removed. */
export interface Purged {
  readonly deleted: number
  readonly gone: number
  readonly bodies: number
  readonly bytes: number
}

/** Returns the ref of a ledger row, for `download`. */
export const refOf = (row: LedgerRow): Ref => ({ externalId: row.externalId, revision: row.revision })
