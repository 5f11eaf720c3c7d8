/**
 * The one fiber of a run that owns its batches. It gathers what the downloads hand over, commits each batch in one
 * transaction, and ends pages in their order, one step after the other. A slow item holds up no other item.
 *
 * A failed commit ends this fiber, and the run with it. Nobody knows whether a commit took effect whose answer was lost,
 * so nothing of that batch is tried again or counted again, and no later batch is written: the next run finds out.
 * Any other end of a run (the reader or the lease failed, or it was interrupted) still commits what is whole.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import type { Problem } from "../../contract/Page.ts"
import type { Progress } from "../Engine.ts"
import type { Limits } from "../Limits.ts"
import type { Outcome } from "../model/Batch.ts"
import type { RunId } from "../model/Run.ts"
import * as RunCounts from "../model/RunCounts.ts"
import type { TaskId } from "../model/Task.ts"
import type { Fence, Store, StoreError, Superseded } from "../Store.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { Spanning } from "../telemetry/Spans.ts"
import * as BodyReader from "./BodyReader.ts"
import * as InFlight from "./InFlight.ts"
import * as OpenBatch from "./OpenBatch.ts"
import * as PageOrder from "./PageOrder.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import type { RunError } from "./RunFailure.ts"
import * as RunMeter from "./RunMeter.ts"
import type { ListingEnded, Missed, SliceEvent, Stored } from "./SliceEvent.ts"

interface Options {
  /** Ends, or fails, once nothing more comes. */
  readonly events: Queue.Dequeue<SliceEvent, RunError | Cause.Done>
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

/** What was written, and how it ended. */
export interface Written {
  /** What has been committed for certain. */
  readonly counts: RunCounts.Counts
  /** What of that is not in the run's row yet. */
  readonly unrecorded: RunCounts.Counts
  /** True if the run has a row. */
  readonly begun: boolean
  readonly problems: ReadonlyArray<Problem>
  /** How many pages were committed to their ends, in their order. */
  readonly pages: number
  /** How far the listing came; undefined if it did not say. */
  readonly listing: ListingEnded | undefined
  readonly exit: Exit.Exit<void, RunError>
}

interface State {
  readonly batch: OpenBatch.OpenBatch
  readonly pages: PageOrder.PageOrder
  readonly counts: RunCounts.Counts
  readonly unrecorded: RunCounts.Counts
  readonly spent: RunMeter.Spent
  readonly begun: boolean
  readonly problems: ReadonlyArray<Problem>
  readonly checkpoint: string | undefined
  readonly remaining: number | undefined
  readonly listing: ListingEnded | undefined
}

type WriteError = StoreError | Superseded

/** Problems that a run keeps; more of them say nothing new. */
const problemsKept = 100

const initial = (checkpoint: string | undefined): State => ({
  batch: OpenBatch.empty,
  pages: PageOrder.initial,
  counts: RunCounts.zero,
  unrecorded: RunCounts.zero,
  spent: RunMeter.nothing,
  begun: false,
  problems: [],
  checkpoint,
  remaining: undefined,
  listing: undefined
})

/**
 * Consumes the events of a slice until they end. Only waiting for events can be interrupted: `exit` then says so, and
 * what was whole is committed.
 */
export const run = (options: Options): Effect.Effect<Written> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      let state = initial(options.checkpoint)
      const advance = (step: (state: State) => Effect.Effect<State, WriteError>) =>
        Effect.suspend(() => step(state)).pipe(
          Effect.map((next) => {
            state = next
          }),
          // Nobody knows whether a failed commit recorded it: what is recorded later would be there twice.
          Effect.tapCause(() =>
            Effect.sync(() => {
              state = { ...state, unrecorded: RunCounts.zero }
            })
          )
        )
      const report = Effect.flatMap(RunMeter.spent(options.meter), (spent) =>
        Effect.exit(restore(options.onProgress(progressOf(state, spent))))
      )
      const receiveOne = (event: SliceEvent) =>
        Effect.andThen(
          advance((before) => receive(options, before, event)),
          event._tag === "Tick" ? report : Effect.void
        )
      const taken = restore(Queue.take(options.events)).pipe(
        Effect.asSome,
        Pull.catchDone(() => Effect.succeedNone),
        Effect.exit
      )
      // A failed commit fails this as a whole, so that the last commit below is not reached.
      const untilTheEnd: Effect.Effect<void, RunError> = Effect.flatMap(taken, (exit) =>
        Exit.isSuccess(exit) && Option.isSome(exit.value)
          ? Effect.flatMap(receiveOne(exit.value.value), () => untilTheEnd)
          : Queue.clear(options.events).pipe(
              Effect.orElseSucceed((): Array<SliceEvent> => []),
              Effect.flatMap(Effect.forEach(receiveOne)),
              Effect.andThen(advance((before) => commit(options, before))),
              Effect.andThen(report),
              Effect.andThen(Exit.asVoid(exit))
            )
      )
      const exit = yield* Effect.exit(
        Effect.andThen(options.recorded ? advance((before) => begin(options, before)) : Effect.void, untilTheEnd)
      )
      const { begun, counts, listing, pages, problems, unrecorded } = state
      return { begun, counts, exit, listing, pages: pages.next - 1, problems, unrecorded }
    })
  )

