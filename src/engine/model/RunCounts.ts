/** The counts of a run, and the law that they keep. */
import * as Schema from "effect/Schema"

/** Counts of a run; all are counted per occurrence and start at 0. */
export const Counts = Schema.Struct({
  listed: Schema.Int,
  forced: Schema.Int,
  retried: Schema.Int,
  existing: Schema.Int,
  stored: Schema.Int,
  updated: Schema.Int,
  unchanged: Schema.Int,
  failed: Schema.Int,
  gone: Schema.Int,
  deferred: Schema.Int,
  patched: Schema.Int,
  deleted: Schema.Int,
  deletionsHeld: Schema.Int,
  downloads: Schema.Int,
  apiCalls: Schema.Int,
  quotaUnits: Schema.Finite,
  checkerQueries: Schema.Int
})
export type Counts = typeof Counts.Type

const names = [
  "listed",
  "forced",
  "retried",
  "existing",
  "stored",
  "updated",
  "unchanged",
  "failed",
  "gone",
  "deferred",
  "patched",
  "deleted",
  "deletionsHeld",
  "downloads",
  "apiCalls",
  "quotaUnits",
  "checkerQueries"
] as const satisfies ReadonlyArray<keyof Counts>

/** All zero. */
export const zero: Counts = {
  listed: 0,
  forced: 0,
  retried: 0,
  existing: 0,
  stored: 0,
  updated: 0,
  unchanged: 0,
  failed: 0,
  gone: 0,
  deferred: 0,
  patched: 0,
  deleted: 0,
  deletionsHeld: 0,
  downloads: 0,
  apiCalls: 0,
  quotaUnits: 0,
  checkerQueries: 0
}

/** Counts that are being added to. */
export type Tally = { -readonly [Name in keyof Counts]: number }

export const tally = (): Tally => ({ ...zero })

/** Adds to a tally in place. */
export const add = (tally: Tally, more: Partial<Counts>): void => {
  for (const name of names) tally[name] += more[name] ?? 0
}

/** The sum of two counts. `deletionsHeld` is a state, not a sum: the later one stands, where a slice found any. */
export const sum = (earlier: Counts, later: Counts): Counts => {
  const total = { ...earlier }
  add(total, later)
  return { ...total, deletionsHeld: later.deletionsHeld > 0 ? later.deletionsHeld : earlier.deletionsHeld }
}

/** Every occurrence ends in exactly one outcome; the two sides of that sum. */
export const sides = (counts: Counts): readonly [occurrences: number, outcomes: number] => [
  counts.listed + counts.forced + counts.retried,
  counts.existing + counts.stored + counts.updated + counts.unchanged + counts.failed + counts.gone + counts.deferred
]

export const addUp = (counts: Counts): boolean => {
  const [occurrences, outcomes] = sides(counts)
  return occurrences === outcomes
}
