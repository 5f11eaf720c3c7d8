/** Commits one batch of a run, and returns the totals that the run has committed by then. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { LocalCommits } from "../feed/LocalCommits.ts"
import type { WriteOutcome } from "../model/Batch.ts"
import type { RunId, RunKind } from "../model/Run.ts"
import * as RunCounts from "../model/RunCounts.ts"
import type { TaskId } from "../model/Task.ts"
import type { ContentStore } from "../store/ContentStore.ts"
import type { LedgerStore } from "../store/LedgerStore.ts"
import type { RunStore } from "../store/RunStore.ts"
import type { Fence, Superseded } from "../store/Fence.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Spanning } from "../telemetry/Spans.ts"
import * as BodyReader from "./BodyReader.ts"
import type * as InFlight from "./InFlight.ts"
import * as OpenBatch from "./OpenBatch.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import type { Missed, SliceEvent } from "./SliceEvent.ts"

/** The settings of all commits of a run. */
export interface Options {
  readonly contents: ContentStore["Service"]
  readonly ledger: LedgerStore["Service"]
  readonly runs: RunStore["Service"]
  readonly span: Spanning
  readonly domain: string
  readonly fence: Fence
  readonly runId: RunId
  readonly taskId: TaskId | undefined
  readonly kind: RunKind
  /** The task whose own checkpoint moves, if it has one. */
  readonly movedTask: TaskId | undefined
  /** True if the pages list the connection's present scope (see `Batch.inScope`). */
  readonly inScope: boolean
  /** True for a task that must remember its done ids, since the checker does not. */
  readonly remember: boolean
  readonly inflight: InFlight.InFlight
  readonly meter: RunMeter.RunMeter
  /** True once the source turned out to be down: its failures cost no item an attempt. */
  readonly isDown: Effect.Effect<boolean>
}

/** The counts that the commits of a run have written, and whether the run's row has them. */
export interface Recorded {
  /** The counts of all commits that are known to have taken effect. */
  readonly counts: RunCounts.Counts
  /** The part of `counts` that the run's row does not have yet. */
  readonly unrecorded: RunCounts.Counts
  /** True if the run has a row. */
  readonly begun: boolean
  /** True if a batch was committed. */
  readonly wrote: boolean
}

/** The commits of a run so far. */
export interface Committed extends Recorded {
  readonly spent: RunMeter.Spent
  /** The stored checkpoint, as `OpenBatch.checkpointText` has it: an equal one is not written again. */
  readonly checkpoint: string | undefined
}

export type WriteError = StoreError | Superseded

/** No commit yet, with this checkpoint stored. */
export const none = (checkpoint: string | undefined): Committed => ({
  counts: RunCounts.zero,
  unrecorded: RunCounts.zero,
  begun: false,
  wrote: false,
  spent: RunMeter.nothing,
  checkpoint
})

/** A person asked for this id, and the source does not know it. */
export const isUnknown = (event: SliceEvent): event is Missed =>
  event._tag === "Missed" && event.origin === "forced" && event.outcome === "gone"

/** Writes the run's row, if it is not there yet. */
export const begin = (options: Options, before: Committed): Effect.Effect<Committed, WriteError> =>
  before.begun
    ? Effect.succeed(before)
    : Effect.as(options.runs.beginRun(options.fence, options), { ...before, begun: true })

/**
 * Writes a batch, after the commits before it. A batch that changes nothing in the store is only counted. One commit of
 * a run is in flight at a time.
 */
