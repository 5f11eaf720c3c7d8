/**
 * The schedule of one seed: its sources, its processes, and its faults in order. The schedule depends only on the seed.
 * The exact moment at which a fault hits a process depends on the machine, so a replay hits about the same places.
 */
import { Random } from "./Random.ts"

export type Domain = "gmail" | "slack" | "ftp"

/**
 * The ending of a seed, after all faults are healed and the mirror equals the source. `vanish`: most of the source
 * disappears at once. `narrow`: the connection's scope excludes a part of the source, and the listing of the new scope
 * begins again and again.
 */
export type Ending = "vanish" | "narrow"

export interface SourcePlan {
  readonly domain: Domain
  readonly ending: Ending | undefined
  /** The number of items when the source is connected. */
  readonly items: number
  /** The seed of the source's own choices: sizes, names, settings. */
  readonly seed: number
}

/** Numbers that each source interprets: the kind of change, the items that it changes, and their number. */
export interface Deed {
  readonly deed: number
  readonly which: number
  readonly size: number
}

/** With `lost`, the endpoint accepts the message, but its response never arrives. */
export type EndpointFault = "500" | "429" | "reset" | "lost"

export type Event =
  /** Changes the source, at once if `before` is 0, otherwise just before the response to that many further requests. */
  | { readonly _tag: "Change"; readonly source: number; readonly deed: Deed; readonly before: number }
  | { readonly _tag: "Fault"; readonly source: number; readonly deed: Deed }
  /** Sends `kill -9`; another process takes the place. */
  | { readonly _tag: "Kill"; readonly process: number }
  /** Sends SIGSTOP, and SIGCONT after this many milliseconds. */
  | { readonly _tag: "Freeze"; readonly process: number; readonly milliseconds: number }
  /** Ends the process as SIGTERM does; another process takes the place. */
  | { readonly _tag: "Stop"; readonly process: number }
  /** Restarts the server, in order or by a crash, or only terminates every session of this database. */
  | { readonly _tag: "Database"; readonly how: "fast" | "immediate" | "sessions" }
  /** Interrupts the replication to the standby, which lacks all later commits. */
  | { readonly _tag: "Lag" }
  /**
   * Kills the primary and promotes its standby, once the standby lacks this many transactions or 10 seconds have
   * passed. With `first`, the standby is promoted before the primary is killed, so that a run can continue without an
   * interruption.
   */
  | { readonly _tag: "Failover"; readonly lost: number; readonly first: boolean }
  /** Terminates the session of a commit while the commit waits and later items are being processed. */
  | { readonly _tag: "TerminateCommit"; readonly source: number; readonly deed: Deed }
  /** A client submits a task over HTTP: a poll, some ids, or everything by force. */
  | { readonly _tag: "Task"; readonly source: number; readonly ids: number; readonly twice: boolean }
  /** The webhook's endpoint fails this many times. */
  | { readonly _tag: "Endpoint"; readonly how: EndpointFault; readonly times: number }
  /** Stores large bodies in a folder from now on: every process is stopped, and started with the setting. */
  | { readonly _tag: "BlobFolder" }
  /** The disk of large bodies is full for this many milliseconds. */
  | { readonly _tag: "FullDisk"; readonly milliseconds: number }
  /**
   * Sends hints to a process: for existing items, for a part that does not exist, or for the whole connection. Some
   * come twice, and many are lost, because changes do not send hints by themselves. `stream` is the state that the
   * stream of hints reports.
   */
  | {
      readonly _tag: "Hint"
      readonly source: number
      readonly process: number
      readonly of: "items" | "nothing" | "anything"
      readonly which: number
      readonly times: number
      readonly stream: "listens" | "broken" | "silent"
    }
  /** Lets hours pass, so that later work is due now. */
  | { readonly _tag: "Time" }
  /** Makes a person force everything of one source, or a few ids of it. */
  | { readonly _tag: "Force"; readonly source: number; readonly ids: number }

interface Step {
  /** The fault comes after this many requests to the sources, or this many milliseconds, whichever is first. */
  readonly requests: number
  readonly milliseconds: number
  readonly event: Event
}

