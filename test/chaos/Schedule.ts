/**
 * The schedule of one seed: its sources, its processes, and the faults and their order. It follows from the seed alone.
 * The exact moment at which a process is struck is up to the machine, so a replay strikes at about the same places.
 */
import { Random } from "./Random.ts"

export type Domain = "gmail" | "slack" | "ftp"

/**
 * How a seed ends, after all is healed and right. `vanish`: most of the source disappears at once. `narrow`: the
 * connection's scope leaves out a part of it, and the listing of the new scope begins again and again.
 */
export type Ending = "vanish" | "narrow"

export interface SourcePlan {
  readonly domain: Domain
  readonly ending: Ending | undefined
  /** The number of items when the source is connected. */
  readonly items: number
  /** Seeds what the source itself chooses: sizes, names, which of its settings. */
  readonly seed: number
}

/** Numbers that a source reads in its own way: which deed, upon which of its items, how many. */
export interface Deed {
  readonly deed: number
  readonly which: number
  readonly size: number
}

/** `lost`: it takes the message and its answer never arrives. */
export type EndpointFault = "500" | "429" | "reset" | "lost"

export type Event =
  /** Somebody changes the source; `before` 0 is at once, else just before so many requests more are answered. */
  | { readonly _tag: "Change"; readonly source: number; readonly deed: Deed; readonly before: number }
  | { readonly _tag: "Fault"; readonly source: number; readonly deed: Deed }
  /** `kill -9`; another process takes its place. */
  | { readonly _tag: "Kill"; readonly process: number }
  /** SIGSTOP, then SIGCONT so many milliseconds later. */
  | { readonly _tag: "Freeze"; readonly process: number; readonly milliseconds: number }
  /** Told to end, as by SIGTERM; another process takes its place. */
  | { readonly _tag: "Stop"; readonly process: number }
  /** The server is restarted, in order or by a crash; or it only cuts every session of this database. */
  | { readonly _tag: "Database"; readonly how: "fast" | "immediate" | "sessions" }
  /** The session of a commit is terminated while the commit waits and later items are under way. */
  | { readonly _tag: "TerminateCommit"; readonly source: number; readonly deed: Deed }
  /** A client submits a task over HTTP: a poll, some ids, or everything by force. */
  | { readonly _tag: "Task"; readonly source: number; readonly ids: number; readonly twice: boolean }
  /** The webhook's endpoint fails so many times. */
  | { readonly _tag: "Endpoint"; readonly how: EndpointFault; readonly times: number }
  /** Large bodies go into a folder from now on: every process is stopped, and started with the setting. */
  | { readonly _tag: "BlobFolder" }
  /** The disk of large bodies is full for so many milliseconds. */
  | { readonly _tag: "FullDisk"; readonly milliseconds: number }
  /**
   * Hints reach a process: of items that are there, of a part that is not, or of anything. Some come twice, and many
   * are lost, since a change brings none by itself. `stream`: what the stream that they come from says of itself.
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
  /** Hours pass: what is due later is due now. */
  | { readonly _tag: "Time" }
  /** A person forces everything of one source, or a few ids of it, to be downloaded again. */
  | { readonly _tag: "Force"; readonly source: number; readonly ids: number }

interface Step {
  /** The fault comes after so many requests to the sources, or so many milliseconds, whichever is first. */
  readonly requests: number
  readonly milliseconds: number
  readonly event: Event
}

export interface Schedule {
  readonly seed: number
  /**
   * `lean`: processes that build the engine with short bounds. `cli`: `idem serve` and `idem sync` as they are. `copy`:
   * `idem copy` from a folder in which `idem serve` polls.
   */
  readonly kind: "lean" | "cli" | "copy"
  readonly processes: number
  /** True if large bodies go into a folder from the beginning. */
  readonly inFolder: boolean
  /** True if the first process answers HTTP and delivers webhooks. */
  readonly serves: boolean
  readonly sources: ReadonlyArray<SourcePlan>
  readonly steps: ReadonlyArray<Step>
}

/** How long a lease lasts in a lean process, by the database's clock. */
export const leaseMillis = 700

const domains = ["gmail", "slack", "ftp"] as const satisfies ReadonlyArray<Domain>

export const generate = (seed: number, kind: Schedule["kind"] = "lean"): Schedule => {
  const random = new Random(seed)
  const first = random.pick(domains)
  const sources = [first, ...(random.chance(0.3) ? [random.pick(domains)] : [])].map((domain): SourcePlan => {
    // Slack finds what disappeared conversation by conversation: its share is measured against each.
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
      // Shorter than a lease, or long enough that another process takes over.
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
    // Requests come slowly on a slow machine. A fault that does not wait for them would strike nothing.
    return {
      requests,
      milliseconds: requests === 0 ? milliseconds : 10 * milliseconds,
      event: random.weighted(events)()
    }
  })
  return { seed, kind, processes, inFolder, serves, sources, steps }
}

/** Chosen so that Gmail's pages hold 3 messages: a batch of 5 ends a page together with the page's own items. */
const smallPages = 4

/** The same seed, with one kind of event struck time and again: where a harness is to be seen to notice something. */
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

/** An event in one line. */
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
