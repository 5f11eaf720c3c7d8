/** Tasks in memory. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { resumes, TaskId, type TaskRequest, type TaskRow } from "../../engine/model/Task.ts"
import { TaskStore } from "../../engine/store/TaskStore.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import * as Storable from "../Storable.ts"
import { maxKept, type TaskSummary } from "../../engine/model/Run.ts"
import { fenced, isQueued, type Millis, type State, type TaskEntry, utc, uuid } from "./State.ts"

type Methods = TaskStore["Service"]

const isSame = (a: ReadonlyArray<string> | null, b: ReadonlyArray<string> | null): boolean =>
  JSON.stringify(a) === JSON.stringify(b)

const make = (state: State): Methods => {
  const runsOf = (taskId: TaskId) => Array.from(state.runs.values()).filter((run) => run.taskId === taskId)
  const tasksOf = (connectionId: ConnectionId) =>
    Array.from(state.tasks.values()).filter((task) => task.connectionId === connectionId)

  const taskOf = ({ done: _done, keys: _keys, movedAt: _movedAt, parts: _parts, ...entry }: TaskEntry): TaskRow => ({
    ...entry,
    createdAt: utc(entry.createdAt),
    dueAt: utc(entry.dueAt),
    begun: runsOf(entry.id).length > 0,
    finishedAt: entry.finishedAt === null ? null : utc(entry.finishedAt)
  })

  const summaryOf = (entry: TaskEntry): TaskSummary => {
    const runs = runsOf(entry.id)
    return {
      task: taskOf(entry),
      counts: runs.reduce((sum, run) => RunCounts.sum(sum, run.counts), RunCounts.zero),
      lastRun: runs.at(-1)?.id ?? null,
      notes: runs.flatMap((run) => run.notes).slice(0, maxKept),
      problems: runs.flatMap((run) => run.problems).slice(0, maxKept)
    }
  }

  const insert = (
    given: Pick<TaskEntry, "connectionId" | "kind" | "task" | "spec" | "externalIds" | "requested">,
    now: Millis,
    before?: TaskEntry
  ): TaskEntry => {
    const entry: TaskEntry = {
      ...given,
      id: TaskId.make(uuid(state)),
      checkpoint: before?.checkpoint ?? Option.none(),
      scope: before?.scope ?? null,
      createdAt: now,
      movedAt: now,
      dueAt: now,
      failures: 0,
      finishedAt: null,
      error: null,
      done: before?.done ?? new Set(),
      parts: before?.parts ?? new Map(),
      keys: new Map()
    }
    if (before !== undefined) Object.assign(before, { done: new Set(), parts: new Map() })
    state.tasks.set(entry.id, entry)
    return entry
  }

  /**
   * Returns the open task that the request asks for, and makes it due now, unless it waits for a quota. Undefined if
   * there is none.
   */
  const reuseOpenTask = (connectionId: ConnectionId, request: TaskRequest, now: Millis): TaskEntry | undefined => {
    const spec = Storable.text(request.spec)
    const found = tasksOf(connectionId)
      .filter(
        (task) =>
          task.finishedAt === null &&
          task.kind === request.kind &&
          task.spec === spec &&
          isSame(task.externalIds, request.externalIds) &&
          (task.requested || task.movedAt > now - Duration.toMillis(request.resumeWithin)) &&
          (resumes(request) || runsOf(task.id).length === 0)
      )
      .toSorted((a, b) => Number(a.requested) - Number(b.requested))
      .at(-1)
    if (found === undefined) return undefined
    if (!found.requested || found.failures > 0) found.dueAt = now
    found.requested = true
    found.failures = 0
    found.movedAt = now
    return found
  }

  /** Makes a new task. It resumes from the last task with the same text if that task failed. */
  const begin = (connectionId: ConnectionId, request: TaskRequest, now: Millis): TaskEntry => {
    const { externalIds, kind, task } = request
    const spec = Storable.text(request.spec)
    const last = tasksOf(connectionId).findLast(
      (entry) =>
        entry.kind === "sync" &&
        entry.spec === spec &&
        entry.finishedAt !== null &&
        entry.finishedAt > now - Duration.toMillis(request.resumeWithin)
    )
    const failed = !resumes(request) || last?.error == null ? undefined : last
    return insert({ connectionId, kind, task, spec, externalIds, requested: true }, now, failed)
  }

  return {
    openTask: Effect.fnUntraced(function* (connectionId, { resumeWithin, spec: given, task }) {
      const now = yield* Clock.currentTimeMillis
      const spec = Storable.text(given)
      if (!state.connections.has(connectionId)) {
        const message = "beginning a task: the connection is gone"
        return yield* new StoreError({ message, cause: message })
      }
      const open = tasksOf(connectionId).findLast(
        (entry) =>
          entry.finishedAt === null &&
          !entry.requested &&
          entry.spec === spec &&
          entry.movedAt > now - Duration.toMillis(resumeWithin)
      )
      if (open !== undefined) open.movedAt = now
      return taskOf(
        open ?? insert({ connectionId, kind: "sync", task, spec, externalIds: null, requested: false }, now)
      )
    }),

    // Maps keep their insertion order, in which tasks were begun.
    openTasks: (connectionId) =>
      Effect.sync(() =>
        tasksOf(connectionId)
          .filter((task) => task.finishedAt === null && !task.requested)
          .map(taskOf)
      ),

    taskDone: (taskId) => Effect.sync(() => new Set(state.tasks.get(taskId)?.done)),

    finishTask: Effect.fnUntraced(function* (fence, taskId, error = null) {
      const now = yield* Clock.currentTimeMillis
      yield* fenced(state, fence)
      const task = state.tasks.get(taskId)
      if (task === undefined || task.connectionId !== fence.connectionId) return
      if (error === null) {
        task.done.clear()
        task.parts.clear()
      }
      if (task.finishedAt !== null) return
      task.finishedAt = now
      task.error =
        error === null ? null : { reason: Storable.text(error.reason), message: Storable.text(error.message) }
    }),

    requestTask: (connectionId, request) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const connection = state.connections.get(connectionId)
        if (connection === undefined) return { _tag: "Gone" } as const
        const { key } = request
        const name = key === undefined ? undefined : Storable.text(key.key)
        const known = name === undefined ? undefined : tasksOf(connectionId).find((task) => task.keys.has(name))
        if (name !== undefined && known !== undefined) {
          return known.keys.get(name) === key?.digest
            ? ({ _tag: "Requested", task: taskOf(known) } as const)
            : ({ _tag: "KeyTaken" } as const)
        }
        if (connection.credentials === null) return { _tag: "Disconnected" } as const
        const task = reuseOpenTask(connectionId, request, now) ?? begin(connectionId, request, now)
        if (name !== undefined && key !== undefined) task.keys.set(name, key.digest)
        return { _tag: "Requested", task: taskOf(task) } as const
      }),

    task: (taskId) => Effect.sync(() => Option.map(Option.fromUndefinedOr(state.tasks.get(taskId)), taskOf)),

    nextTask: (connectionId) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const [first] = tasksOf(connectionId)
          .filter((task) => isQueued(task) && task.dueAt <= now)
          .toSorted((a, b) => a.dueAt - b.dueAt)
        return Option.map(Option.fromUndefinedOr(first), taskOf)
      }),

    requeueTask: Effect.fnUntraced(function* (fence, taskId, next) {
      const now = yield* Clock.currentTimeMillis
      yield* fenced(state, fence)
      const task = state.tasks.get(taskId)
      if (task === undefined || task.connectionId !== fence.connectionId || task.finishedAt !== null) return
      task.dueAt = now + Duration.toMillis(next.dueIn)
      task.movedAt = now
      task.failures = next.failures
      if (next.checkpoint !== undefined) task.checkpoint = Option.some(next.checkpoint)
    }),

    taskSummaries: (connectionId, { limit, taskId }) =>
      Effect.sync(() =>
        tasksOf(connectionId)
          .filter((task) => taskId === undefined || task.id === taskId)
          .toReversed()
          .slice(0, limit)
          .map(summaryOf)
      )
  }
}

export const layer = (state: State): Layer.Layer<TaskStore> => Layer.succeed(TaskStore, make(state))