export const commit = Effect.fnUntraced(function* (
  options: Options,
  before: Committed,
  gathered: OpenBatch.OpenBatch
): Effect.fn.Return<Committed, WriteError> {
  const { contents, domain, fence, inflight, meter, span } = options
  const batch = (yield* options.isDown) ? OpenBatch.withoutAttempts(gathered) : gathered
  const spent = yield* RunMeter.spent(meter)
  const counts = RunCounts.sum(batch.counts, {
    ...RunCounts.zero,
    ...OpenBatch.missed(batch),
    ...RunMeter.since(spent, before.spent)
  })
  const unrecorded = RunCounts.sum(before.unrecorded, counts)
  if (OpenBatch.isQuiet(batch, before.checkpoint)) {
    yield* Metrics.counted(domain, counts)
    return { ...before, spent, counts: RunCounts.sum(before.counts, counts), unrecorded }
  }
  const { begun } = OpenBatch.isWorthARow(batch) ? yield* begin(options, before) : before
  const misses = yield* missesOf(options, batch)
  const done = [...batch.items, ...batch.misses.filter((miss) => miss.outcome !== "deferred")].map(
    (one) => one.externalId
  )
  const startedAt = yield* Clock.currentTimeMillis
  const committed = yield* span(
    "commit",
    { "idem.items": batch.items.length, "idem.misses": misses.length, "idem.page_end": batch.end !== undefined },
    contents.commit(fence, {
      runId: begun ? options.runId : undefined,
      taskId: options.movedTask,
      items: batch.items,
      listed: batch.listed,
      inScope: options.inScope,
      misses,
      done: options.remember ? done : [],
      page: batch.end,
      counts: begun ? unrecorded : {},
      problems: batch.problems
    }),
    ({ outcomes, patched }) => ({ ...attributesOf(outcomes.values()), "idem.patched": patched })
  )
  yield* (yield* LocalCommits).announce
  const endedAt = yield* Clock.currentTimeMillis
  const bytes = batch.items.reduce((sum, item) => sum + BodyReader.size(item), 0)
  yield* Metrics.committed(domain, bytes, (endedAt - startedAt) / 1000)
  const all = RunCounts.sum(counts, {
    ...RunCounts.zero,
    ...tally(committed.outcomes.values()),
    patched: committed.patched
  })
  yield* Metrics.counted(domain, all)
  yield* Effect.forEach(batch.flights, ([flight, id]) => inflight.end(id, flight), { discard: true })
  yield* RunMeter.touch(meter)
  return {
    counts: RunCounts.sum(before.counts, all),
    unrecorded: begun ? RunCounts.zero : unrecorded,
    begun,
    wrote: true,
    spent,
    checkpoint: batch.end === undefined ? before.checkpoint : OpenBatch.checkpointText(batch.end)
  }
})

/**
 * The misses of a batch as the ledger keeps them: a failed one is one more attempt. An id that a person asked for, that
 * the source does not know and of which nothing is stored, leaves no row.
 */
const missesOf = Effect.fnUntraced(function* ({ contents, fence, ledger }: Options, { misses }: OpenBatch.OpenBatch) {
  const { connectionId } = fence
  const externalIds = misses.filter((miss) => miss.outcome === "failed").map((miss) => miss.externalId)
  const rows =
    externalIds.length === 0 ? [] : yield* ledger.ledger(connectionId, { externalIds, limit: externalIds.length })
  const attempts = new Map(rows.map((row) => [row.externalId, row]))
  const asked = misses.filter(isUnknown).map((miss) => miss.externalId)
  const stored = asked.length === 0 ? new Set<string>() : yield* contents.existing(connectionId, asked)
  const known = misses.filter((miss) => !isUnknown(miss) || stored.has(miss.externalId))
  return yield* Effect.forEach(known, (miss) => RetryPolicy.missOf(miss, attempts.get(miss.externalId)))
})

const tally = (outcomes: Iterable<WriteOutcome>): Record<WriteOutcome, number> => {
  const of = { stored: 0, updated: 0, unchanged: 0 }
  for (const outcome of outcomes) of[outcome] += 1
  return of
}

/** How many of each outcome, as attributes of a span. */
const attributesOf = (outcomes: Iterable<WriteOutcome>) => {
  const { stored, unchanged, updated } = tally(outcomes)
  return { "idem.stored": stored, "idem.updated": updated, "idem.unchanged": unchanged }
}
