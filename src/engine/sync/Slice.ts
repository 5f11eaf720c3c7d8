/**
 * One slice of a run: it lists, downloads what is new with bounded concurrency, and commits in order, under the fence of
 * its lease. Whatever ends it, what was committed stands, and what was not is found again.
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { DecodedConfig, Integration } from "../../contract/Integration.ts"
import type { Problem } from "../../contract/Page.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import * as BatchWriter from "./BatchWriter.ts"
import * as OpenBatch from "./OpenBatch.ts"
import type { SliceEvent } from "./SliceEvent.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as RunCounts from "../model/RunCounts.ts"
import type { Progress } from "../Engine.ts"
import { DownloadBudget } from "./DownloadBudget.ts"
import * as Deletions from "./Deletions.ts"
import * as Downloader from "./Downloader.ts"
import * as RunFailure from "./RunFailure.ts"
import * as InFlight from "./InFlight.ts"
import * as Lease from "../schedule/Lease.ts"
import { Limits } from "../Limits.ts"
import * as RunMeter from "./RunMeter.ts"
import * as OpenSource from "../source/OpenSource.ts"
import * as RetryAfter from "../source/RetryAfter.ts"
import * as Spans from "../telemetry/Spans.ts"
import type { Connection } from "../model/Connection.ts"
import { type RunId, statusOf } from "../model/Run.ts"
import type { Counts } from "../model/RunCounts.ts"
import type { TaskId, TaskRow } from "../model/Task.ts"
import { type Fence, Store } from "../Store.ts"
import * as PageReader from "./PageReader.ts"
import * as PartReader from "./PartReader.ts"

export interface SliceOptions {
  /** As `Lease.acquire` gave it, with its fence. */
  readonly connection: Connection
  readonly integration: Integration
  readonly config: DecodedConfig
  readonly credentials: Schema.Json
  readonly runId: RunId
  /** The task's row, for a task that keeps its own checkpoint. */
  readonly taskRow: TaskRow | undefined
  /** The task that the run is of, if it is of one. */
  readonly taskId: TaskId | undefined
  readonly plan: PageReader.Plan
  /** What a person should know of how the run begins. */
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
  /** True if it was the source that asked. */
  readonly refused: boolean
}

/** How often the age of the open batch is looked at, and whoever watches is told how far the run is. */
const tickEvery = Duration.millis(250)

/** How long to leave a source alone that refused without saying for how long. */
const defaultPatience = Duration.minutes(1)

/** A source that refused fails the run, but for a quota: then the run goes on later. */
const yielded = (state: PageReader.State): RunFailure.Failure | null => {
  if (state.halt?._tag === "Abort") return { reason: "TooManyFailures", message: state.halt.message }
  const error = state.halt?._tag === "Yield" ? state.halt.error : state.failure
  return error === undefined || error.reason._tag === "RateLimited"
    ? null
    : { reason: error.reason._tag, message: error.message }
}

const patience = (
  state: PageReader.State,
  meter: RunMeter.Meter,
  limits: Limits
): Pick<SliceResult, "waitFor" | "refused"> => {
  if (state.halt?._tag === "Yield") {
    // A body's stream fails outside of any call, which would have bounded the wait.
    const { reason } = RetryAfter.bound(state.halt.error, limits.longestRetryAfter)
    if (reason._tag === "RateLimited") return { waitFor: reason.retryAfter ?? defaultPatience, refused: true }
  }
  const { exhausted } = meter
  return { waitFor: exhausted === undefined ? undefined : Duration.millis(exhausted), refused: false }
}

/** Lists and downloads what there is to do, with bounded concurrency, and hands it to the fiber that commits. */
const produce = Effect.fnUntraced(function* (
  options: SliceOptions,
  run: {
    readonly state: PageReader.State
    readonly meter: RunMeter.Meter
    readonly inflight: InFlight.Inflight
    readonly span: Spans.Spanning
    readonly events: Queue.Enqueue<SliceEvent>
  }
) {
  const { connection, plan } = options
  const { events, inflight, meter, span, state } = run
  const store = yield* Store
  const limits = yield* Limits
  // A source that refuses at the door is a yield like one that refuses at an item.
  const opened = yield* Effect.withSpan(OpenSource.session(options, meter), "open", { captureStackTrace: false }).pipe(
    Effect.asSome,
    Effect.catchTag("IntegrationError", (error) =>
      Effect.sync(() => {
        PageReader.refused(state, error, meter)
        return Option.none()
      })
    )
  )
  if (Option.isNone(opened)) return
  const session = opened.value
  const checker = InFlight.checker({ store, connectionId: connection.id, inflight, meter })
  const fence = { connectionId: connection.id, fence: connection.fence }
  const parts = PartReader.make({
    store,
    connectionId: connection.id,
    taskId: options.taskRow?.id,
    fresh: Option.isNone(plan.checkpoint)
  })
  const reader = { session, store, fence, plan, state, inflight, checker, parts, limits, meter, span }
  const work = yield* PageReader.make(reader)
  const download = Downloader.make({ session, store, limits, budget: yield* DownloadBudget, meter, state, span })
  yield* Stream.runDrain(
    Stream.mapEffect(
      work,
      (one) =>
        Effect.flatMap(one._tag === "Download" ? download(one) : Effect.succeed(one), (event) =>
          Queue.offer(events, event)
        ),
      { concurrency: limits.concurrency, unordered: true }
    )
  )
}, Effect.scoped)

