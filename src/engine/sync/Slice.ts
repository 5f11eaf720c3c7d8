/**
 * The work of one slice, inside a lease that `LeasedSlice.ts` holds: lists, downloads new items with bounded
 * concurrency, and commits in order, under the fence of the lease. If a slice is cut off, its commits stand, and the
 * next slice finds the rest.
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import type { Progress } from "../Engine.ts"
import { Limits } from "../Limits.ts"
import type { LeasedConnection } from "../model/Connection.ts"
import * as Lease from "../locks/Lease.ts"
import * as OpenSource from "../source/OpenSource.ts"
import * as RefusalDelay from "../source/RefusalDelay.ts"
import { ContentStore } from "../store/ContentStore.ts"
import * as Spans from "../telemetry/Spans.ts"
import * as BatchWriter from "./BatchWriter.ts"
import * as Deletions from "./Deletions.ts"
import * as Downloader from "./Downloader.ts"
import * as StopSignal from "./StopSignal.ts"
import * as InFlight from "./InFlight.ts"
import * as Listing from "./Listing.ts"
import * as PageReader from "./PageReader.ts"
import * as PartReader from "./PartReader.ts"
import * as RunCompletion from "./RunCompletion.ts"
import type { Failure } from "../model/Task.ts"
import * as RunFailure from "./RunFailure.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import type { SliceContext } from "./SliceContext.ts"
import type { Download, ListingEnded, SliceEvent } from "./SliceEvent.ts"
import type { Next, SliceResult } from "./SliceResult.ts"
import type { Plan } from "./SyncPlan.ts"

interface Options {
  /** The connection from `Lease.acquire`, with its fence. */
  readonly connection: LeasedConnection
  readonly source: OpenSource.Source
  readonly run: SliceContext["run"]
  readonly checkpointTask: SliceContext["checkpointTask"]
  readonly plan: Plan
  /** Notes for a person about the start of the run. */
  readonly notes: ReadonlyArray<string>
  /** True if the run is recorded even if it is quiet, because a person asked for it. */
  readonly recorded: boolean
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
}

/** How often the age of the open batch is checked, and progress is reported. */
const tickEvery = Duration.millis(250)

/** The back-off after a refusal without a delay. */
const defaultRetryAfter = Duration.minutes(1)

type Events = Queue.Queue<SliceEvent, RunFailure.RunError | Cause.Done>

/** The end of a listing that was cut off or never began. */
const unread: ListingEnded = {
  _tag: "ListingEnded",
  more: true,
  failure: undefined,
  reading: Deletions.nothingRead,
  notes: []
}

/** Opens the source. A refusal stops the slice, as a refusal of an item does. */
const open = Effect.fnUntraced(function* (
  { connection, source }: Options,
  { meter, span, stop }: SliceContext,
  events: Events
) {
  return yield* span("open", {}, OpenSource.open({ connection, ...source }, meter)).pipe(
    Effect.asSome,
    Effect.catchTag(
      "IntegrationError",
      Effect.fnUntraced(function* (error) {
        const isStopped = yield* StopSignal.forError(stop, meter, error)
        yield* Queue.offer(events, { ...unread, failure: isStopped ? undefined : error })
        return Option.none()
      })
    )
  )
})

/** Lists and downloads with bounded concurrency, and passes the events to the fiber that commits. */
const produce = Effect.fnUntraced(function* (options: Options, context: SliceContext, events: Events) {
  const { checkpointTask, connection, inflight, meter, plan } = context
  const opened = yield* open(options, context, events)
  if (Option.isNone(opened)) return
  const session = opened.value
  const contents = yield* ContentStore
  const { concurrency } = yield* Limits
  const checker = InFlight.checker({ contents, connectionId: connection.id, inflight, meter })
  const parts = PartReader.make({
    contents,
    connectionId: connection.id,
    taskId: checkpointTask,
    fresh: Option.isNone(plan.checkpoint),
    hinted: plan.hinted
  })
  const listing = yield* Listing.make(context, { session, checker, parts })
  const download = yield* Downloader.make(context, session)
  const slots = Semaphore.makeUnsafe(concurrency)
  const handOver = (one: Download) =>
    download(one).pipe(
      Effect.flatMap((event) => Queue.offer(events, event)),
      // The first failure ends the run.
      Effect.onError((cause) => Queue.failCause(events, cause)),
      Effect.ensuring(slots.release(1))
    )
  // A download begins before the next page is asked for: the end of the listing would stop it. Its fiber is in the
  // scope of the session, which interrupts the downloads before it closes the session.
  const take = (one: PageReader.Work) =>
    one._tag === "Download"
      ? Effect.andThen(slots.take(1), Effect.forkScoped(handOver(one), { startImmediately: true }))
      : Queue.offer(events, one)
  const read = yield* Effect.exit(PageReader.run(context, { listing, parts, take }))
  // If the listing fails, the downloads in flight are still completed.
  yield* slots.take(concurrency)
  yield* read
  yield* Queue.offer(events, listing.ended())
}, Effect.scoped)

