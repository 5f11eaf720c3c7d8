/**
 * When deletions are applied, and when they are held back for a person. This is decided here and nowhere else; stores
 * only stage, count, apply and hold them.
 *
 * - A deletion is staged with the page that found it: the source told it (an event), or a listing covered the id and
 *   did not show it (an absence). An id that is seen again leaves the stage.
 * - A staged deletion is ready once all that was read with it is read: an event of the changes when the reading of
 *   the changes came to its end, an absence when the pass over the source is complete (`Page.complete`). Both may take
 *   many slices and polls. Until then nothing is applied, so that a source which loses everything is noticed whole. If
 *   the source forgets the rest of the changes, their events wait for the pass that takes the place of the reading.
 * - Ready deletions are applied together if they are few, or a small share of what was stored when the first reading
 *   or pass that found one of them began; else all of them are held. What is held counts with what comes later, and
 *   only a person or the id itself, seen again, ends that.
 * - What moved does not count: a content whose body key (`Content.bodyKey`) another stored content has. A mailbox that
 *   was renamed is no loss of its messages.
 * - After a change of scope nothing that was stored before is absent until a listing has shown it under the new scope
 *   (`ContentStore.changeScope`).
 */
import * as Effect from "effect/Effect"
import type { Page } from "../../contract/Page.ts"
import type { Limits } from "../Limits.ts"
import type { Readiness } from "../model/Content.ts"
import type { RunId } from "../model/Run.ts"
import type { DeletionStore } from "../store/DeletionStore.ts"
import type { Fence } from "../store/Fence.ts"

/** True if the passes over the source are complete with this page. */
export const completesPass = ({ complete, covers = [], listing }: Page<unknown>): boolean =>
  listing !== undefined && (complete === true || covers.some(({ prefix }) => prefix === ""))

/** How far a slice has read, by the numbers of its pages: 1 for the first. */
export interface Reading {
  readonly pages: number
  /** The page with which the changes were read; undefined while they go on. */
  readonly changes: number | undefined
  /** The last page of the listing; undefined until it came to its end. */
  readonly listing: number | undefined
  /** True if the changes were left unread: the source has forgotten them, and is listed in full instead. */
  readonly isAbandoned: boolean
}

export const nothingRead: Reading = { pages: 0, changes: undefined, listing: undefined, isAbandoned: false }

/** With one more page. The changes end where a page of a listing follows them. */
export const withPage = (reading: Reading, page: Page<unknown>): Reading => ({
  ...reading,
  pages: reading.pages + 1,
  changes: page.listing === undefined ? undefined : (reading.changes ?? reading.pages)
})

/** Nothing is left to list. */
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

/** True for so many deletions that a person has to decide. `stored` is what was stored before them. */
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
  /** Undefined for a run that has no row. */
  readonly runId: RunId | undefined
}) {
  const { deletions, fence, limits, readiness, runId } = options
  const { held, moved, waiting } = yield* deletions.readyDeletions(fence.connectionId, readiness)
  if (waiting === 0) return { deleted: 0, held }
  const found = waiting - moved + held
  // The stored contents are counted only if the number of deletions does not decide alone, and only as far as it takes
  // to decide: from there on the deletions are a small share.
  const enough = Math.min(Math.ceil(found / limits.deletionShare) + 1, Number.MAX_SAFE_INTEGER)
  const stored =
    found > limits.deletions ? yield* deletions.storedBeforeDeletions(fence.connectionId, readiness, enough) : Infinity
  if (areTooMany({ deletions: found, stored }, limits)) {
    return { deleted: 0, held: yield* deletions.holdDeletions(fence, readiness) }
  }
  return { deleted: yield* deletions.applyDeletions(fence, readiness, runId), held }
})