/** Runs a slice to its end. It fails with nothing: what went wrong is in the result, and in the run's row. */
export const slice = Effect.fnUntraced(function* (options: SliceOptions) {
  const { connection, plan, runId, taskRow } = options
  const span = yield* Spans.make
  const store = yield* Store
  const limits = yield* Limits
  const fence: Fence = { connectionId: connection.id, fence: connection.fence }
  const meter = yield* RunMeter.make
  meter.waitUntil = meter.movedAt + Duration.toMillis(limits.sliceTime)
  const state = PageReader.initial(options.notes)
  const inflight: InFlight.Inflight = new Map()

  const written = yield* Effect.gen(function* () {
    // Events are handed over: while a batch is committed, what was downloaded waits, and nothing more is begun.
    const events = yield* Queue.bounded<SliceEvent, RunFailure.RunError | Cause.Done>(0)
    const tick = Effect.andThen(Effect.sleep(tickEvery), Queue.offer(events, { _tag: "Tick" }))
    yield* Effect.forkScoped(Effect.forever(tick))
    yield* Effect.forkScoped(Queue.into(Lease.keep(connection, meter), events))
    yield* Effect.forkScoped(Queue.into(produce(options, { state, meter, inflight, span, events }), events))
    return yield* BatchWriter.run({
      events,
      store,
      span,
      domain: connection.domain,
      fence,
      runId,
      taskId: options.taskId,
      movedTask: taskRow?.id,
      remember: plan.task.force || plan.task.forceIds.length > 0,
      recorded: options.recorded,
      inflight,
      limits,
      meter,
      checkpoint: Option.getOrUndefined(
        Option.map(plan.checkpoint, (checkpoint) => OpenBatch.checkpointText({ checkpoint, scope: plan.scope }))
      ),
      isDown: () =>
        state.halt?._tag === "Abort" || (state.halt?._tag === "Yield" && state.halt.error.reason._tag === "Transient"),
      onProgress: options.onProgress
    })
  }).pipe(Effect.scoped)

  let failure = (yield* RunFailure.capture(written.exit)) ?? yielded(state)
  let { begun, counts, unrecorded } = written

  const complete = Deletions.complete(state.reading, written.pages)
  if (failure === null && SyncTask.isLive(plan.task)) {
    const settle = Effect.gen(function* () {
      const settled = yield* Deletions.settle({
        store,
        fence,
        limits,
        complete,
        runId: begun ? runId : undefined
      })
      yield* Metrics.counted(connection.domain, { deleted: settled.deleted })
      counts = { ...counts, deleted: counts.deleted + settled.deleted, deletionsHeld: settled.held }
      // Its row says so too, for whoever reads it from there.
      unrecorded = { ...unrecorded, deletionsHeld: settled.held }
      // What was found gone by its absence alone is worth a row too.
      if (begun || settled.deleted === 0) return
      unrecorded = { ...unrecorded, deleted: unrecorded.deleted + settled.deleted }
      yield* store.beginRun(fence, { runId, taskId: options.taskId })
      begun = true
    })
    failure = yield* RunFailure.capture(Effect.withSpan(settle, "settle", { captureStackTrace: false }))
  }
  if (failure === null && !RunCounts.addUp(counts)) {
    const [occurrences, outcomes] = RunCounts.sides(counts)
    failure = {
      reason: "CountsDontAddUp",
      message: `${occurrences} occurrences have ${outcomes} outcomes: a fault in Idem`
    }
  }
  if (failure?.reason !== "Superseded" && (failure !== null || begun)) {
    // The end of a run writes no item and moves no checkpoint: it is safe after a commit that failed.
    const finish = Effect.andThen(
      begun ? Effect.void : store.beginRun(fence, { runId, taskId: options.taskId }),
      store.finishRun(fence, {
        runId,
        status: statusOf({ counts, problems: written.problems, error: failure }),
        counts: unrecorded,
        notes: state.notes,
        error: failure
      })
    )
    const unfinished = yield* RunFailure.capture(finish)
    failure ??= unfinished
  }
  const result: SliceResult = {
    counts,
    problems: written.problems,
    notes: state.notes,
    error: failure,
    more: state.more,
    changesRead: failure === null && complete.changes,
    ...patience(state, meter, limits)
  }
  return result
})
