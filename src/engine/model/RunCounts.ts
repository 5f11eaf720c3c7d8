/** The counts of a run, and the law that they keep. */
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"

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

export const names = Struct.keys(Counts.fields)

/** Counts that are all zero. */
export const zero: Counts = Record.map(Counts.fields, () => 0)

/** Mutable counts, to add to. */
export type Tally = { -readonly [Name in keyof Counts]: number }

export const tally = (): Tally => ({ ...zero })

/** Adds to a tally in place. */
export const add = (tally: Tally, more: Partial<Counts>): void => {
  for (const name of names) tally[name] += more[name] ?? 0
}

/** Returns the sum of two counts. `deletionsHeld` is a state and not a sum: the later value is kept, unless it is 0. */
export const sum = (earlier: Counts, later: Counts): Counts => {
  const total = { ...earlier }
  add(total, later)
  return { ...total, deletionsHeld: later.deletionsHeld > 0 ? later.deletionsHeld : earlier.deletionsHeld }
}

const occurrences = ["listed", "forced", "retried"] as const

/** The possible outcomes. Every occurrence ends in exactly one of them. */
export const outcomes = ["existing", "stored", "updated", "unchanged", "failed", "gone", "deferred"] as const

/** Returns the number of occurrences and the number of outcomes, which must be equal. */
export const sides = (counts: Counts): readonly [occurrences: number, outcomes: number] => {
  const sum = (of: ReadonlyArray<keyof Counts>) => of.reduce((total, name) => total + counts[name], 0)
  return [sum(occurrences), sum(outcomes)]
}

export const addUp = (counts: Counts): boolean => {
  const [begun, ended] = sides(counts)
  return begun === ended
}
