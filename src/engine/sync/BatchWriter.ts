/**
 * What is done, gathered and committed, each batch in one transaction of the store. Items come in as they are ready, so
 * that a slow one holds up no other; a page ends in the order of the pages, with the last of its items or after it, so
 * that a checkpoint never stands before its work.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Reason } from "../../contract/IntegrationError.ts"
import type { Problem } from "../../contract/Page.ts"
import { maxParts } from "../../contract/Parts.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import * as RunCounts from "../model/RunCounts.ts"
import * as BodyReader from "./BodyReader.ts"
import { type Flight, type Inflight, settle } from "./InFlight.ts"
import type { Limits } from "../Limits.ts"
import { type Meter, touch } from "./RunMeter.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Spanning } from "../telemetry/Spans.ts"
import type { Item, Miss, Outcome, PageEnd } from "../model/Batch.ts"
import type { LedgerRow } from "../model/Content.ts"
import type { RunId } from "../model/Run.ts"
import type { TaskId } from "../model/Task.ts"
import type { Fence, Store, StoreError, Superseded } from "../Store.ts"

/** Where an occurrence of an id came from: which side of the sum counts it. */
export type Origin = "listed" | "forced" | "retried"

/** What became of one occurrence, or of a page. */
export type Done =
  | (Occurrence & { readonly _tag: "Stored"; readonly item: Item })
  | (Occurrence & {
      readonly _tag: "Missed"
      readonly externalId: string
      readonly revision: string | undefined
      readonly outcome: "failed" | "deferred" | "gone"
      readonly reason: Reason["_tag"]
      readonly message: string
    })
  /** Refs that need no download. */
  | { readonly _tag: "Existing"; readonly count: number }
  /** Refs whose id nobody could store: failed, and named as a problem. */
  | { readonly _tag: "Unusable"; readonly problems: ReadonlyArray<Problem> }
  | { readonly _tag: "Problems"; readonly problems: ReadonlyArray<Problem> }
  /** The end of the page of this number, which has so many items to fetch. */
  | { readonly _tag: "PageEnd"; readonly page: number; readonly items: number; readonly end: PageEnd }
  /** Not reached in this slice: its page's checkpoint, and every later one, waits. */
  | (Occurrence & { readonly _tag: "Dropped"; readonly externalId: string })

interface Occurrence {
  readonly origin: Origin
  readonly flight: Flight
  /** The page that listed it. */
  readonly page: number | undefined
}

export interface Batches {
  /** Writes the run's row, if it is not there yet. */
  readonly begin: Effect.Effect<void, StoreError | Superseded>
  readonly add: (done: Done) => Effect.Effect<void, StoreError | Superseded>
  readonly flush: Effect.Effect<void, StoreError | Superseded>
  /** Commits what has become old, until interrupted. */
  readonly ageing: Effect.Effect<never, StoreError | Superseded>
  /** What has been committed. */
  readonly counts: RunCounts.Tally
  readonly problems: Array<Problem>
  /** True once something worth a run row was written. */
  readonly begun: () => boolean
  /** What has been committed, with what is gathered for the next batch: for whoever watches. */
  readonly progress: () => RunCounts.Tally
  /** Tells the metrics what was counted since they were last told. */
  readonly tell: Effect.Effect<void>
  /** What is counted and not yet in the run's row. */
  readonly unrecorded: () => RunCounts.Tally
}

interface Open {
  items: Array<Item>
  misses: Array<Extract<Done, { _tag: "Missed" }>>
  flights: Array<readonly [externalId: string, flight: Flight]>
  counts: RunCounts.Tally
  problems: Array<Problem>
  end: PageEnd | undefined
  bytes: number
  /** When the first of these came in. */
  since: number | undefined
}

const empty = (): Open => ({
  items: [],
  misses: [],
  flights: [],
  counts: RunCounts.tally(),
  problems: [],
  end: undefined,
  bytes: 0,
  since: undefined
})

/** Seen ids that one transaction marks. */
const seenAtOnce = 1000

/** Problems that a run keeps; more of them say nothing new. */
const problemsKept = 100

