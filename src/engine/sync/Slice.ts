/**
 * The work of one slice, inside a lease that `LeasedSlice.ts` holds: lists, downloads new items with bounded
 * concurrency, and commits in order, under the fence of the lease. If a slice is cut off, its commits stand, and the
 * next slice finds the rest.
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { DecodedConfig, Integration } from "../../contract/Integration.ts"
import type { Problem } from "../../contract/Page.ts"
import type { Progress } from "../Engine.ts"
import { Limits } from "../Limits.ts"
import type { LeasedConnection } from "../model/Connection.ts"
import type { RunId, RunKind } from "../model/Run.ts"
import type { Counts } from "../model/RunCounts.ts"
import type { TaskId, TaskRow } from "../model/Task.ts"
import * as Lease from "../locks/Lease.ts"
import * as OpenSource from "../source/OpenSource.ts"
import * as RefusalDelay from "../source/RefusalDelay.ts"
import { BodyStore } from "../store/BodyStore.ts"
import { ContentStore } from "../store/ContentStore.ts"
import { LedgerStore } from "../store/LedgerStore.ts"
import { RunStore } from "../store/RunStore.ts"
import { fenceOf } from "../store/Fence.ts"
import * as Spans from "../telemetry/Spans.ts"
import * as BatchWriter from "./BatchWriter.ts"
import * as Deletions from "./Deletions.ts"
import { DownloadBudget } from "./DownloadBudget.ts"
import * as Downloader from "./Downloader.ts"
import * as StopSignal from "./StopSignal.ts"
import * as InFlight from "./InFlight.ts"
import * as Listing from "./Listing.ts"
import * as OpenBatch from "./OpenBatch.ts"
import * as PageReader from "./PageReader.ts"
import * as PartReader from "./PartReader.ts"
import * as RunCompletion from "./RunCompletion.ts"
import * as RunFailure from "./RunFailure.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import type { ListingEnded, SliceEvent } from "./SliceEvent.ts"
import type { Plan } from "./SyncPlan.ts"

export interface Options {
  /** As `Lease.acquire` gave it, with its fence. */
  readonly connection: LeasedConnection
  readonly integration: Integration
  readonly config: DecodedConfig
  readonly credentials: Schema.Json
  readonly runId: RunId
  /** The task's row, for a task that keeps its own checkpoint. */
  readonly taskRow: TaskRow | undefined
  /** The task that the run is of, if it is of one. */
  readonly taskId: TaskId | undefined
  readonly kind: RunKind
  readonly plan: Plan
  /** Notes for a person on how the run begins. */
  readonly notes: ReadonlyArray<string>
  /** True if the run is recorded even when it turns out quiet: a person asked for it. */
  readonly recorded: boolean
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
}

export interface SliceResult {
  readonly counts: Counts
  readonly problems: ReadonlyArray<Problem>
  readonly notes: ReadonlyArray<string>
  readonly error: RunFailure.Failure | null
  /** True if there is more to do. */
  readonly more: boolean
  /** True if the reading of the changes came to its end. */
  readonly changesRead: boolean
  /** How long to wait before going on: the source asked for it, or the account's quota is used up until then. */
  readonly waitFor: Duration.Duration | undefined
  /** True if the source asked for the wait. */
  readonly refused: boolean
  /** The wait that the source asked for, in this run or in an earlier one of the account. */
  readonly askedFor: Duration.Duration | undefined
  /** True if it listed hinted parts only, before the connection's poll was due. */
  readonly isEarly: boolean
}

/** How often the age of the open batch is checked, and progress is reported. */
const tickEvery = Duration.millis(250)

/** The back-off after a refusal that does not say how long to wait. */
const defaultRetryAfter = Duration.minutes(1)

/** The state that the fibers of a slice share. */
interface Shared {
  readonly stop: StopSignal.StopSignal
  readonly inflight: InFlight.InFlight
  readonly meter: RunMeter.RunMeter
  readonly span: Spans.Spanning
  readonly events: Queue.Queue<SliceEvent, RunFailure.RunError | Cause.Done>
}

/** The end of a listing that was cut off or never began. */
const unread: ListingEnded = {
  _tag: "ListingEnded",
  more: true,
  failure: undefined,
  reading: Deletions.nothingRead,
  notes: []
}

