/**
 * What is done, gathered and committed: in order, each batch in one transaction of the store. A page's end goes with the
 * last of its items, so that a checkpoint never stands before its work.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Reason } from "../contract/IntegrationError.ts"
import type { Problem } from "../contract/Page.ts"
import * as Attempts from "./Attempts.ts"
import * as Counting from "./Counting.ts"
import * as Fetch from "./Fetch.ts"
import type { Inflight } from "./Inflight.ts"
import type { Limits } from "./Limits.ts"
import { type Meter, touch } from "./Meter.ts"
import type { Fence, Item, LedgerRow, Miss, PageEnd, RunId, Store, StoreError, Superseded, TaskId } from "./Store.ts"

/** Where an occurrence of an id came from: which side of the sum counts it. */
export type Origin = "listed" | "forced" | "retried"

/** What became of one occurrence, or of a page. */
export type Done =
  | { readonly _tag: "Stored"; readonly origin: Origin; readonly item: Item }
  | {
      readonly _tag: "Missed"
      readonly origin: Origin
      readonly externalId: string
      readonly revision: string | undefined
      readonly outcome: "failed" | "deferred" | "gone"
      readonly reason: Reason["_tag"]
      readonly message: string
    }
  /** Refs that need no download. */
  | { readonly _tag: "Existing"; readonly count: number }
  /** Refs whose id nobody could store: failed, and named as a problem. */
  | { readonly _tag: "Unusable"; readonly problems: ReadonlyArray<Problem> }
  | { readonly _tag: "Problems"; readonly problems: ReadonlyArray<Problem> }
  | { readonly _tag: "PageEnd"; readonly end: PageEnd }
  /** Not reached in this slice: its page's checkpoint, and every later one, waits. */
  | { readonly _tag: "Dropped" }

export interface Batches {
  /** Writes the run's row, if it is not there yet. */
  readonly begin: Effect.Effect<void, StoreError | Superseded>
  readonly add: (done: Done) => Effect.Effect<void, StoreError | Superseded>
  readonly flush: Effect.Effect<void, StoreError | Superseded>
  /** Commits what has become old, until interrupted. */
  readonly ageing: Effect.Effect<never, StoreError | Superseded>
  /** What has been committed. */
  readonly counts: Counting.Tally
  readonly problems: Array<Problem>
  /** True once something worth a run row was written. */
  readonly begun: () => boolean
  /** What has been committed, with what is gathered for the next batch: for whoever watches. */
  readonly progress: () => Counting.Tally
  /** What is counted and not yet in the run's row. */
  readonly unrecorded: () => Counting.Tally
}

interface Open {
  items: Array<Item>
  misses: Array<Extract<Done, { _tag: "Missed" }>>
  counts: Counting.Tally
  problems: Array<Problem>
  end: PageEnd | undefined
  bytes: number
  /** When the first of these came in. */
  since: number | undefined
}

const empty = (): Open => ({
  items: [],
  misses: [],
  counts: Counting.tally(),
  problems: [],
  end: undefined,
  bytes: 0,
  since: undefined
})

/** Problems that a run keeps; more of them say nothing new. */
const problemsKept = 100

export const make = (options: {
  readonly store: Store["Service"]
  readonly fence: Fence
  readonly runId: RunId
  readonly taskId: TaskId | undefined
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
  const { fence, inflight, limits, meter, runId, store } = options
  const lock = Semaphore.makeUnsafe(1)
  const counts = Counting.tally()
  const problems: Array<Problem> = []
  const reported = { apiCalls: 0, checkerQueries: 0, downloads: 0, quotaUnits: 0 }
  // What quiet batches counted before there was a run row to count it in.
  const unrecorded = Counting.tally()
  let begun = false
  let broken = false
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
        const attempts = Attempts.made(known.get(externalId), revision) + 1
        return {
          externalId,
          revision,
          reason,
          message,
          outcome: miss.outcome,
          attempts,
          retryIn: miss.outcome === "failed" ? yield* Attempts.retryIn(reason, attempts) : undefined
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
    Counting.add(batch.counts, spent())
    if (isEmpty(batch)) {
      Counting.add(counts, batch.counts)
      Counting.add(unrecorded, batch.counts)
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
      Counting.add(recorded, unrecorded)
      Object.assign(unrecorded, Counting.zero)
    } else Counting.add(unrecorded, batch.counts)
    const done = options.remember
      ? [...batch.items, ...batch.misses.filter((miss) => miss.outcome !== "deferred")].map((one) => one.externalId)
      : []
    const committed = yield* store.commit(fence, {
      runId,
      taskId: options.taskId,
      items: batch.items,
      misses: yield* misses(batch),
      done,
      page: batch.end,
      counts: recorded,
      problems: batch.problems
    })
    if (batch.end !== undefined) stored = textOf(batch.end)
    Counting.add(counts, batch.counts)
    for (const outcome of committed.outcomes.values()) counts[outcome] += 1
    counts.patched += committed.patched
    for (const item of batch.items) inflight.delete(item.externalId)
    for (const miss of batch.misses) inflight.delete(miss.externalId)
    yield* touch(meter)
  })

  const begin = Effect.suspend(() => {
    if (begun) return Effect.void
    begun = true
    return store.beginRun(fence, { runId, taskId: options.taskId })
  })

  const flush = lock.withPermit(Effect.uninterruptible(commit))

  const full = () => open.items.length + open.misses.length >= limits.batchItems || open.bytes >= limits.batchBytes

  const problem = (found: ReadonlyArray<Problem>) => {
    for (const one of found.slice(0, problemsKept - problems.length)) {
      open.problems.push(one)
      problems.push(one)
    }
  }

  /** Takes one in; true if the batch must be committed before the next. */
  const take = (done: Done): boolean => {
    switch (done._tag) {
      case "Stored":
        open.items.push(done.item)
        open.counts[done.origin] += 1
        open.bytes += Fetch.held(done.item)
        return full()
      case "Missed":
        open.misses.push(done)
        open.counts[done.origin] += 1
        if (done.outcome === "deferred" && done.origin === "listed" && waits(done.reason)) broken = true
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
        broken = true
        return false
      case "PageEnd": {
        if (broken) return false
        const before = open.end
        open.end = before === undefined ? done.end : { ...done.end, seen: [...before.seen, ...done.end.seen] }
        // Deletions, patches and coverage belong between their page's items and the next page's.
        const { covers, deleted, patches, seen } = open.end
        return deleted.length > 0 || patches.length > 0 || covers.length > 0 || seen.length >= limits.batchItems * 10
      }
    }
  }

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
    unrecorded: () => unrecorded,
    add: (done) =>
      Effect.gen(function* () {
        open.since ??= yield* Clock.currentTimeMillis
        if (done._tag === "PageEnd" && open.end !== undefined && open.end.listing !== done.end.listing) yield* flush
        if (take(done)) yield* flush
      }),
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

const textOf = (end: PageEnd): string => checkpointText(end.checkpoint, end.scope)

/** A checkpoint with its scope, as text to compare. */
export const checkpointText = (checkpoint: unknown, scope: string): string => `${scope} ${JSON.stringify(checkpoint)}`

/** Deferred since the source refuses, not since the item isn't ready: then the page's checkpoint waits. */
const waits = (reason: Reason["_tag"]): boolean => reason !== "Unsettled"
