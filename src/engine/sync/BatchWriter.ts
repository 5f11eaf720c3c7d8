/**
 * The only fiber of a run that owns its batches. It gathers the results of the downloads, commits each batch in one
 * transaction, and ends pages in their order. A slow item does not delay other items.
 *
 * Commits are grouped: one commit is in flight at a time, and the items that arrive meanwhile form the next batch. So
 * batches grow with the duration of a commit, up to the limits of a group.
 *
 * A failed commit ends this fiber, and the run with it. If the run ends for any other reason (the reader or the lease
 * failed, or it was interrupted), the items that have arrived are still committed.
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import type { Problem } from "../../contract/Page.ts"
import type { Progress } from "../Engine.ts"
import { Limits } from "../Limits.ts"
import type { PageEnd } from "../model/Batch.ts"
import { maxKept } from "../model/Run.ts"
import * as RunCounts from "../model/RunCounts.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import * as BatchCommit from "./BatchCommit.ts"
import type { Flight, InFlight } from "./InFlight.ts"
import * as OpenBatch from "./OpenBatch.ts"
import * as PageOrder from "./PageOrder.ts"
import * as Repetition from "./Repetition.ts"
import type { PageFingerprint } from "./SliceResult.ts"
import type { RunError } from "./RunFailure.ts"
import type { SliceContext } from "./SliceContext.ts"
import type { ListingEnded, SliceEvent } from "./SliceEvent.ts"

interface Options {
  /** The events of the slice. The queue ends, or fails, after the last one. */
  readonly events: Queue.Dequeue<SliceEvent, RunError | Cause.Done>
  /** True if the run has a row even if nothing happens in it. */
  readonly recorded: boolean
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
}

/** The result of writing: its counts, its problems, and how it ended. */
export interface Written {
  readonly recorded: BatchCommit.Recorded
  readonly problems: ReadonlyArray<Problem>
  /** The number of pages that were committed with their ends. */
  readonly pages: number
  readonly fingerprints: ReadonlyArray<PageFingerprint>
  /** See `BatchCommits.isUnmoved`. */
  readonly isUnmoved: boolean
  /** The last state of the listing; undefined if the listing did not report its end. */
  readonly listing: ListingEnded | undefined
  readonly exit: Exit.Exit<void, RunError>
}

/** The state of the committing fiber. Other fibers do not read it. */
interface Writer {
  readonly commits: BatchCommit.BatchCommits
  readonly inflight: InFlight
  readonly limits: Limits
  readonly pages: PageOrder.PageOrder
  readonly problems: Array<Problem>
  readonly fingerprints: Array<PageFingerprint>
  batch: OpenBatch.OpenBatch
  remaining: number | undefined
  listing: ListingEnded | undefined
}

/** A step that may wait for the commit in flight, and then begin the next one. */
type Step = Effect.Effect<void, BatchCommit.WriteError>

/**
 * Consumes the events of a slice until they end. Only the wait for events is interruptible: then the items that have
 * arrived are committed, and `exit` is the interruption.
 */
export const run = Effect.fnUntraced(function* (context: SliceContext, { events, onProgress, recorded }: Options) {
  const commits = yield* BatchCommit.make(context)
  const writer: Writer = {
    commits,
    inflight: context.inflight,
    limits: yield* Limits,
    pages: PageOrder.make(),
    problems: [],
    fingerprints: [],
    batch: OpenBatch.make(),
    remaining: undefined,
    listing: undefined
  }
  return yield* Effect.uninterruptibleMask((restore) => {
    const report = Effect.flatMap(RunMeter.read(context.meter), (meter) =>
      Effect.exit(restore(onProgress(progressOf(writer, meter))))
    )
    const receiveOne = (event: SliceEvent) =>
      event._tag === "Tick" ? Effect.andThen(receive(writer, event), report) : receive(writer, event)
    /** Returns how the events ended. Fails only if a commit failed: then nothing more is written. */
    const receiveAll = Effect.gen(function* () {
      while (true) {
        const event = yield* Effect.exit(restore(Queue.take(events)))
        if (Exit.isFailure(event)) return yield* Effect.exit(Pull.catchDone(Effect.asVoid(event), () => Effect.void))
        yield* receiveOne(event.value)
      }
    })
    return Effect.gen(function* () {
      const exit = yield* Effect.gen(function* () {
        if (recorded) yield* commits.beginRun
        const ended = yield* receiveAll
        const waiting = yield* Effect.orElseSucceed(Queue.clear(events), (): Array<SliceEvent> => [])
        for (const event of waiting) yield* receiveOne(event)
        yield* commit(writer)
        yield* commits.idle
        yield* report
        return yield* ended
      }).pipe(Effect.ensuring(Effect.exit(commits.idle)), Effect.exit)
      const { fingerprints, listing, pages, problems } = writer
      const isUnmoved = commits.isUnmoved()
      return {
        exit,
        listing,
        pages: pages.next - 1,
        fingerprints,
        problems,
        recorded: commits.recorded(),
        isUnmoved
      } satisfies Written
    })
  })
})

