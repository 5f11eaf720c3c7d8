/** A batch: the content of one transaction, and its outcomes. */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { Metadata } from "../../contract/Content.ts"
import type { Coverage, Patch, Problem } from "../../contract/Page.ts"
import type { PartMove } from "../../contract/Parts.ts"
import { RunId } from "./Run.ts"
import { Counts } from "./RunCounts.ts"
import { TaskId } from "./Task.ts"

/**
 * The bytes of a body: inline in the database, or in the blob store under their hash. `Kept` is the body of another
 * content, which is already stored in either place.
 */
export type StoredBody =
  | { readonly _tag: "Inline"; readonly hash: Uint8Array; readonly bytes: Uint8Array }
  | { readonly _tag: "Blob"; readonly hash: Uint8Array; readonly size: number }
  | { readonly _tag: "Kept"; readonly hash: Uint8Array; readonly size: number }

/** A content to write, downloaded and hashed. */
export interface Item {
  readonly externalId: string
  readonly revision: string | undefined
  readonly kind: string
  readonly title: string | undefined
  readonly occurredAt: DateTime.Utc | undefined
  readonly mediaType: string | undefined
  readonly metadata: Metadata
  readonly volatile: Metadata
  readonly body: StoredBody
  /** The key by which copies of this content are found (`Content.bodyKey`). */
  readonly bodyKey?: string | undefined
}

/** A stored content that another content may copy: all fields of an item except its id and its revision. */
export interface CopySource extends Omit<Item, "externalId" | "revision" | "body"> {
  readonly body: Extract<StoredBody, { readonly _tag: "Kept" }>
}

/** The outcome of writing an item. `unchanged`: body and stable metadata equal what is stored. */
export type WriteOutcome = "stored" | "updated" | "unchanged"

/**
 * The change of an id in the ledger, for an item that was not stored. `failed` adds an attempt and is due again after
 * `retryIn` (undefined: the item is dead). `deferred` costs no attempt and is due at the next poll. `gone` removes the
 * id from what is known (content that was stored is staged for deletion instead).
 *
 * If an item's revision differs from the ledger's, its attempts start again.
 */
export interface LedgerUpdate {
  readonly externalId: string
  readonly revision: string | undefined
  readonly outcome: "failed" | "deferred" | "gone"
  readonly reason: string
  readonly message: string
  /** Attempts after this one, as the engine counted them; for `failed` only. */
  readonly attempts: number
  /** The delay before the next attempt; undefined means dead. For `failed` only. */
  readonly retryIn: Duration.Duration | undefined
}

/** Returns the ledger state of an item that was not stored. */
export const ledgerState = ({
  outcome,
  retryIn
}: Pick<LedgerUpdate, "retryIn"> & { readonly outcome: "failed" | "deferred" }) =>
  outcome === "deferred" ? "deferred" : retryIn === undefined ? "dead" : "failed"

/** The end of one or more pages, committed with the last of their items. */
export interface PageEnd {
  readonly checkpoint: Schema.Json
  /** The digest of the scope in which the checkpoint was made. */
  readonly scope: string
  /** Parts to set or to remove, each key once. */
  readonly parts: ReadonlyArray<PartMove<Schema.Json>>
  /**
   * True if the listing began without a checkpoint. Then all stored parts are removed first. If the checkpoint is the
   * connection's own, absences that an unfinished listing found are removed too, and deletions from an unfinished
   * reading of the changes wait for the new pass.
   */
  readonly forgetsParts: boolean
  readonly deleted: ReadonlyArray<string>
  readonly patches: ReadonlyArray<Patch>
  /** The listed ids. */
  readonly seen: ReadonlyArray<string>
  /** The id of the listing that the pages belong to. */
  readonly listing: string | undefined
  readonly covers: ReadonlyArray<Coverage>
  /** True if the passes over the source are complete with these pages (see `Deletions.completesPass`). */
  readonly complete: boolean
}

/** The contents of one transaction. */
export interface Batch {
  /** The id of the run's row; undefined for a quiet run, which has no row. */
  readonly runId: RunId | undefined
  /** The task whose own checkpoint moves; undefined for the live task, whose checkpoint is the connection's. */
  readonly taskId: TaskId | undefined
  /** The items that were downloaded. An external id occurs at most once in `items` and `ledgerUpdates` together. */
  readonly items: ReadonlyArray<Item>
  /**
   * Ids of `items` and `ledgerUpdates` that a page listed. The others were retried or forced by id: a listing of the
   * present scope may never have shown them.
   */
  readonly listed: ReadonlyArray<string>
  /**
   * True if the pages belong to a listing of the connection's present scope, so that listed ids come into the scope.
   * False for a task that keeps its own checkpoint and lists under a changed config before any poll has.
   */
  readonly inScope: boolean
  readonly ledgerUpdates: ReadonlyArray<LedgerUpdate>
  /** Ids of a forced task that are done. The task skips them when it resumes. */
  readonly done: ReadonlyArray<string>
  readonly page: PageEnd | undefined
  /** The counts that this batch adds to the run. The store adds the outcomes of `items`, and `patched`. */
  readonly counts: Partial<Counts>
  readonly problems: ReadonlyArray<Problem>
}

export interface Committed {
  /** The outcome of each item, by external id. */
  readonly outcomes: ReadonlyMap<string, WriteOutcome>
  /** The number of rows that the patches changed. */
  readonly patched: number
}
