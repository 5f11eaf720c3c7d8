/**
 * The one fiber of a run that owns its batches. It gathers the results of the downloads, commits each batch in one
 * transaction, and ends pages in their order. A slow item does not delay other items.
 *
 * Commits are grouped: one commit is in flight at a time, and the items that arrive meanwhile form the next batch. So
 * batches grow with the time that a commit takes, up to the limits of a group.
 *
 * A failed commit ends this fiber, and the run with it. If the answer of a commit was lost, its effect is unknown: the
 * batch is not retried and not counted, and no later batch is written. The next run asks the store what is there. Any
 * other end of a run (the reader or the lease failed, or it was interrupted) still commits the complete items.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import type { Problem } from "../../contract/Page.ts"
import type { Progress } from "../Engine.ts"
import type { Limits } from "../Limits.ts"
import * as RunCounts from "../model/RunCounts.ts"
import * as BatchCommit from "./BatchCommit.ts"
import type { Committed, Recorded, WriteError } from "./BatchCommit.ts"
import * as InFlight from "./InFlight.ts"
import * as OpenBatch from "./OpenBatch.ts"
import * as PageOrder from "./PageOrder.ts"
import type { RunError } from "./RunFailure.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import type { ListingEnded, Missed, SliceEvent, Stored } from "./SliceEvent.ts"
import { maxKept } from "../model/Run.ts"

export interface Options extends BatchCommit.Options {
  /** Ends, or fails, after the last event. */
  readonly events: Queue.Dequeue<SliceEvent, RunError | Cause.Done>
  /** True if the run has a row even when nothing happens in it. */
  readonly recorded: boolean
  readonly limits: Limits
  /** The checkpoint that is stored now, as `OpenBatch.checkpointText` has it. */
  readonly checkpoint: string | undefined
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
}

/** The result of writing: its counts, its problems, and how it ended. */
export interface Written {
  readonly recorded: Recorded
  readonly problems: ReadonlyArray<Problem>
  /** The number of pages that were committed with their ends. */
  readonly pages: number
  /** How far the listing came; undefined if it did not say. */
  readonly listing: ListingEnded | undefined
  readonly exit: Exit.Exit<void, RunError>
}

/** The state of the fiber that commits. Other fibers do not read it. */
interface State {
  readonly batch: OpenBatch.OpenBatch
  /** The batch whose commit is in flight. */
  readonly committing: OpenBatch.OpenBatch | undefined
  readonly committed: Committed
  readonly pages: PageOrder.PageOrder
  readonly problems: ReadonlyArray<Problem>
  readonly remaining: number | undefined
  readonly listing: ListingEnded | undefined
}

/** A step of the state that may wait for the commit in flight, and begin the next one. */
type Step<A> = Effect.Effect<A, WriteError>

interface InFlightCommit {
  readonly done: Deferred.Deferred<Exit.Exit<Committed, WriteError>>
  readonly fiber: Fiber.Fiber<unknown>
}

/** The state and the commits that the steps of one run share. */
interface Writer {
  readonly options: Options
  /** Changes the state. */
  readonly update: (change: (state: State) => State) => void
  readonly state: () => State
  /** True while a commit is in flight. */
  readonly isBusy: () => boolean
  /** Waits until no commit is in flight. Fails if that commit failed: nothing is written after it. */
  readonly settle: Step<void>
  /** Begins to commit the open batch, after the commit in flight. Later events go into a new batch. */
  readonly commit: Step<void>
}

const makeWriter = (options: Options): Writer => {
  let state: State = {
    batch: OpenBatch.make(),
    committing: undefined,
    committed: BatchCommit.none(options.checkpoint),
    pages: PageOrder.initial,
    problems: [],
    remaining: undefined,
    listing: undefined
  }
  let inFlight: InFlightCommit | undefined
  const update: Writer["update"] = (change) => {
    state = change(state)
  }
  const settle = Effect.suspend(() => {
    const commit = inFlight
    if (commit === undefined) return Effect.void
    const { done, fiber } = commit
    // An interruption is passed on to the commit. It ends the run only once the commit has ended.
    return Effect.exit(Effect.interruptible(Deferred.await(done))).pipe(
      Effect.andThen((waited) => (Exit.isSuccess(waited) ? Effect.void : Effect.sync(() => fiber.interruptUnsafe()))),
      Effect.andThen(Deferred.await(done)),
      Effect.flatMap((exit) => {
        inFlight = undefined
        // A failed commit may have recorded its counts: recording them later could count them twice.
        const committed = Exit.isSuccess(exit) ? exit.value : { ...state.committed, unrecorded: RunCounts.zero }
        update((now) => ({ ...now, committed, committing: undefined }))
        return Exit.asVoid(exit)
      })
    )
  })
  const commit = Effect.gen(function* () {
    yield* settle
    const { batch, committed } = state
    update((now) => ({ ...now, batch: OpenBatch.make(), committing: batch }))
    const done = yield* Deferred.make<Exit.Exit<Committed, WriteError>>()
    // Stored outside the fiber, because an interrupted fiber does not return the result of its last step.
    const committing = Effect.exit(BatchCommit.commit(options, committed, batch)).pipe(
      Effect.flatMap((exit) => Deferred.succeed(done, exit)),
      Effect.uninterruptible
    )
    inFlight = { done, fiber: yield* Effect.forkChild(committing, { startImmediately: true }) }
  })
  const isBusy = () => inFlight !== undefined && !Deferred.isDoneUnsafe(inFlight.done)
  return { options, update, state: () => state, isBusy, settle, commit }
}

/**
 * Consumes the events of a slice until they end. Only the wait for events can be interrupted: then the complete items
 * are committed, and `exit` is the interruption.
 */