/**
 * Runs an effect with its services in one flat map. The scope of each download adds a service, and a context to which
 * eight services were added one by one is copied as a whole for each addition.
 */
const withFlatContext = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(effect, (context: Context.Context<R>) => Context.makeUnsafe<R>(context.mapUnsafe))

/** Reads, downloads and commits until nothing is left, or the slice has to end. */
const write = Effect.fnUntraced(function* (options: Options, context: SliceContext) {
  // Without a buffer: while the writer waits for a commit, finished downloads wait, and no new ones begin.
  const events: Events = yield* Queue.bounded<SliceEvent, RunFailure.RunError | Cause.Done>(0)
  const pause = Effect.sleep(tickEvery)
  const tick = Queue.offer(events, { _tag: "Tick" })
  const renewal = Effect.forkScoped(Queue.into(Lease.renew(context.connection, context.meter), events))
  // Most polls end before the first tick, and need no fiber that renews the lease. It waits for no tick to be taken.
  yield* Effect.forkScoped(
    pause.pipe(Effect.andThen(renewal), Effect.andThen(Effect.forever(Effect.andThen(tick, pause))))
  )
  yield* Effect.forkScoped(Queue.into(withFlatContext(produce(options, context, events)), events))
  return yield* BatchWriter.run(context, { events, recorded: options.recorded, onProgress: options.onProgress })
}, Effect.scoped)

/** Returns the failure of the run, or null. A refusal because of quota is not a failure: the run continues later. */
const failureOf = (
  stopReason: StopSignal.Reason | undefined,
  listingFailure: ListingEnded["failure"]
): Failure | null => {
  if (stopReason?._tag === "GivenUp") return { reason: "TooManyFailures", message: stopReason.message }
  const error = stopReason?._tag === "Refused" ? stopReason.error : listingFailure
  return error === undefined || error.reason._tag === "RateLimited" ? null : RunFailure.of(error)
}

/**
 * Returns true if the slice ended at its page limit, committed all pages, and left the state with which it began: the
 * next slice would list the same pages. A slice with hints does not repeat, because hints are given once.
 */
const repeats = ({ hinted }: Plan, { isUnmoved, listing, pages }: BatchWriter.Written, { slicePages }: Limits) =>
  listing?.more === true &&
  pages >= slicePages &&
  pages === listing.reading.pages &&
  isUnmoved &&
  hinted.parts.length === 0

/** Decides what follows this slice: nothing, another slice, or a wait. */
const nextOf = (
  stopReason: StopSignal.Reason | undefined,
  isMoreListed: boolean,
  { askedWait, exhausted }: RunMeter.State,
  limits: Limits
): Next => {
  if (stopReason?._tag === "Refused") {
    // `call` bounds the delays of its own refusals. A body's stream fails outside of any call.
    const { reason } = RefusalDelay.bound(stopReason.error, limits.longestRetryAfter)
    if (reason._tag === "RateLimited") {
      const delay = reason.retryAfter ?? defaultRetryAfter
      return { _tag: "Wait", delay, askedWait: delay, isRefusal: true }
    }
  }
  if (exhausted !== undefined) return { _tag: "Wait", delay: exhausted, askedWait, isRefusal: false }
  return { _tag: isMoreListed || stopReason?._tag === "Over" ? "More" : "Done" }
}

/** Runs a slice to its end. Never fails: an error is in the result, and in the run's row. */
export const run = Effect.fnUntraced(function* (options: Options) {
  const { checkpointTask, connection, plan, run } = options
  const limits = yield* Limits
  const context: SliceContext = {
    connection,
    run,
    checkpointTask,
    plan,
    stop: yield* StopSignal.make,
    inflight: InFlight.make(),
    meter: yield* RunMeter.make(limits.sliceTime),
    span: yield* Spans.make
  }
  const written = yield* write(options, context)
  const listing = written.listing ?? unread
  const stopReason = yield* StopSignal.read(context.stop)
  const worked = yield* RunFailure.capture(written.exit)
  const notes = [...options.notes, ...listing.notes]
  const readiness = Deletions.readiness(listing.reading, written.pages)
  const { counts, error } = yield* RunCompletion.run(
    { connection, run, span: context.span, task: plan.task, readiness, notes },
    written,
    Result.isFailure(worked)
      ? worked.failure
      : failureOf(stopReason, repeats(plan, written, limits) ? Listing.repeated(written.pages) : listing.failure)
  )
  return {
    counts,
    problems: written.problems,
    notes,
    error,
    next: nextOf(stopReason, listing.more, yield* RunMeter.read(context.meter), limits),
    changesRead: error === null && readiness.changes,
    hintedOnly: plan.hinted.only,
    pages: written.fingerprints,
    repeats: 0
  } satisfies SliceResult
})
