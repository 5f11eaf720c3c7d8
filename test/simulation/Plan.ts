/**
 * The steps of a simulation. All of them are drawn from the seed before the simulation begins, so that leaving out a
 * step does not change the others.
 */
import { Random } from "../chaos/Random.ts"

const sourceKinds = {
  add: 10,
  edit: 8,
  remove: 8,
  comeBack: 3,
  vanish: 4,
  label: 3,
  expire: 3,
  forgetPass: 4,
  poison: 3,
  outage: 1,
  hang: 1,
  close: 2,
  refuseList: 3,
  refuseDownload: 3,
  revoke: 2
} as const

const processKinds = {
  commitFault: 9,
  writeFault: 5,
  readFault: 2,
  die: 3,
  freeze: 2,
  steal: 2
} as const

const personKinds = {
  sync: 4,
  force: 3,
  forceIds: 3,
  windowed: 2,
  request: 3,
  retry: 2,
  retryRemoved: 3,
  dryRun: 2,
  pause: 3,
  resume: 3,
  credentials: 4,
  every: 2,
  scope: 4,
  format: 1,
  look: 2,
  approve: 2,
  disconnect: 1,
  prune: 1
} as const

const otherKinds = {
  // A stream of hints: lost if the step is left out, doubled, forged, or late.
  hint: 4,
  listen: 2,
  // Time.
  wake: 4,
  wait: 24
} as const

const kinds = { ...sourceKinds, ...processKinds, ...personKinds, ...otherKinds } as const

export type SourceKind = keyof typeof sourceKinds
export type PersonKind = keyof typeof personKinds
/** The kinds of steps that concern the store, a process, hints or time. */
export type SystemKind = keyof typeof processKinds | keyof typeof otherKinds
export type Kind = keyof typeof kinds

export interface Step {
  readonly kind: Kind
  /** Three numbers from 0 to below 1, which choose among the available items. */
  readonly which: readonly [number, number, number]
  /** How long the simulation continues after the step: a number of tasks, or until nothing runs. */
  readonly tasks: number
}

export const kindNames = Object.keys(kinds) as ReadonlyArray<Kind>

const always: ReadonlySet<Kind> = new Set(["add", "remove", "wait"])

/** The steps that take long to simulate. Few plans have them. */
const seldom: ReadonlySet<Kind> = new Set(["hang"])

export interface Plan {
  readonly seed: number
  /**
   * True if, after everything has come to rest, the source changes once more, and a second sync must change nothing.
   */
  readonly isThorough: boolean
  readonly steps: ReadonlyArray<Step>
}

export const isOfSource = (kind: Kind): kind is SourceKind => kind in sourceKinds
export const isOfPerson = (kind: Kind): kind is PersonKind => kind in personKinds

/** Chooses an element by a number from 0 to below 1. */
export const pick = <A>(from: ReadonlyArray<A>, which: number): A | undefined => from[Math.floor(which * from.length)]

/**
 * Returns the number of steps. Most plans are short, because many short plans meet more interleavings than few long
 * plans. Some plans are long, because a few defects need many steps.
 */
const lengthOf = (random: Random): number => 2 + Math.min(60, Math.floor(-7 * Math.log(1 - random.next())))

/** Makes the plan of a seed. `without` leaves out kinds of steps. */
export const make = (seed: number, without: ReadonlySet<Kind> = new Set()): Plan => {
  const random = new Random(seed * 2 + 1)
  // Each seed leaves out some kinds, so that the other kinds meet each other more often.
  const chosen = kindNames.filter(
    (kind) => always.has(kind) || (random.chance(seldom.has(kind) ? 0.1 : 0.55) && !without.has(kind))
  )
  const weighted = chosen.map((kind) => [kinds[kind], kind] as const)
  const isThorough = random.chance(0.25)
  const steps = Array.from({ length: lengthOf(random) }, (): Step => ({
    kind: random.weighted(weighted),
    which: [random.next(), random.next(), random.next()],
    tasks: random.chance(0.4) ? Number.POSITIVE_INFINITY : random.between(0, 120)
  }))
  return { seed, isThorough, steps }
}
