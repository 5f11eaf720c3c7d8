/**
 * Estimates how far a sync is, and how long the rest takes. The command line and the dashboard show the same numbers.
 * The estimate of the total comes from the listing, or else from the source's estimate at connect, and never moves
 * backwards.
 */

/** The progress of a sync so far. */
interface Done {
  /** The number of occurrences of ids so far: listed, forced and retried. */
  readonly known: number
  /** The number of occurrences that have an outcome. */
  readonly ended: number
  /** The approximate number of refs still to be listed; undefined if the source does not report it. */
  readonly remaining: number | undefined
}

/** The size of a sync, and its pace. */
export interface SyncSize {
  /** The number of items that the source reported at connect. */
  readonly items: number | undefined
  /** How many milliseconds one item takes at the quota. */
  readonly millisPerItem: number
}

/**
 * Returns how many items a task will list, if its listing does not report it: all items for a first sync and for a
 * forced one; undefined for a later sync, which lists only what is new.
 */
export const itemsOf = (
  of: { readonly atConnect: number | undefined; readonly stored: number },
  isEverythingAgain: boolean
): number | undefined => {
  const { atConnect = 0, stored } = of
  if (isEverythingAgain) return Math.max(atConnect, stored) || undefined
  return atConnect > stored ? atConnect - stored : undefined
}

export interface Estimate {
  readonly ended: number
  /** The expected number of items; undefined if it is unknown. */
  readonly expected: number | undefined
  /** From 0 to 1; undefined without `expected`. */
  readonly fraction: number | undefined
  readonly remainingMs: number | undefined
}

/** An estimate that grows by less than this factor is ignored as noise. */
const noise = 1.3

const later = (before: number | undefined, now: number | undefined): number | undefined =>
  before === undefined || now === undefined || now < before || now > before * noise ? now : before

/**
 * Returns the next estimate. `elapsedMs` is how long it took to finish `done.ended - startedAt` items. The remaining
 * time uses the slower of the measured rate and the quota.
 */
export const next = (
  before: Estimate | undefined,
  done: Done,
  options: SyncSize & { readonly elapsedMs: number; readonly startedAt?: number | undefined }
): Estimate => {
  const ended = Math.max(before?.ended ?? 0, done.ended)
  const listed = done.remaining === undefined ? undefined : done.known + done.remaining
  const total = listed ?? options.items
  const expected = total === undefined ? undefined : Math.max(total, done.known, before?.expected ?? 0)
  if (expected === undefined) return { ended, expected, fraction: undefined, remainingMs: undefined }
  const fraction = Math.min(1, Math.max(before?.fraction ?? 0, expected === 0 ? 1 : ended / expected))
  const left = Math.max(0, expected - ended)
  const made = ended - (options.startedAt ?? 0)
  const measured = made > 0 ? options.elapsedMs / made : undefined
  const perItem = measured === undefined ? undefined : Math.max(measured, options.millisPerItem)
  return {
    ended,
    expected,
    fraction,
    remainingMs: perItem === undefined || left === 0 ? undefined : later(before?.remainingMs, left * perItem)
  }
}