/** Opens the source. A refusal stops the slice, like the refusal of an item. */
const open = Effect.fnUntraced(function* (options: Options, { events, stop, meter }: Shared) {
  return yield* Effect.withSpan(OpenSource.session(options, meter), "open", { captureStackTrace: false }).pipe(
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
const produce = Effect.fnUntraced(function* (options: Options, shared: Shared) {
  const { connection, plan } = options
  const { events, stop, inflight, meter, span } = shared
  const opened = yield* open(options, shared)
  if (Option.isNone(opened)) return
  const session = opened.value
  const contents = yield* ContentStore
  const limits = yield* Limits
  const budget = yield* DownloadBudget
  const fence = fenceOf(connection)
  const checker = InFlight.checker({ contents, connectionId: connection.id, inflight, meter })
  const parts = PartReader.make({
    contents,
    connectionId: connection.id,
    taskId: options.taskRow?.id,
    fresh: Option.isNone(plan.checkpoint),
    hinted: plan.hinted
  })
  const listing = yield* Listing.make({ session, plan, stop, checker, parts, limits, meter, span })
  const work = yield* PageReader.make({
    listing,
    contents: yield* ContentStore,
    ledger: yield* LedgerStore,
    fence,
    plan,
    stop,
    inflight,
    parts,
    limits
  })
  const download = yield* Downloader.make({ session, bodies: yield* BodyStore, limits, budget, meter, stop, span })
  const handOver = (one: PageReader.Work) =>
    one._tag === "Download"
      ? Effect.flatMap(download(one), (event) => Queue.offer(events, event))
      : Queue.offer(events, one)
  yield* Stream.runDrain(Stream.mapEffect(work, handOver, { concurrency: limits.concurrency, unordered: true }))
  yield* Queue.offer(events, yield* listing.ended)
}, Effect.scoped)

/** Reads, downloads and commits until nothing is left, or the slice has to end. */
const write = Effect.fnUntraced(function* (options: Options, shared: Shared) {
  const { connection, plan } = options
  const { events, stop, inflight, meter, span } = shared
  const tick = Effect.andThen(Effect.sleep(tickEvery), Queue.offer(events, { _tag: "Tick" }))
  yield* Effect.forkScoped(Effect.forever(tick))
  yield* Effect.forkScoped(Queue.into(Lease.keep(connection, meter), events))
  yield* Effect.forkScoped(Queue.into(produce(options, shared), events))
  return yield* BatchWriter.run({
    events,
    contents: yield* ContentStore,
    ledger: yield* LedgerStore,
    runs: yield* RunStore,
    span,
    domain: connection.domain,
    fence: fenceOf(connection),
    runId: options.runId,
    taskId: options.taskId,
    kind: options.kind,
    movedTask: options.taskRow?.id,
    // The live task has stored its scope before it lists; nothing else changes it under this lease.
    inScope: options.taskRow === undefined || connection.scope === plan.scope,
    remember: plan.task.force || plan.task.forceIds.length > 0,
    recorded: options.recorded,
    inflight,
    limits: yield* Limits,
    meter,
    checkpoint: Option.getOrUndefined(
      Option.map(plan.checkpoint, (checkpoint) => OpenBatch.checkpointText({ checkpoint, scope: plan.scope }))
    ),
    isDown: Effect.map(StopSignal.read(stop), StopSignal.isDown),
    onProgress: options.onProgress
  })
}, Effect.scoped)

/** Returns the failure of the run. A refusal for quota is none: the run continues later. */
const failureOf = (
  stopReason: StopSignal.Reason | undefined,
  listingFailure: ListingEnded["failure"]
): RunFailure.Failure | null => {
  if (stopReason?._tag === "GivenUp") return { reason: "TooManyFailures", message: stopReason.message }
  const error = stopReason?._tag === "Refused" ? stopReason.error : listingFailure
  return error === undefined || error.reason._tag === "RateLimited" ? null : RunFailure.of(error)
}

/** How long to wait before the next slice, and whether the source asked for it. */
const waitOf = (
  stopReason: StopSignal.Reason | undefined,
  { askedFor, exhausted }: Pick<SliceResult, "askedFor"> & { readonly exhausted: Duration.Duration | undefined },
  limits: Limits
): Pick<SliceResult, "waitFor" | "refused" | "askedFor"> => {
  if (stopReason?._tag === "Refused") {
    // `call` bounds the waits of its own refusals. The stream of a body fails outside of any call.
    const { reason } = RefusalDelay.bound(stopReason.error, limits.longestRetryAfter)
    if (reason._tag === "RateLimited") {
      const waitFor = reason.retryAfter ?? defaultRetryAfter
      return { waitFor, refused: true, askedFor: waitFor }
    }
  }
  return { waitFor: exhausted, refused: false, askedFor }
}

/** Runs a slice to its end. Never fails: an error is in the result, and in the run's row. */
export const run = Effect.fnUntraced(function* (options: Options) {
  const { connection, kind, plan, runId, taskId } = options
  const limits = yield* Limits
  const fence = fenceOf(connection)
  // Without a buffer: while the writer waits for a commit, finished downloads wait, and no new ones begin.
  const events = yield* Queue.bounded<SliceEvent, RunFailure.RunError | Cause.Done>(0)
  const shared: Shared = {
    stop: yield* StopSignal.make,
    inflight: InFlight.make(),
    meter: yield* RunMeter.make(limits.sliceTime),
    span: yield* Spans.make,
    events
  }
  const written = yield* write(options, shared)
  const { failure, more, notes: listingNotes, reading } = written.listing ?? unread
  const stopReason = yield* StopSignal.read(shared.stop)
  const worked = yield* RunFailure.capture(written.exit)
  const notes = [...options.notes, ...listingNotes]
  const readiness = Deletions.readiness(reading, written.pages)
  const { counts, error } = yield* RunCompletion.run(
    { connection, fence, runId, taskId, kind, task: plan.task, readiness, notes },
    written,
    Result.isFailure(worked) ? worked.failure : failureOf(stopReason, failure)
  )
  return {
    counts,
    problems: written.problems,
    notes,
    error,
    more: more || stopReason?._tag === "Over",
    changesRead: error === null && readiness.changes,
    isEarly: plan.hinted.only,
    ...waitOf(stopReason, yield* RunMeter.read(shared.meter), limits)
  } satisfies SliceResult
})
