/**
 * Decides when deletions are applied, and when they are held for a person. Stores only stage, count, apply and hold
 * them.
 *
 * - A deletion is staged with the page that found it: either the source reported it (an event), or a listing covered
 *   the id and did not show it (an absence). An id that is seen again is unstaged.
 * - A staged deletion is ready once everything that belongs to it has been read: an event when the reading of the
 *   changes has ended, an absence when the pass over the source is complete (`Page.complete`). Both may take many
 *   slices and polls. Until then no deletion is applied, so that a source that loses everything is noticed before the
 *   first one. If the source no longer has the rest of the changes, their events wait for the pass that replaces the
 *   reading.
 * - Ready deletions are applied together if they are few, or a small share of the content that was stored when the
 *   first reading or pass that found one of them began. Otherwise all of them are held. Held deletions count together
 *   with later ones. They are held until a person approves them, or the id is seen again.
 * - A deletion does not count if the content moved, that is, if another stored content has its body key
 *   (`Content.bodyKey`). So a renamed mailbox is not a loss of its messages.
 * - After a change of scope, stored content can't be absent until a listing has shown it under the new scope
 *   (`ContentStore.changeScope`).
 */
import * as Effect from "effect/Effect"
import type { Page } from "../../contract/Page.ts"
import type { Limits } from "../Limits.ts"
import type { Readiness } from "../model/Content.ts"
import type { RunId } from "../model/Run.ts"
import type { DeletionStore } from "../store/DeletionStore.ts"
import type { Fence } from "../store/Fence.ts"

/** Returns true if the passes over the source are complete with this page. */
export const completesPass = ({ complete, covers = [], listing }: Page<unknown>): boolean =>
  listing !== undefined && (complete === true || covers.some(({ prefix }) => prefix === ""))

/** How far a slice has read, in numbers of pages. The first page is 1. */
export interface Reading {
  readonly pages: number
  /** The page at which the changes ended; undefined until then. */
  readonly changes: number | undefined
  /** The last page of the listing; undefined until the listing ends. */
  readonly listing: number | undefined
  /** True if the source no longer has the rest of the changes, and is listed in full instead. */
  readonly isAbandoned: boolean
}

export const nothingRead: Reading = { pages: 0, changes: undefined, listing: undefined, isAbandoned: false }

/** Adds a page. The changes end before the first page of a listing. */
export const withPage = (reading: Reading, page: Page<unknown>): Reading => ({
  ...reading,
  pages: reading.pages + 1,
  changes: page.listing === undefined ? undefined : (reading.changes ?? reading.pages)
})

/** Marks the end of the changes and of the listing. */
export const ended = (reading: Reading): Reading => ({
  ...reading,
  changes: reading.changes ?? reading.pages,
  listing: reading.pages
})

/**
 * Returns which staged deletions may be applied once the first `committed` pages are committed. A page that lost an
 * item is never committed.
 */
export const readiness = ({ changes, isAbandoned, listing }: Reading, committed: number): Readiness => ({
  changes: !isAbandoned && changes !== undefined && changes <= committed,
  listing: listing !== undefined && listing <= committed
})

/**
 * Returns true if a person has to decide about this number of deletions. `stored` is the number of contents before
 * them.
 */
export const areTooMany = (
  { deletions, stored }: { readonly deletions: number; readonly stored: number },
  limits: Pick<Limits, "deletions" | "deletionShare">
): boolean => deletions > limits.deletions && deletions > stored * limits.deletionShare

/** Applies the deletions that are ready, or holds them. Returns how many were deleted, and how many are held now. */
export const applyOrHold = Effect.fnUntraced(function* (options: {
  readonly deletions: DeletionStore["Service"]
  readonly fence: Fence
  readonly limits: Limits
  readonly readiness: Readiness
  /** The id of the run's row; undefined for a run without one. */
  readonly runId: RunId | undefined
}) {
  const { deletions, fence, limits, readiness, runId } = options
  const { held, moved, waiting } = yield* deletions.readyDeletions(fence.connectionId, readiness)
  if (waiting === 0) return { deleted: 0, held }
  const found = waiting - moved + held
  // The stored contents are counted only if the number of deletions alone does not decide, and only up to the number at
  // which the deletions become a small share.
  const enough = Math.min(Math.ceil(found / limits.deletionShare) + 1, Number.MAX_SAFE_INTEGER)
  const stored =
    found > limits.deletions ? yield* deletions.storedBeforeDeletions(fence.connectionId, readiness, enough) : Infinity
  if (areTooMany({ deletions: found, stored }, limits)) {
    return { deleted: 0, held: yield* deletions.holdDeletions(fence, readiness) }
  }
  return { deleted: yield* deletions.applyDeletions(fence, readiness, runId), held }
})