export const run = (options: Options): Effect.Effect<Written> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const writer = makeWriter(options)
      const report = Effect.gen(function* () {
        const spent = yield* RunMeter.spent(options.meter)
        const { waitingUntil } = yield* RunMeter.read(options.meter)
        yield* Effect.exit(restore(options.onProgress({ ...progressOf(writer.state(), spent), waitingUntil })))
      })
      const receiveOne = (event: SliceEvent) =>
        Effect.andThen(receive(writer, event), event._tag === "Tick" ? report : Effect.void)
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
              Effect.andThen(writer.commit),
              Effect.andThen(writer.settle),
              Effect.andThen(report),
              Effect.andThen(Exit.asVoid(exit))
            )
      )
      const start = options.recorded
        ? Effect.map(BatchCommit.begin(options, writer.state().committed), (committed) =>
            writer.update((now) => ({ ...now, committed }))
          )
        : Effect.void
      const exit = yield* Effect.exit(Effect.ensuring(Effect.andThen(start, untilTheEnd), Effect.exit(writer.settle)))
      const { committed, listing, pages, problems } = writer.state()
      return { exit, listing, pages: pages.next - 1, problems, recorded: committed }
    })
  )

/** True once the open batch is committed as soon as no other commit is in flight. */
const isDue = ({ limits }: Options, { batch }: State, now: number): boolean =>
  OpenBatch.isFull(batch, { items: limits.batchItems, bytes: limits.batchBytes }) ||
  (batch.since !== undefined && now - batch.since >= Duration.toMillis(limits.batchAge))

/** Takes an event in, then begins the next commit if it is due. A full group waits for the commit in flight. */
const receive = (writer: Writer, event: SliceEvent): Step<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { limits } = writer.options
    return takeIn(writer, event, now).pipe(
      Effect.andThen(Effect.suspend(() => (writer.isBusy() ? Effect.void : writer.settle))),
      Effect.andThen(
        Effect.suspend(() => {
          const { batch } = writer.state()
          const isGroupFull = OpenBatch.isFull(batch, { items: limits.groupItems, bytes: limits.batchBytes })
          return isGroupFull || (!writer.isBusy() && isDue(writer.options, writer.state(), now))
            ? writer.commit
            : Effect.void
        })
      )
    )
  })

const takeIn = (writer: Writer, event: SliceEvent, now: number): Step<void> =>
  Effect.suspend(() => {
    const state = writer.state()
    const { batch, pages } = state
    switch (event._tag) {
      case "Tick":
        return Effect.void
      case "Stored":
      case "Missed": {
        const found = kept(state, BatchCommit.isUnknown(event) ? [{ place: event.externalId, message: unknown }] : [])
        OpenBatch.addOccurrence(batch, event, found, now)
        writer.update(() => ({
          ...state,
          problems: found.length === 0 ? state.problems : [...state.problems, ...found],
          pages: event.page === undefined ? pages : received(pages, event, event.page)
        }))
        // The end of a page goes with the last of its items.
        return endPages(writer, now)
      }
      case "Dropped":
        return Effect.flatMap(writer.options.inflight.end(event.externalId, event.flight), () => {
          if (event.page !== undefined) {
            const page = event.page
            writer.update((before) => ({ ...before, pages: PageOrder.brokenAt(before.pages, page) }))
          }
          return endPages(writer, now)
        })
      case "PageListed": {
        const found = kept(state, [...event.unusable, ...event.problems])
        OpenBatch.addPage(batch, event, found, now)
        writer.update(() => ({
          ...state,
          remaining: event.remaining,
          problems: [...state.problems, ...found],
          pages: PageOrder.withPage(pages, event)
        }))
        return endPages(writer, now)
      }
      case "ListingEnded":
        writer.update((before) => ({ ...before, listing: event }))
        return Effect.void
    }
  })

/** Returns the problems that the run still keeps, of those that were found. */
const kept = ({ problems }: State, found: ReadonlyArray<Problem>): ReadonlyArray<Problem> =>
  found.slice(0, maxKept - problems.length)

const unknown = "not found at the source"

/** Ends the pages that come next in order and are complete. */
const endPages = (writer: Writer, now: number): Step<void> =>
  Effect.suspend(() => {
    const { batch, committing, pages } = writer.state()
    const isIn = (flight: InFlight.Flight) =>
      InFlight.isEnded(flight) ||
      OpenBatch.holds(batch, flight) ||
      (committing !== undefined && OpenBatch.holds(committing, flight))
    const taken = PageOrder.takeNext(pages, isIn)
    if (taken === undefined) return Effect.void
    const [page, after] = taken
    // An id that a later page listed again is not deleted: what was downloaded since may be committed already.
    const deleted = page.end.deleted.filter((id) => !writer.options.inflight.hasReturned(id))
    const end = { ...page.end, deleted }
    const isApart = batch.end !== undefined && batch.end.listing !== end.listing
    return (isApart ? writer.commit : Effect.void).pipe(
      Effect.andThen(
        Effect.suspend(() => {
          writer.update((before) => ({ ...before, pages: after }))
          OpenBatch.addEnd(writer.state().batch, end, now)
          return OpenBatch.endsNow(writer.state().batch) ? writer.commit : Effect.void
        })
      ),
      Effect.andThen(endPages(writer, now))
    )
  })

/** The order of the pages after an item of this page has its outcome. */
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

/** The counts so far: committed, in the batches that are not, and spent. */
const progressOf = (
  { batch, committed: { counts }, committing, remaining }: State,
  spent: RunMeter.Spent
): Progress => {
  const gathered = RunCounts.sum(batch.counts, committing?.counts ?? RunCounts.zero)
  const { existing, forced, listed, retried } = RunCounts.sum(counts, gathered)
  return { counts: { ...counts, existing, forced, listed, retried, ...spent }, remaining }
}