const receive = (options: Options, state: State, event: SliceEvent): Effect.Effect<State, WriteError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { limits } = options
    const { batch, pages } = state
    switch (event._tag) {
      case "Tick":
        return batch.since !== undefined && now - batch.since >= Duration.toMillis(limits.batchAge)
          ? commit(options, state)
          : Effect.succeed(state)
      case "Stored":
      case "Missed": {
        const found = kept(state, isUnknown(event) ? [{ place: event.externalId, message: unknown }] : [])
        const after = {
          ...state,
          problems: [...state.problems, ...found],
          batch: OpenBatch.withOccurrence(batch, event, found, now),
          pages: event.page === undefined ? pages : received(pages, event, event.page)
        }
        // The end of a page goes with the last of its items.
        return Effect.flatMap(endPages(options, after), (ended) =>
          OpenBatch.isFull(ended.batch, limits) ? commit(options, ended) : Effect.succeed(ended)
        )
      }
      case "Dropped":
        return Effect.flatMap(options.inflight.end(event.externalId, event.flight), () =>
          endPages(options, {
            ...state,
            pages: event.page === undefined ? pages : PageOrder.brokenAt(pages, event.page)
          })
        )
      case "PageListed": {
        const found = kept(state, [...event.unusable, ...event.problems])
        return endPages(options, {
          ...state,
          remaining: event.remaining,
          problems: [...state.problems, ...found],
          batch: OpenBatch.withPage(batch, event, found, now),
          pages: PageOrder.withPage(pages, event)
        })
      }
      case "ListingEnded":
        return Effect.succeed({ ...state, listing: event })
    }
  })

/** Those of these problems that the run keeps. */
const kept = ({ problems }: State, found: ReadonlyArray<Problem>): ReadonlyArray<Problem> =>
  found.slice(0, problemsKept - problems.length)

/** A person asked for this id, and the source does not know it. */
const isUnknown = (event: SliceEvent): event is Missed =>
  event._tag === "Missed" && event.origin === "forced" && event.outcome === "gone"

const unknown = "not found at the source"

/** Ends the pages whose turn it is. */
const endPages = (options: Options, state: State): Effect.Effect<State, WriteError> =>
  Effect.suspend(() => {
    const isIn = (flight: InFlight.Flight) => InFlight.isEnded(flight) || OpenBatch.holds(state.batch, flight)
    const taken = PageOrder.takeNext(state.pages, isIn)
    if (taken === undefined) return Effect.succeed(state)
    const [{ end }, pages] = taken
    const open = state.batch.end
    const apart = open !== undefined && open.listing !== end.listing
    return (apart ? commit(options, state) : Effect.succeed(state)).pipe(
      Effect.zipWith(Clock.currentTimeMillis, (before, now) => ({
        ...before,
        pages,
        batch: OpenBatch.withEnd(before.batch, end, now)
      })),
      Effect.flatMap((after) => (OpenBatch.endsNow(after.batch) ? commit(options, after) : Effect.succeed(after))),
      Effect.flatMap((after) => endPages(options, after))
    )
  })

/** The order of the pages after an item of this page is in. */
const received = (pages: PageOrder.PageOrder, event: Stored | Missed, page: number): PageOrder.PageOrder => {
  const counted = PageOrder.withItem(pages, page)
  if (waits(event)) return PageOrder.brokenAt(counted, page)
  return event._tag === "Missed" && event.outcome === "gone"
    ? PageOrder.withGone(counted, page, event.externalId)
    : counted
}

