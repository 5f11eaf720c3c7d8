/** Ends a run: applies or holds its deletions, checks that its counts add up, and completes its row. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as SyncTask from "../../contract/SyncTask.ts"
import { Limits } from "../Limits.ts"
import type { LeasedConnection } from "../model/Connection.ts"
import type { Readiness } from "../model/Content.ts"
import { statusOf } from "../model/Run.ts"
import * as RunCounts from "../model/RunCounts.ts"
import { fenceOf } from "../store/Fence.ts"
import { DeletionStore } from "../store/DeletionStore.ts"
import { RunStore } from "../store/RunStore.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import type { SpanStep } from "../telemetry/Spans.ts"
import type { Recorded } from "./BatchCommit.ts"
import type { Written } from "./BatchWriter.ts"
import * as Deletions from "./Deletions.ts"
import type { Failure } from "../model/Task.ts"
import * as RunFailure from "./RunFailure.ts"
import type { SliceContext } from "./SliceContext.ts"

interface Options {
  readonly connection: LeasedConnection
  readonly run: SliceContext["run"]
  readonly span: SpanStep
  readonly task: SyncTask.SyncTask
  readonly readiness: Readiness
  readonly notes: ReadonlyArray<string>
}

/** Applies the deletions that are ready, or holds them. If it deletes any, a run without a row gets one. */
const endDeletions = Effect.fnUntraced(function* (options: Options, before: Recorded) {
  const { connection, readiness, run } = options
  const fence = fenceOf(connection)
  const { deletions, deletionsHeld } = connection.waiting
  // Only a commit stages deletions.
  if (!deletions && !before.wrote) {
    const held = { deletionsHeld }
    return { ...before, counts: { ...before.counts, ...held }, unrecorded: { ...before.unrecorded, ...held } }
  }
  const runs = yield* RunStore
  const limits = yield* Limits
  const { deleted, held } = yield* Deletions.applyOrHold({
    deletions: yield* DeletionStore,
    fence,
    limits,
    readiness,
    runId: before.begun ? run.runId : undefined
  })
  yield* Metrics.counted(connection.domain, { deleted })
  const needsRow = !before.begun && deleted > 0
  if (needsRow) yield* runs.beginRun(fence, options.run)
  return {
    begun: before.begun || needsRow,
    counts: { ...before.counts, deleted: before.counts.deleted + deleted, deletionsHeld: held },
    unrecorded: {
      ...before.unrecorded,
      deletionsHeld: held,
      deleted: before.unrecorded.deleted + (needsRow ? deleted : 0)
    }
  }
})

/** Checks that every occurrence ended in exactly one outcome. Returns a failure of Idem itself if not. */
const checkCounts = (counts: RunCounts.Counts): Failure | null => {
  if (RunCounts.addUp(counts)) return null
  const [occurrences, outcomes] = RunCounts.sides(counts)
  return {
    reason: "CountsDontAddUp",
    message: `${occurrences} occurrences have ${outcomes} outcomes: a fault in Idem`
  }
}

/**
 * Ends a run, with the failure that it had. It is safe after a failed commit, because `unrecorded` has no counts of a
 * commit whose result is unknown.
 */
export const run = Effect.fnUntraced(function* (
  options: Options,
  { problems, recorded }: Pick<Written, "problems" | "recorded">,
  failure: Failure | null
) {
  const { connection, notes, span, task } = options
  const fence = fenceOf(connection)
  const runs = yield* RunStore
  const appliesDeletions = failure === null && SyncTask.isLive(task)
  const applied = appliesDeletions
    ? yield* RunFailure.capture(span("deletions", {}, endDeletions(options, recorded)))
    : Result.succeed(recorded)
  const { begun, counts, unrecorded } = Result.getOrElse(applied, () => recorded)
  const error = failure ?? (Result.isFailure(applied) ? applied.failure : checkCounts(counts))
  if (error === null && !begun) return { counts, error }
  const finish = Effect.gen(function* () {
    if (!begun) yield* runs.beginRun(fence, options.run)
    yield* runs.finishRun(fence, {
      runId: options.run.runId,
      status: statusOf({ counts, problems, error }),
      counts: unrecorded,
      notes,
      error
    })
  })
  const finished = yield* RunFailure.capture(finish)
  return { counts, error: error ?? (Result.isFailure(finished) ? finished.failure : null) }
})
