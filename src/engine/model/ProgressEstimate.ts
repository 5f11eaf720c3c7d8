/**
 * How far a sync is, and how long the rest takes. The command line and the dashboard show the same numbers: one
 * estimate of how much there is (from the listing, else what the source said at connect), which never moves backwards.
 */

/** The progress of a sync so far. */
export interface Done {
  /** Occurrences of ids: listed, forced and retried. */
  readonly known: number
  /** The occurrences that have an outcome. */
  readonly ended: number
  /** About how many are still to be listed; undefined if the source does not say. */
  readonly remaining: number | undefined
}

export interface Limits {
  /** How many items there are, as the source said when it was connected. */
  readonly items: number | undefined
  /** Milliseconds that one item takes at the quota. */
  readonly millisPerItem: number
}

/**
 * How many items a task will list, where its listing does not say: as many as there are for a first sync and for one
 * that downloads everything again; unknown for a later sync, which lists what is new.
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
  /** How many items there will be; undefined if nobody says. */
  readonly expected: number | undefined
  /** From 0 to 1; undefined without `expected`. */
  readonly fraction: number | undefined
  readonly remainingMs: number | undefined
}

/** An estimate that rises by less than this is taken for noise. */
const noise = 1.3

const later = (before: number | undefined, now: number | undefined): number | undefined =>
  before === undefined || now === undefined || now < before || now > before * noise ? now : before

/**
 * The next estimate. `elapsedMs` is how long it took to end `done.ended - startedAt` items; the remaining time is that
 * of the slower of the measured rate and the quota.
 */
export const next = (
  before: Estimate | undefined,
  done: Done,
  options: Limits & { readonly elapsedMs: number; readonly startedAt?: number | undefined }
): Estimate => {
  const ended = Math.max(before?.ended ?? 0, done.ended)
  const listed = done.remaining === undefined ? undefined : done.known + done.remaining
  const said = listed ?? options.items
  const expected = said === undefined ? undefined : Math.max(said, done.known, before?.expected ?? 0)
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
