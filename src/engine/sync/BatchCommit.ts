/**
 * Commits the batches of a run, each in one transaction, one at a time, and adds up the counts that were committed.
 *
 * If a commit fails, no later batch is written. If the connection breaks during a commit, its effect is unknown: the
 * batch is not retried and not counted, and the next run reads from the store what was committed.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { LocalCommits } from "../feed/LocalCommits.ts"
import type { WriteOutcome } from "../model/Batch.ts"
import * as RunCounts from "../model/RunCounts.ts"
import { ContentStore } from "../store/ContentStore.ts"
import { type Fence, fenceOf, type Superseded } from "../store/Fence.ts"
import { LedgerStore } from "../store/LedgerStore.ts"
import { RunStore } from "../store/RunStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import * as BodyReader from "./BodyReader.ts"
import * as OpenBatch from "./OpenBatch.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import type { SliceContext } from "./SliceContext.ts"
import type { NotFetched, SliceEvent } from "./SliceEvent.ts"
import * as StopSignal from "./StopSignal.ts"

/** The counts that the commits of a run have written, and which of them the run's row has. */
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
  /** The stored checkpoint, in the form of `OpenBatch.checkpointText`. An equal checkpoint is not written again. */
  readonly checkpoint: string | undefined
  /** True if a repeated listing would return or select other items after these commits, even at the same checkpoint. */
  readonly foundNew: boolean
}

export type WriteError = StoreError | Superseded

/** The commits of one run. Used by one fiber only. */
export interface BatchCommits {
  /** Inserts the run's row, unless it exists. */
  readonly beginRun: Effect.Effect<void, WriteError>
  /** Begins to commit a batch, after the commit in flight. One that changes nothing in the store is only counted. */
  readonly begin: (batch: OpenBatch.OpenBatch) => Effect.Effect<void, WriteError>
  /** Waits until no commit is in flight. Fails if that commit failed. */
  readonly idle: Effect.Effect<void, WriteError>
  readonly isBusy: () => boolean
  /** The batch whose commit is in flight. */
  readonly inFlight: () => OpenBatch.OpenBatch | undefined
  readonly recorded: () => Recorded
  /**
   * True if the next slice would begin in the same state as this one: nothing was stored, no part moved, and the
   * checkpoint is the same.
   */
  readonly isUnmoved: () => boolean
}

/** The stores and the values that all commits of a run share. */
interface CommitContext extends SliceContext {
  readonly contents: ContentStore["Service"]
  readonly ledger: LedgerStore["Service"]
  readonly runs: RunStore["Service"]
  readonly fence: Fence
}

export const make = Effect.fnUntraced(function* (slice: SliceContext) {
  const { connection, plan } = slice
  const context: CommitContext = {
    ...slice,
    contents: yield* ContentStore,
    ledger: yield* LedgerStore,
    runs: yield* RunStore,
    fence: fenceOf(connection)
  }
  const start = Option.getOrUndefined(
    Option.map(plan.checkpoint, (checkpoint) => OpenBatch.checkpointText({ checkpoint, scope: plan.scope }))
  )
  let committed: Committed = {
    counts: RunCounts.zero,
    unrecorded: RunCounts.zero,
    begun: false,
    wrote: false,
    spent: RunMeter.nothing,
    checkpoint: start,
    foundNew: false
  }
  let current:
    | {
        readonly batch: OpenBatch.OpenBatch
        readonly done: Deferred.Deferred<Exit.Exit<Committed, WriteError>>
        readonly fiber: Fiber.Fiber<unknown>
      }
    | undefined

  const idle = Effect.suspend(() => {
    if (current === undefined) return Effect.void
    const { done, fiber } = current
    // An interruption is passed on to the commit, and the run ends only after the commit has ended.
    return Effect.exit(Effect.interruptible(Deferred.await(done))).pipe(
      Effect.andThen((waited) => (Exit.isSuccess(waited) ? Effect.void : Effect.sync(() => fiber.interruptUnsafe()))),
      Effect.andThen(Deferred.await(done)),
      Effect.flatMap((exit) => {
        current = undefined
        // A failed commit may have recorded its counts: recording them again could count them twice.
        committed = Exit.isSuccess(exit) ? exit.value : { ...committed, unrecorded: RunCounts.zero }
        return Exit.asVoid(exit)
      })
    )
  })

  const begin = Effect.fnUntraced(function* (batch: OpenBatch.OpenBatch) {
    yield* idle
    if (OpenBatch.isQuiet(batch, committed.checkpoint)) {
      committed = yield* countOnly(context, committed, batch)
      return
    }
    const done = yield* Deferred.make<Exit.Exit<Committed, WriteError>>()
    // Stored outside the fiber, because an interrupted fiber does not return the result of its last step.
    const committing = Effect.exit(commit(context, committed, batch)).pipe(
      Effect.flatMap((exit) => Deferred.succeed(done, exit)),
      Effect.uninterruptible
    )
    current = { batch, done, fiber: yield* Effect.forkChild(committing, { startImmediately: true }) }
  })

  return {
    beginRun: Effect.map(
      Effect.suspend(() => beginRun(context, committed)),
      (begun) => {
        committed = begun
      }
    ),
    begin,
    idle,
    isBusy: () => current !== undefined && !Deferred.isDoneUnsafe(current.done),
    inFlight: () => current?.batch,
    recorded: () => committed,
    isUnmoved: () => !committed.foundNew && committed.checkpoint === start
  } satisfies BatchCommits
})