/** Deferred since the source refuses, not since the item isn't ready: then the checkpoint of its page waits. */
const waits = (event: Stored | Missed): boolean =>
  event._tag === "Missed" && event.outcome === "deferred" && event.reason !== "Unsettled"

/** Writes the run's row, if it is not there yet. */
const begin = (options: Options, state: State): Effect.Effect<State, WriteError> =>
  state.begun
    ? Effect.succeed(state)
    : Effect.as(options.store.beginRun(options.fence, { runId: options.runId, taskId: options.taskId }), {
        ...state,
        begun: true
      })

/** Writes the open batch, and leaves an empty one. A batch that changes nothing in the store is only counted. */
const commit = Effect.fnUntraced(function* (options: Options, before: State) {
  const { domain, fence, inflight, meter, span, store } = options
  const batch = (yield* options.isDown) ? OpenBatch.withoutAttempts(before.batch) : before.batch
  const spent = yield* RunMeter.spent(meter)
  const counts = RunCounts.sum(batch.counts, {
    ...RunCounts.zero,
    ...OpenBatch.missed(batch),
    ...RunMeter.since(spent, before.spent)
  })
  const after = { ...before, batch: OpenBatch.empty, spent }
  if (OpenBatch.isQuiet(batch, before.checkpoint)) {
    yield* Metrics.counted(domain, counts)
    return {
      ...after,
      counts: RunCounts.sum(before.counts, counts),
      unrecorded: RunCounts.sum(before.unrecorded, counts)
    } satisfies State
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
    store.commit(fence, {
      runId: begun ? options.runId : undefined,
      taskId: options.movedTask,
      items: batch.items,
      misses,
      done: options.remember ? done : [],
      page: batch.end,
      counts: begun ? RunCounts.sum(before.unrecorded, counts) : {},
      problems: batch.problems
    }),
    ({ outcomes, patched }) => ({ ...attributesOf(outcomes.values()), "idem.patched": patched })
  )
  const endedAt = yield* Clock.currentTimeMillis
  const bytes = batch.items.reduce((sum, item) => sum + BodyReader.size(item), 0)
  yield* Metrics.committed(domain, bytes, (endedAt - startedAt) / 1000)
  const all = RunCounts.sum(counts, {
    ...RunCounts.zero,
    ...tally(committed.outcomes.values()),
    patched: committed.patched
  })
  yield* Metrics.counted(domain, all)
  yield* Effect.forEach(batch.flights, ([id, flight]) => inflight.end(id, flight), { discard: true })
  yield* RunMeter.touch(meter)
  return {
    ...after,
    begun,
    counts: RunCounts.sum(before.counts, all),
    unrecorded: begun ? RunCounts.zero : RunCounts.sum(before.unrecorded, counts),
    checkpoint: batch.end === undefined ? before.checkpoint : OpenBatch.checkpointText(batch.end)
  } satisfies State
})

/**
 * The misses of a batch as the ledger keeps them: a failed one is one more attempt. An id that a person asked for, that the
 * source does not know and of which nothing is stored, leaves no row.
 */
const missesOf = Effect.fnUntraced(function* ({ fence, store }: Options, { misses }: OpenBatch.OpenBatch) {
  const { connectionId } = fence
  const externalIds = misses.filter((miss) => miss.outcome === "failed").map((miss) => miss.externalId)
  const rows =
    externalIds.length === 0 ? [] : yield* store.ledger(connectionId, { externalIds, limit: externalIds.length })
  const attempts = new Map(rows.map((row) => [row.externalId, row]))
  const asked = misses.filter(isUnknown).map((miss) => miss.externalId)
  const stored = asked.length === 0 ? new Set<string>() : yield* store.existing(connectionId, asked)
  const known = misses.filter((miss) => !isUnknown(miss) || stored.has(miss.externalId))
  return yield* Effect.forEach(known, (miss) => RetryPolicy.missOf(miss, attempts.get(miss.externalId)))
})

/** What has been committed, with what the open batch holds and the run has spent so far. */
const progressOf = ({ batch, counts, remaining }: State, spent: RunMeter.Spent): Progress => {
  const { existing, forced, listed, retried } = RunCounts.sum(counts, batch.counts)
  return { counts: { ...counts, existing, forced, listed, retried, ...spent }, remaining }
}

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
