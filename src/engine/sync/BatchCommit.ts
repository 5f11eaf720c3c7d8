/** Commits one batch of a run: the contents of its transaction, and the state of the run after it. */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Queue from "effect/Queue"
import type { Problem } from "../../contract/Page.ts"
import type { Progress } from "../Engine.ts"
import { LocalCommits } from "../feed/LocalCommits.ts"
import type { Limits } from "../Limits.ts"
import type { Outcome } from "../model/Batch.ts"
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
import * as PageOrder from "./PageOrder.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import type { RunError } from "./RunFailure.ts"
import * as RunMeter from "./RunMeter.ts"
import type { ListingEnded, Missed, SliceEvent } from "./SliceEvent.ts"

export interface Options {
  /** Ends, or fails, once nothing more comes. */
  readonly events: Queue.Dequeue<SliceEvent, RunError | Cause.Done>
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
  /** True if the run has a row even when nothing happens in it. */
  readonly recorded: boolean
  readonly inflight: InFlight.InFlight
  readonly limits: Limits
  readonly meter: RunMeter.RunMeter
  /** The checkpoint that is stored now, as `OpenBatch.checkpointText` has it: an equal one is not written again. */
  readonly checkpoint: string | undefined
  /** True once the source turned out to be down: its failures cost no item an attempt. */
  readonly isDown: Effect.Effect<boolean>
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
}

/** The state of the fiber that commits. No other fiber holds it. */
export interface State {
  readonly batch: OpenBatch.OpenBatch
  /** The batch whose commit is in flight. */
  readonly committing: OpenBatch.OpenBatch | undefined
  readonly pages: PageOrder.PageOrder
  readonly counts: RunCounts.Counts
  readonly unrecorded: RunCounts.Counts
  readonly spent: RunMeter.Spent
  readonly begun: boolean
  /** True once a batch was committed. */
  readonly wrote: boolean
  readonly problems: ReadonlyArray<Problem>
  readonly checkpoint: string | undefined
  readonly remaining: number | undefined
  readonly listing: ListingEnded | undefined
}

export type WriteError = StoreError | Superseded

export const initial = (checkpoint: string | undefined): State => ({
  batch: OpenBatch.make(),
  committing: undefined,
  pages: PageOrder.initial,
  counts: RunCounts.zero,
  unrecorded: RunCounts.zero,
  spent: RunMeter.nothing,
  begun: false,
  wrote: false,
  problems: [],
  checkpoint,
  remaining: undefined,
  listing: undefined
})

/** A person asked for this id, and the source does not know it. */
export const isUnknown = (event: SliceEvent): event is Missed =>
  event._tag === "Missed" && event.origin === "forced" && event.outcome === "gone"

/** Writes the run's row, if it is not there yet. */
export const begin = (options: Options, state: State): Effect.Effect<State, WriteError> =>
  state.begun
    ? Effect.succeed(state)
    : Effect.as(options.runs.beginRun(options.fence, options), {
        ...state,
        begun: true
      })

/** The state with an empty open batch, and the open one as the batch whose commit is in flight. */
export const withCommitting = (state: State): State => ({
  ...state,
  batch: OpenBatch.make(),
  committing: state.batch
})

/**
 * Writes the open batch of a state, and returns how that changes the state, which may have gathered another batch
 * meanwhile. A batch that changes nothing in the store is only counted. One commit is in flight at a time.
 */
export const commit = Effect.fnUntraced(function* (
  options: Options,
  before: State
): Effect.fn.Return<(later: State) => State, WriteError> {
  const { contents, domain, fence, inflight, meter, span } = options
  const batch = (yield* options.isDown) ? OpenBatch.withoutAttempts(before.batch) : before.batch
  const spent = yield* RunMeter.spent(meter)
  const counts = RunCounts.sum(batch.counts, {
    ...RunCounts.zero,
    ...OpenBatch.missed(batch),
    ...RunMeter.since(spent, before.spent)
  })
  if (OpenBatch.isQuiet(batch, before.checkpoint)) {
    yield* Metrics.counted(domain, counts)
    return (later) => ({
      ...later,
      committing: undefined,
      spent,
      counts: RunCounts.sum(before.counts, counts),
      unrecorded: RunCounts.sum(before.unrecorded, counts)
    })
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
      counts: begun ? RunCounts.sum(before.unrecorded, counts) : {},
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
  return (later) => ({
    ...later,
    committing: undefined,
    spent,
    begun,
    wrote: true,
    counts: RunCounts.sum(before.counts, all),
    unrecorded: begun ? RunCounts.zero : RunCounts.sum(before.unrecorded, counts),
    checkpoint: batch.end === undefined ? before.checkpoint : OpenBatch.checkpointText(batch.end)
  })
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

const tally = (outcomes: Iterable<Outcome>): Record<Outcome, number> => {
  const of = { stored: 0, updated: 0, unchanged: 0 }
  for (const outcome of outcomes) of[outcome] += 1
  return of
}

/** How many of each outcome, as attributes of a span. */
const attributesOf = (outcomes: Iterable<Outcome>) => {
  const { stored, unchanged, updated } = tally(outcomes)
  return { "idem.stored": stored, "idem.updated": updated, "idem.unchanged": unchanged }
}
