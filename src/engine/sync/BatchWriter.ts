/**
 * The one fiber of a run that owns its batches. It gathers what the downloads hand over, commits each batch in one
 * transaction, and ends pages in their order, one step after the other. A slow item holds up no other item.
 *
 * A failed commit ends this fiber, and the run with it. Nobody knows whether a commit took effect whose answer was
 * lost, so nothing of that batch is tried again or counted again, and no later batch is written: the next run finds
 * out. Any other end of a run (the reader or the lease failed, or it was interrupted) still commits what is whole.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import type { Problem } from "../../contract/Page.ts"
import type { Progress } from "../Engine.ts"
import * as RunCounts from "../model/RunCounts.ts"
import { begin, commit, initial, isUnknown, type Options, type State, type WriteError } from "./BatchCommit.ts"
import * as InFlight from "./InFlight.ts"
import * as OpenBatch from "./OpenBatch.ts"
import * as PageOrder from "./PageOrder.ts"
import type { RunError } from "./RunFailure.ts"
import * as RunMeter from "./RunMeter.ts"
import type { ListingEnded, Missed, SliceEvent, Stored } from "./SliceEvent.ts"

/** The result of writing: its counts, its problems, and how it ended. */
export interface Written {
  /** The counts of all that is known to be committed. */
  readonly counts: RunCounts.Counts
  /** The part of `counts` that the run's row does not have yet. */
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

/** Problems that a run keeps; more of them say nothing new. */
const problemsKept = 100

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
      const report = Effect.gen(function* () {
        const spent = yield* RunMeter.spent(options.meter)
        const { waitingUntil } = yield* RunMeter.read(options.meter)
        yield* Effect.exit(restore(options.onProgress({ ...progressOf(state, spent), waitingUntil })))
      })
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

/** Returns the problems that the run still keeps, of those that were found. */
const kept = ({ problems }: State, found: ReadonlyArray<Problem>): ReadonlyArray<Problem> =>
  found.slice(0, problemsKept - problems.length)

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

/** The counts so far: committed, in the open batch, and spent. */
const progressOf = ({ batch, counts, remaining }: State, spent: RunMeter.Spent): Progress => {
  const { existing, forced, listed, retried } = RunCounts.sum(counts, batch.counts)
  return { counts: { ...counts, existing, forced, listed, retried, ...spent }, remaining }
}
