/** Runs in memory. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { maxKept, type Run } from "../../engine/model/Run.ts"
import { RunStore } from "../../engine/store/RunStore.ts"
import * as Storable from "../Storable.ts"
import { fenced, isQueued, type Millis, type RunEntry, type State, utc } from "./State.ts"

type Methods = RunStore["Service"]

const hour = 3_600_000

const runOf = (entry: RunEntry): Run => ({
  id: entry.id,
  connectionId: entry.connectionId,
  taskId: entry.taskId,
  kind: entry.kind,
  status: entry.status,
  counts: { ...entry.counts },
  problems: entry.problems,
  notes: entry.notes,
  error: entry.error,
  startedAt: utc(entry.startedAt),
  finishedAt: entry.finishedAt === null ? null : utc(entry.finishedAt)
})

/** Returns the run. Its caller must have begun it. */
export const runIn = (state: State, runId: RunEntry["id"]): Effect.Effect<RunEntry> => {
  const run = state.runs.get(runId)
  return run === undefined ? Effect.die(new Error(`run ${runId} was not begun`)) : Effect.succeed(run)
}

/** Marks runs that are still `running` as `interrupted`. */
export const interruptRuns = (state: State, connectionId: ConnectionId, now: Millis): void => {
  for (const run of state.runs.values()) {
    if (run.connectionId !== connectionId || run.status !== "running") continue
    run.status = "interrupted"
    run.finishedAt = now
  }
}

const make = (state: State): Methods => ({
  beginRun: Effect.fnUntraced(function* (fence, run) {
    const startedAt = yield* Clock.currentTimeMillis
    yield* fenced(state, fence)
    if (state.runs.has(run.runId)) return
    state.runs.set(run.runId, {
      id: run.runId,
      connectionId: fence.connectionId,
      taskId: run.taskId ?? null,
      kind: run.kind ?? null,
      status: "running",
      counts: RunCounts.tally(),
      problems: [],
      notes: [],
      error: null,
      startedAt,
      finishedAt: null
    })
  }),

  finishRun: Effect.fnUntraced(function* (fence, given) {
    const now = yield* Clock.currentTimeMillis
    yield* fenced(state, fence)
    const run = yield* runIn(state, given.runId)
    run.status = given.status
    RunCounts.add(run.counts, given.counts)
    run.notes = given.notes.slice(0, maxKept).map(Storable.text)
    run.error = given.error
    run.finishedAt = now
  }),

  run: (runId) => Effect.sync(() => Option.map(Option.fromUndefinedOr(state.runs.get(runId)), runOf)),
  pruneRuns: Effect.fnUntraced(function* (olderThan) {
    const before = (yield* Clock.currentTimeMillis) - Duration.toMillis(olderThan)
    const last = new Map(Array.from(state.runs.values(), (run) => [run.connectionId, run.id]))
    const old = Array.from(state.runs.values()).filter(
      (run) => run.finishedAt !== null && run.finishedAt < before && last.get(run.connectionId) !== run.id
    )
    for (const run of old) state.runs.delete(run.id)
    for (const task of state.tasks.values()) {
      if (task.movedAt < before && !isQueued(task)) state.tasks.delete(task.id)
    }
    return old.length
  }),

  // Maps keep their insertion order, in which runs and tasks were begun.
  runs: (connectionId, limit) =>
    Effect.sync(() =>
      Array.from(state.runs.values())
        .filter((run) => run.connectionId === connectionId)
        .toReversed()
        .slice(0, limit)
        .map(runOf)
    ),

  statistics: (connectionId, hours) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const last = Math.floor(now / hour) * hour
      return Array.from({ length: hours }, (_, index) => {
        const from = last - (hours - 1 - index) * hour
        const runs = Array.from(state.runs.values()).filter(
          (run) => run.connectionId === connectionId && run.startedAt >= from && run.startedAt < from + hour
        )
        const sum = RunCounts.tally()
        for (const run of runs) RunCounts.add(sum, run.counts)
        const { apiCalls, deleted, failed, quotaUnits, stored, unchanged, updated } = sum
        return {
          hour: utc(from),
          runs: runs.length,
          stored,
          updated,
          unchanged,
          failed,
          deleted,
          apiCalls,
          quotaUnits
        }
      })
    })
})

export const layer = (state: State): Layer.Layer<RunStore> => Layer.succeed(RunStore, make(state))
