/**
 * The steps of a simulation, drawn from its seed before it begins, so that a step can be left out without changing the
 * others.
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
  // A stream of hints: lost where the step is left out, doubled, forged, or late.
  hint: 4,
  listen: 2,
  // Time.
  wake: 4,
  wait: 24
} as const

const kinds = { ...sourceKinds, ...processKinds, ...personKinds, ...otherKinds } as const

export type SourceKind = keyof typeof sourceKinds
export type PersonKind = keyof typeof personKinds
/** The kinds that concern the store, a process, hints or time. */
export type SystemKind = keyof typeof processKinds | keyof typeof otherKinds
export type Kind = keyof typeof kinds

export interface Step {
  readonly kind: Kind
  /** Three numbers from 0 to below 1, which choose among what there is to choose from. */
  readonly which: readonly [number, number, number]
  /** How long the simulation goes on after it: so many tasks, or until nothing runs. */
  readonly tasks: number
}

export const kindNames = Object.keys(kinds) as ReadonlyArray<Kind>

const always: ReadonlySet<Kind> = new Set(["add", "remove", "wait"])

/** The steps that take long to play. */
const seldom: ReadonlySet<Kind> = new Set(["hang"])

export interface Plan {
  readonly seed: number
  /** True if the source changes once more after all has come to rest, and a second sync is asked to change nothing. */
  readonly isThorough: boolean
  readonly steps: ReadonlyArray<Step>
}

export const isOfSource = (kind: Kind): kind is SourceKind => kind in sourceKinds
export const isOfPerson = (kind: Kind): kind is PersonKind => kind in personKinds

/** Chooses by a number from 0 to below 1. */
export const pick = <A>(from: ReadonlyArray<A>, which: number): A | undefined => from[Math.floor(which * from.length)]

/**
 * The number of steps. Most stories are short, since many short stories meet more interleavings than few long ones;
 * some are long, since a few defects need many steps.
 */
const lengthOf = (random: Random): number => 2 + Math.min(60, Math.floor(-7 * Math.log(1 - random.next())))

/** The plan of a seed; `without` leaves out kinds of steps. */
export const make = (seed: number, without: ReadonlySet<Kind> = new Set()): Plan => {
  const random = new Random(seed * 2 + 1)
  // Each seed leaves some kinds out, so that the others come together more often.
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