export interface Schedule {
  readonly seed: number
  /**
   * `lean`: processes that build the engine with short bounds. `cli`: the real `idem serve` and `idem sync`. `copy`:
   * `idem copy` from a folder in which `idem serve` polls.
   */
  readonly kind: "lean" | "cli" | "copy"
  readonly processes: number
  /** True if large bodies are stored in a folder from the beginning. */
  readonly inFolder: boolean
  /** True if the first process serves HTTP and delivers webhooks. */
  readonly serves: boolean
  readonly sources: ReadonlyArray<SourcePlan>
  readonly steps: ReadonlyArray<Step>
}

/** The duration of a lease in a lean process, by the database's clock. */
export const leaseMillis = 700

const domains = ["gmail", "slack", "ftp"] as const satisfies ReadonlyArray<Domain>

export const generate = (seed: number, kind: Schedule["kind"] = "lean"): Schedule => {
  const random = new Random(seed)
  const first = random.pick(domains)
  const sources = [first, ...(random.chance(0.3) ? [random.pick(domains)] : [])].map((domain): SourcePlan => {
    // Slack finds deletions one conversation at a time, and the share is measured for each.
    const ending =
      domain === "slack" || kind !== "lean"
        ? undefined
        : random.pick<Ending | undefined>([undefined, "vanish", "narrow"])
    return {
      domain,
      ending,
      items: ending === undefined ? random.between(5, 40) : random.between(34, 48),
      seed: random.between(1, 1_000_000)
    }
  })
  const processes = random.weighted([
    [3, 1],
    [4, 2],
    [3, 3]
  ])
  const serves = kind === "lean" && random.chance(0.4)
  const inFolder = random.chance(0.5)
  const source = () => random.between(0, sources.length - 1)
  const process = () => random.between(0, processes - 1)
  const deed = (): Deed => ({
    deed: random.between(0, 1_000_000),
    which: random.between(0, 1_000_000),
    size: random.between(1, 4)
  })
  const events: ReadonlyArray<readonly [number, () => Event]> = [
    [
      40,
      () => ({ _tag: "Change", source: source(), deed: deed(), before: random.chance(0.5) ? 0 : random.between(1, 9) })
    ],
    [20, () => ({ _tag: "Fault", source: source(), deed: deed() })],
    [10, () => ({ _tag: "Kill", process: process() })],
    [
      // Shorter than a lease, or long enough for another process to take over.
      kind === "lean" ? 7 : 0,
      () => ({
        _tag: "Freeze",
        process: process(),
        milliseconds: random.chance(0.3) ? random.between(20, 400) : leaseMillis + random.between(100, 500)
      })
    ],
    [4, () => ({ _tag: "Stop", process: process() })],
    [3, () => ({ _tag: "Database", how: random.pick(["fast", "immediate", "sessions", "sessions"]) })],
    [kind === "lean" ? 3 : 0, () => ({ _tag: "FullDisk", milliseconds: random.between(50, 400) })],
    [6, () => ({ _tag: "Time" })],
    [3, () => ({ _tag: "Force", source: source(), ids: random.between(0, 3) })],
    [kind === "lean" ? 6 : 0, () => ({ _tag: "TerminateCommit", source: source(), deed: deed() })],
    [serves ? 10 : 0, () => ({ _tag: "Task", source: source(), ids: random.between(0, 4), twice: random.chance(0.5) })],
    [
      serves ? 8 : 0,
      () => ({
        _tag: "Endpoint",
        how: random.pick(["500", "429", "reset", "lost"]),
        times: random.between(1, 3)
      })
    ],
    [kind === "lean" && !inFolder ? 1 : 0, () => ({ _tag: "BlobFolder" })],
    [
      kind === "lean" ? 12 : 0,
      () => ({
        _tag: "Hint",
        source: source(),
        process: process(),
        of: random.pick(["items", "items", "nothing", "anything"]),
        which: random.between(0, 1_000_000),
        times: random.between(1, 3),
        stream: random.pick(["silent", "silent", "listens", "broken"])
      })
    ]
  ]
  const steps = Array.from({ length: random.between(6, 22) }, () => {
    const requests = random.between(0, 14)
    const milliseconds = random.between(5, 120)
    // On a slow machine, requests come slowly. A fault that does not wait for them would hit nothing.
    return {
      requests,
      milliseconds: requests === 0 ? milliseconds : 10 * milliseconds,
      event: random.weighted(events)()
    }
  })
  // Drawn last, so that seeds without a failover keep their meaning.
  if (kind !== "lean" || !random.chance(0.15)) return { seed, kind, processes, inFolder, serves, sources, steps }
  return { seed, kind, processes, inFolder, serves: true, sources, steps: failingOver(steps, random) }
}