/** Begins to commit the open batch, after the commit in flight. Later events go into a new batch. */
const commit = (writer: Writer): Step =>
  Effect.andThen(
    writer.commits.idle,
    Effect.suspend(() => {
      const { batch } = writer
      writer.batch = OpenBatch.make()
      return writer.commits.begin(batch)
    })
  )

/**
 * Adds an event to the open batch, then begins the next commit if it is due. A full group waits for the commit in
 * flight.
 */
const receive = (writer: Writer, event: SliceEvent): Step =>
  Effect.flatMap(RunMeter.monotonicMillis, (now) =>
    Effect.andThen(takeIn(writer, event, now), commitIfDue(writer, now))
  )

const commitIfDue = (writer: Writer, now: number): Step =>
  Effect.suspend(() => {
    const { batch, commits, limits } = writer
    const isGroupFull = OpenBatch.isFull(batch, { items: limits.groupItems, bytes: limits.batchBytes })
    if (isGroupFull || (!commits.isBusy() && isDue(writer, now))) return commit(writer)
    // Fails if the last commit failed.
    return commits.isBusy() ? Effect.void : commits.idle
  })

/** Returns true if the open batch should be committed as soon as no other commit is in flight. */
const isDue = ({ batch, limits }: Writer, now: number): boolean =>
  OpenBatch.isFull(batch, { items: limits.batchItems, bytes: limits.batchBytes }) ||
  (batch.since !== undefined && now - batch.since >= Duration.toMillis(limits.batchAge))

const takeIn = (writer: Writer, event: SliceEvent, now: number): Step => {
  const { batch, pages } = writer
  switch (event._tag) {
    case "Tick":
      return Effect.void
    case "Fetched":
    case "NotFetched": {
      const found = BatchCommit.isUnknown(event)
        ? addProblems(writer, [{ place: event.externalId, message: "not found at the source" }])
        : []
      OpenBatch.addOccurrence(batch, event, found, now)
      PageOrder.addItem(pages, event)
      // The end of a page is committed with the last of its items.
      return endPages(writer, now)
    }
    case "Dropped":
      // Its page lacks this item for the rest of the slice, so neither that page nor a later one can end.
      return Effect.andThen(event.flight.end, () => endPages(writer, now))
    case "PageListed":
      OpenBatch.addPage(batch, event, addProblems(writer, [...event.unusable, ...event.problems]), now)
      PageOrder.addPage(pages, event)
      writer.fingerprints.push(Repetition.fingerprintOf(event.end))
      writer.remaining = event.remaining
      return endPages(writer, now)
    case "ListingEnded":
      writer.listing = event
      return Effect.void
  }
}

/** Adds problems, up to the most that a run may have. Returns those that were added. */
const addProblems = ({ problems }: Writer, found: ReadonlyArray<Problem>): ReadonlyArray<Problem> => {
  const added = found.slice(0, maxKept - problems.length)
  problems.push(...added)
  return added
}

/** Ends the next pages, in order, that have all their items. Usually there are none. */
const endPages = (writer: Writer, now: number): Step => {
  const { commits, inflight, pages } = writer
  const isIn = (flight: Flight): boolean =>
    flight.isEnded() || writer.batch.flights.has(flight) || commits.inFlight()?.flights.has(flight) === true
  const page = PageOrder.takeNext(pages, isIn)
  if (page === undefined) return Effect.void
  return Effect.gen(function* () {
    // An id that a later page listed again is not deleted: its new download may be committed already.
    const end: PageEnd = { ...page, deleted: page.deleted.filter((id) => !inflight.hasReturned(id)) }
    const isApart = writer.batch.end !== undefined && writer.batch.end.listing !== end.listing
    if (isApart) yield* commit(writer)
    OpenBatch.addEnd(writer.batch, end, now)
    if (OpenBatch.endsNow(writer.batch)) yield* commit(writer)
    yield* endPages(writer, now)
  })
}

/** Returns the counts so far: of commits, of the open batches, and of the meter. */
const progressOf = ({ batch, commits, remaining }: Writer, meter: RunMeter.State): Progress => {
  const { counts } = commits.recorded()
  const gathered = RunCounts.sum(batch.counts, commits.inFlight()?.counts ?? RunCounts.zero)
  const { existing, forced, listed, retried } = RunCounts.sum(counts, gathered)
  const { waitingUntil } = meter
  return {
    counts: { ...counts, existing, forced, listed, retried, ...RunMeter.spentOf(meter) },
    remaining,
    waitingUntil
  }
}