/** Returns true if a person asked for this id and the source does not know it. */
export const isUnknown = (event: SliceEvent): event is NotFetched =>
  event._tag === "NotFetched" && event.origin === "forced" && event.outcome === "gone"

/** Inserts the run's row, unless it exists. */
const beginRun = ({ fence, run, runs }: CommitContext, before: Committed): Effect.Effect<Committed, WriteError> =>
  before.begun ? Effect.succeed(before) : Effect.as(runs.beginRun(fence, run), { ...before, begun: true })

/** Counts a batch without a commit. */
const countOnly = Effect.fnUntraced(function* (
  { connection, meter }: CommitContext,
  before: Committed,
  batch: OpenBatch.OpenBatch
) {
  const spent = yield* RunMeter.spent(meter)
  const counts = RunCounts.sum(batch.counts, { ...RunCounts.zero, ...RunMeter.since(spent, before.spent) })
  yield* Metrics.counted(connection.domain, counts)
  return {
    ...before,
    spent,
    counts: RunCounts.sum(before.counts, counts),
    unrecorded: RunCounts.sum(before.unrecorded, counts)
  }
})

/** Writes a batch, after the previous commits. */
const commit = Effect.fnUntraced(function* (
  context: CommitContext,
  before: Committed,
  gathered: OpenBatch.OpenBatch
): Effect.fn.Return<Committed, WriteError> {
  const { checkpointTask, connection, contents, fence, meter, plan, run, span, stop } = context
  const { domain } = connection
  // While the source is down, failures cost the items no attempt.
  const batch = StopSignal.isDown(yield* StopSignal.read(stop)) ? OpenBatch.withoutAttempts(gathered) : gathered
  const spent = yield* RunMeter.spent(meter)
  const counts = RunCounts.sum(batch.counts, {
    ...RunCounts.zero,
    ...OpenBatch.outcomesOf(batch),
    ...RunMeter.since(spent, before.spent)
  })
  const unrecorded = RunCounts.sum(before.unrecorded, counts)
  const { begun } = OpenBatch.isWorthARow(batch) ? yield* beginRun(context, before) : before
  const ledgerUpdates = yield* ledgerUpdatesOf(context, batch)
  const done = doneOf(context, batch)
  const startedAt = yield* Clock.currentTimeMillis
  const committed = yield* span(
    "commit",
    { "idem.items": batch.items.length, "idem.misses": ledgerUpdates.length, "idem.page_end": batch.end !== undefined },
    contents.commit(fence, {
      runId: begun ? run.runId : undefined,
      taskId: checkpointTask,
      items: batch.items,
      listed: batch.listed,
      // The live task stored its scope before it listed; nothing else changes it under this lease.
      inScope: checkpointTask === undefined || connection.scope === plan.scope,
      ledgerUpdates,
      done,
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
  yield* Effect.forEach(batch.flights, ({ end }) => end, { discard: true })
  yield* RunMeter.touch(meter)
  return {
    counts: RunCounts.sum(before.counts, all),
    unrecorded: begun ? RunCounts.zero : unrecorded,
    begun,
    wrote: true,
    spent,
    checkpoint: batch.end === undefined ? before.checkpoint : OpenBatch.checkpointText(batch.end),
    foundNew:
      before.foundNew ||
      all.stored + all.updated + all.patched + ledgerUpdates.length + done.length > 0 ||
      (batch.end !== undefined && batch.end.parts.length > 0)
  }
})

/** Returns the ids that a forced task must record as done, because the checker does not filter them. */
const doneOf = ({ plan: { task } }: CommitContext, { items, notFetched }: OpenBatch.OpenBatch): ReadonlyArray<string> =>
  task.force || task.forceIds.length > 0
    ? [...items, ...notFetched.filter(({ outcome }) => outcome !== "deferred")].map(({ externalId }) => externalId)
    : []

/**
 * Returns the ledger updates for the items that were not fetched: a failure adds an attempt. An id that a person asked
 * for gets no row if the source does not know it and nothing is stored under it.
 */
const ledgerUpdatesOf = Effect.fnUntraced(function* (
  { contents, fence, ledger }: CommitContext,
  { notFetched }: OpenBatch.OpenBatch
) {
  const { connectionId } = fence
  const externalIds = notFetched.filter(({ outcome }) => outcome === "failed").map(({ externalId }) => externalId)
  const rows =
    externalIds.length === 0 ? [] : yield* ledger.ledger(connectionId, { externalIds, limit: externalIds.length })
  const attempts = new Map(rows.map((row) => [row.externalId, row]))
  const asked = notFetched.filter(isUnknown).map(({ externalId }) => externalId)
  const stored = asked.length === 0 ? new Set<string>() : yield* contents.existing(connectionId, asked)
  const known = notFetched.filter((event) => !isUnknown(event) || stored.has(event.externalId))
  return yield* Effect.forEach(known, (event) => RetryPolicy.ledgerUpdate(event, attempts.get(event.externalId)))
})

const tally = (outcomes: Iterable<WriteOutcome>): Record<WriteOutcome, number> => {
  const of = { stored: 0, updated: 0, unchanged: 0 }
  for (const outcome of outcomes) of[outcome] += 1
  return of
}

/** The number of items by outcome, as attributes of a span. */
const attributesOf = (outcomes: Iterable<WriteOutcome>) => {
  const { stored, unchanged, updated } = tally(outcomes)
  return { "idem.stored": stored, "idem.updated": updated, "idem.unchanged": unchanged }
}