/**
 * Adds a failover to these steps. The standby lags during none of them, so that the same run commits before and after
 * the failover, or during some of them, as in a recovery to a point in time: the sources have moved on since.
 */
const failingOver = (steps: ReadonlyArray<Step>, random: Random): ReadonlyArray<Step> => {
  const step = (event: Event): Step => ({ requests: random.between(1, 12), milliseconds: 600, event })
  const lag = random.between(0, steps.length)
  const failover = Math.min(steps.length, lag + random.pick([0, 0, 1, 2, 6]))
  return [
    ...steps.slice(0, lag),
    step({ _tag: "Lag" }),
    ...steps.slice(lag, failover),
    step({ _tag: "Failover", lost: random.between(1, 12), first: random.chance(0.7) }),
    ...steps.slice(failover)
  ]
}

/** True if the database fails over to a standby, and a reader of the changes follows it. */
export const failsOver = ({ steps }: Schedule): boolean => steps.some(({ event }) => event._tag === "Failover")

/** Gives Gmail's pages 3 messages: a batch of 5 ends a page together with the page's own items. */
const smallPages = 4

/**
 * Returns the schedule of a seed with one kind of event repeated, for tests in which the harness must detect a fault.
 */
export const insisting = (seed: number, domain: Domain, event: (random: Random) => Event): Schedule => {
  const random = new Random(seed)
  const steps = Array.from({ length: 8 }, () => ({
    requests: random.between(1, 12),
    milliseconds: 300,
    event: event(random)
  }))
  const change = (): Step => ({
    requests: 0,
    milliseconds: 5,
    event: { _tag: "Change", source: 0, deed: { deed: 0, which: random.between(0, 99), size: 4 }, before: 0 }
  })
  return {
    ...generate(seed),
    processes: 2,
    serves: false,
    sources: [{ domain, ending: undefined, items: 40, seed: smallPages }],
    steps: steps.flatMap((step) => [change(), step])
  }
}

/** Returns a schedule in which a run commits pages that a failover then loses. */
export const losing = (seed: number): Schedule => {
  const random = new Random(seed)
  const after = (requests: number, event: Event): Step => ({
    requests,
    milliseconds: 3000 * Math.min(1, requests),
    event
  })
  return {
    ...generate(seed),
    // No other process takes the lease, so that the run continues.
    processes: 1,
    serves: false,
    sources: [{ domain: "gmail", ending: undefined, items: 40, seed: smallPages }],
    steps: [
      // Slow responses: the run mostly waits for the source, and not for a session that the failover ends.
      after(0, { _tag: "Fault", source: 0, deed: { deed: 12, which: 0, size: 200 } }),
      after(random.between(2, 12), { _tag: "Lag" }),
      after(1, { _tag: "Failover", lost: random.between(1, 2), first: true })
    ]
  }
}

/** Describes an event in one line. */
const describe = (event: Event): string =>
  Object.entries(event)
    .map(([name, value]) =>
      name === "_tag" ? String(value) : `${name} ${typeof value === "object" ? Object.values(value).join("/") : value}`
    )
    .join(", ")

export const describeSchedule = (schedule: Schedule): string =>
  [
    `seed ${schedule.seed}: ${schedule.processes} ${schedule.kind} process(es), large bodies in ${
      schedule.inFolder ? "a folder" : "the database"
    }${schedule.serves ? ", HTTP and a webhook" : ""}`,
    ...schedule.sources.map(
      ({ domain, ending, items }, index) =>
        `  source ${index}: ${domain} with ${items} items${ending === undefined ? "" : `, and in the end ${ending}`}`
    ),
    ...schedule.steps.map((step, index) => `  step ${index}: ${describe(step.event)}`)
  ].join("\n")