export const make = (options: {
  readonly store: Store["Service"]
  readonly span: Spanning
  readonly domain: string
  readonly fence: Fence
  readonly runId: RunId
  readonly taskId: TaskId | undefined
  /** The task whose own checkpoint moves, if it has one. */
  readonly movedTask: TaskId | undefined
  /** True for a task that must remember its done ids, since the checker does not. */
  readonly remember: boolean
  readonly inflight: Inflight
  readonly limits: Limits
  readonly meter: Meter
  /** The checkpoint that is stored now, as JSON text with its scope: an equal one is not written again. */
  readonly checkpoint: string | undefined
  /** True once the source turned out to be down: its failures are nobody's attempt. */
  readonly isDown: () => boolean
}): Batches => {
  const { domain, fence, inflight, limits, meter, runId, span, store } = options
  const lock = Semaphore.makeUnsafe(1)
  const counts = RunCounts.tally()
  const told = RunCounts.tally()
  const problems: Array<Problem> = []
  const reported = { apiCalls: 0, checkerQueries: 0, downloads: 0, quotaUnits: 0 }
  // What quiet batches counted before there was a run row to count it in.
  const unrecorded = RunCounts.tally()
  let begun = false
  // Pages end in their order, each once all its items are in. From the first page on that lost one, none ends.
  const finished = new Map<number, number>()
  const ends = new Map<number, Extract<Done, { _tag: "PageEnd" }>>()
  let nextPage = 1
  let brokenFrom = Number.POSITIVE_INFINITY
  let stored = options.checkpoint
  let open = empty()

  const spentSoFar = () => {
    const { apiCalls, checkerQueries, downloads, quotaUnits } = meter
    return { apiCalls, checkerQueries, downloads, quotaUnits }
  }

  /** What was spent since this was last asked. */
  const spent = () => {
    const now = spentSoFar()
    const delta = {
      apiCalls: now.apiCalls - reported.apiCalls,
      checkerQueries: now.checkerQueries - reported.checkerQueries,
      downloads: now.downloads - reported.downloads,
      quotaUnits: now.quotaUnits - reported.quotaUnits
    }
    Object.assign(reported, now)
    return delta
  }

  const misses = Effect.fnUntraced(function* (batch: Open) {
    const failing = batch.misses.filter((miss) => miss.outcome === "failed")
    const rows =
      failing.length === 0
        ? []
        : yield* store.ledger(fence.connectionId, {
            externalIds: failing.map((miss) => miss.externalId),
            limit: failing.length
          })
    const known = new Map<string, LedgerRow>(rows.map((row) => [row.externalId, row]))
    return yield* Effect.forEach(batch.misses, (miss) =>
      Effect.gen(function* () {
        const { externalId, message, reason, revision } = miss
        const attempts = RetryPolicy.made(known.get(externalId), revision) + 1
        return {
          externalId,
          revision,
          reason,
          message,
          outcome: miss.outcome,
          attempts,
          retryIn: miss.outcome === "failed" ? yield* RetryPolicy.retryIn(reason, attempts) : undefined
        } satisfies Miss
      })
    )
  })

  const isEmpty = (batch: Open) =>
    batch.items.length === 0 &&
    batch.misses.length === 0 &&
    batch.problems.length === 0 &&
    (batch.end === undefined || isQuiet(batch.end))

  const isQuiet = (end: PageEnd) =>
    textOf(end) === stored &&
    end.parts.length === 0 &&
    !end.forgetsParts &&
    end.deleted.length === 0 &&
    end.patches.length === 0 &&
    end.covers.length === 0 &&
    end.seen.length === 0

  const commit = Effect.gen(function* () {
    const batch = open
    open = empty()
    if (options.isDown()) {
      batch.misses = batch.misses.map((miss) =>
        miss.outcome === "failed" && miss.reason === "Transient" ? { ...miss, outcome: "deferred" } : miss
      )
    }
    for (const miss of batch.misses) batch.counts[miss.outcome] += 1
    RunCounts.add(batch.counts, spent())
    if (isEmpty(batch)) {
      RunCounts.add(counts, batch.counts)
      RunCounts.add(unrecorded, batch.counts)
      return
    }
    const worthARow =
      batch.items.length > 0 ||
      batch.misses.length > 0 ||
      batch.problems.length > 0 ||
      (batch.end !== undefined && (batch.end.deleted.length > 0 || batch.end.patches.length > 0))
    if (worthARow) yield* begin
    const recorded = { ...batch.counts }
    if (begun) {
      RunCounts.add(recorded, unrecorded)
      Object.assign(unrecorded, RunCounts.zero)
    } else RunCounts.add(unrecorded, batch.counts)
    const done = options.remember
      ? [...batch.items, ...batch.misses.filter((miss) => miss.outcome !== "deferred")].map((one) => one.externalId)
      : []
    const missed = yield* misses(batch)
    const before = yield* Clock.currentTimeMillis
    const committed = yield* span(
      "commit",
      { "idem.items": batch.items.length, "idem.misses": missed.length, "idem.page_end": batch.end !== undefined },
      store.commit(fence, {
        runId: begun ? runId : undefined,
        taskId: options.movedTask,
        items: batch.items,
        misses: missed,
        done,
        page: batch.end,
        counts: recorded,
        problems: batch.problems
      }),
      ({ outcomes, patched }) => ({ ...tallyOf(outcomes.values()), "idem.patched": patched })
    )
    const bytes = batch.items.reduce((sum, item) => sum + BodyReader.size(item), 0)
    yield* Metrics.committed(domain, bytes, ((yield* Clock.currentTimeMillis) - before) / 1000)
    if (batch.end !== undefined) stored = textOf(batch.end)
    RunCounts.add(counts, batch.counts)
    for (const outcome of committed.outcomes.values()) counts[outcome] += 1
    counts.patched += committed.patched
    yield* Effect.forEach(batch.flights, ([id, flight]) => settle(inflight, id, flight), { discard: true })
    yield* touch(meter)
    yield* tell
  })

  const tell = Effect.suspend(() => Metrics.counted(domain, counts, told))

  const begin = Effect.suspend(() => {
    if (begun) return Effect.void
    return Effect.map(store.beginRun(fence, { runId, taskId: options.taskId }), () => {
      begun = true
    })
  })

  const flush = lock.withPermit(Effect.uninterruptible(commit))

  const full = () => open.items.length + open.misses.length >= limits.batchItems || open.bytes >= limits.batchBytes

  const problem = (found: ReadonlyArray<Problem>) => {
    for (const one of found.slice(0, problemsKept - problems.length)) {
      open.problems.push(one)
      problems.push(one)
    }
  }

  /** Takes one in; true if the batch is full. */
  const take = (done: Exclude<Done, { _tag: "PageEnd" }>): boolean => {
    switch (done._tag) {
      case "Stored":
        open.items.push(done.item)
        open.flights.push([done.item.externalId, done.flight])
        open.counts[done.origin] += 1
        open.bytes += BodyReader.held(done.item)
        return full()
      case "Missed":
        open.misses.push(done)
        open.flights.push([done.externalId, done.flight])
        open.counts[done.origin] += 1
        if (done.page !== undefined && done.outcome === "deferred" && waits(done.reason)) breakAt(done.page)
        return full()
      case "Existing":
        open.counts.listed += done.count
        open.counts.existing += done.count
        return false
      case "Unusable":
        open.counts.listed += done.problems.length
        open.counts.failed += done.problems.length
        problem(done.problems)
        return false
      case "Problems":
        problem(done.problems)
        return false
      case "Dropped":
        if (done.page !== undefined) breakAt(done.page)
        return false
    }
  }

  const breakAt = (page: number) => {
    brokenFrom = Math.min(brokenFrom, page)
  }

  /** Ends the pages whose turn it is. */
  const endPages = Effect.gen(function* () {
    while (nextPage < brokenFrom) {
      const next = ends.get(nextPage)
      if (next === undefined || (finished.get(nextPage) ?? 0) < next.items) return
      ends.delete(nextPage)
      finished.delete(nextPage)
      nextPage += 1
      if (open.end !== undefined && open.end.listing !== next.end.listing) yield* flush
      open.since ??= yield* Clock.currentTimeMillis
      open.end = open.end === undefined ? next.end : together(open.end, next.end)
      // Deletions, patches and coverage belong before the next page's.
      const { covers, deleted, parts, patches, seen } = open.end
      const atOnce = deleted.length > 0 || patches.length > 0 || covers.length > 0
      if (atOnce || seen.length >= seenAtOnce || parts.length >= maxParts) yield* flush
    }
  })

  const add = Effect.fnUntraced(function* (done: Done) {
    open.since ??= yield* Clock.currentTimeMillis
    if (done._tag === "PageEnd") {
      ends.set(done.page, done)
    } else {
      const isFull = take(done)
      if ("page" in done && done.page !== undefined) finished.set(done.page, (finished.get(done.page) ?? 0) + 1)
      if (done._tag === "Dropped") yield* settle(inflight, done.externalId, done.flight)
      if (isFull) yield* flush
    }
    yield* endPages
  })

  return {
    begin,
    counts,
    problems,
    begun: () => begun,
    progress: () => {
      const seen = { ...counts, ...spentSoFar() }
      for (const name of ["listed", "forced", "retried", "existing"] as const) seen[name] += open.counts[name]
      return seen
    },
    tell,
    unrecorded: () => unrecorded,
    add,
    flush,
    ageing: Effect.gen(function* () {
      while (true) {
        yield* Effect.sleep(limits.batchAge)
        const now = yield* Clock.currentTimeMillis
        if (open.since !== undefined && now - open.since >= Duration.toMillis(limits.batchAge)) yield* flush
      }
    })
  }
}

/** How many of each outcome, as attributes of a span. */
const tallyOf = (outcomes: Iterable<Outcome>) => {
  const tally = { "idem.stored": 0, "idem.updated": 0, "idem.unchanged": 0 }
  for (const outcome of outcomes) tally[`idem.${outcome}`] += 1
  return tally
}

/** The end of several pages: the last one's, with what all of them saw and moved. */
const together = (before: PageEnd, end: PageEnd): PageEnd => {
  const seen = [...before.seen, ...end.seen]
  if (end.forgetsParts) return { ...end, seen }
  const parts = new Map([...before.parts, ...end.parts].map((move) => [move.key, move]))
  return { ...end, seen, parts: [...parts.values()], forgetsParts: before.forgetsParts }
}

const textOf = (end: PageEnd): string => checkpointText(end.checkpoint, end.scope)

/** A checkpoint with its scope, as text to compare. */
export const checkpointText = (checkpoint: unknown, scope: string): string => `${scope} ${JSON.stringify(checkpoint)}`

/** Deferred since the source refuses, not since the item isn't ready: then the page's checkpoint waits. */
const waits = (reason: Reason["_tag"]): boolean => reason !== "Unsettled"
