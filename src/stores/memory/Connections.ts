/** Connections, leases, runs and tasks in memory. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Counting from "../../engine/Counting.ts"
import {
  type Connection,
  ConnectionId,
  type Fence,
  NameTaken,
  type Run,
  type Store,
  StoreError,
  Superseded,
  TaskId,
  type TaskRow
} from "../../engine/Store.ts"
import * as Storable from "../Storable.ts"
import { byBytes, type ConnectionEntry, type Millis, type RunEntry, type State, type TaskEntry, uuid } from "./State.ts"

type Methods = Pick<
  Store["Service"],
  | "createConnection"
  | "updateConnection"
  | "saveCredentials"
  | "connection"
  | "connectionByName"
  | "connections"
  | "setPaused"
  | "disconnect"
  | "acquire"
  | "renew"
  | "release"
  | "due"
  | "beginRun"
  | "finishRun"
  | "run"
  | "runs"
  | "openTask"
  | "openTasks"
  | "taskDone"
  | "finishTask"
>

/** How many problems, and how many notes, a run keeps. */
export const maxKept = 100

const utc = (millis: Millis): DateTime.Utc => DateTime.makeUnsafe(millis)

const connectionOf = (entry: ConnectionEntry): Connection => ({
  id: entry.id,
  name: entry.name,
  domain: entry.domain,
  account: entry.account,
  config: entry.config,
  credentials: entry.credentials,
  every: entry.every,
  fence: entry.fence,
  paused: entry.paused,
  checkpoint: entry.checkpoint,
  scope: entry.scope,
  nextPollAt: utc(entry.nextPollAt),
  lease: entry.lease === null ? null : { holder: entry.lease.holder, until: utc(entry.lease.until) },
  failures: entry.failures,
  createdAt: utc(entry.createdAt)
})

const runOf = (entry: RunEntry): Run => ({
  id: entry.id,
  connectionId: entry.connectionId,
  taskId: entry.taskId,
  status: entry.status,
  counts: { ...entry.counts },
  problems: entry.problems,
  notes: entry.notes,
  error: entry.error,
  startedAt: utc(entry.startedAt),
  finishedAt: entry.finishedAt === null ? null : utc(entry.finishedAt)
})

const taskOf = (entry: TaskEntry): TaskRow => ({
  id: entry.id,
  connectionId: entry.connectionId,
  task: entry.task,
  spec: entry.spec,
  checkpoint: entry.checkpoint,
  scope: entry.scope,
  createdAt: utc(entry.createdAt)
})

/** The connection whose fence this is; else the run was superseded. */
export const fenced = (state: State, fence: Fence): Effect.Effect<ConnectionEntry, Superseded> => {
  const entry = state.connections.get(fence.connectionId)
  return entry === undefined || entry.fence !== fence.fence
    ? Effect.fail(new Superseded({ connectionId: fence.connectionId }))
    : Effect.succeed(entry)
}

/** The run, which its caller must have begun. */
export const runIn = (state: State, runId: RunEntry["id"]): Effect.Effect<RunEntry> => {
  const run = state.runs.get(runId)
  return run === undefined ? Effect.die(new Error(`run ${runId} was not begun`)) : Effect.succeed(run)
}

const interruptRuns = (state: State, connectionId: ConnectionId, now: Millis): void => {
  for (const run of state.runs.values()) {
    if (run.connectionId !== connectionId || run.status !== "running") continue
    run.status = "interrupted"
    run.finishedAt = now
  }
}

const isLeased = (entry: ConnectionEntry, now: Millis): boolean => entry.lease !== null && entry.lease.until > now

const remove = (state: State, connectionId: ConnectionId): void => {
  state.connections.delete(connectionId)
  for (const task of state.tasks.values()) if (task.connectionId === connectionId) state.tasks.delete(task.id)
  for (const run of state.runs.values()) if (run.connectionId === connectionId) state.runs.delete(run.id)
}

const nextRetry = (entry: ConnectionEntry): Millis =>
  Math.min(
    ...Array.from(entry.contents.values(), (content) =>
      content.pending === "failed" && content.nextAttemptAt !== null ? content.nextAttemptAt : Infinity
    ),
    Infinity
  )

export const make = (state: State): Methods => {
  const find = (id: ConnectionId) => Option.fromUndefinedOr(state.connections.get(id))
  const byName = (name: string) => Array.from(state.connections.values()).find((entry) => entry.name === name)

  return {
    createConnection: Effect.fnUntraced(function* (given) {
      const now = yield* Clock.currentTimeMillis
      if (byName(given.name) !== undefined) return yield* new NameTaken({ name: given.name })
      const entry: ConnectionEntry = {
        ...given,
        id: ConnectionId.make(uuid(state)),
        fence: 1n,
        paused: null,
        checkpoint: Option.none(),
        scope: null,
        nextPollAt: now,
        dueAt: now,
        lease: null,
        failures: 0,
        createdAt: now,
        contents: new Map(),
        staged: new Map(),
        listing: null
      }
      state.connections.set(entry.id, entry)
      return connectionOf(entry)
    }),

    updateConnection: Effect.fnUntraced(function* (connectionId, change) {
      const now = yield* Clock.currentTimeMillis
      const entry = state.connections.get(connectionId)
      if (entry === undefined) return Option.none()
      entry.config = change.config ?? entry.config
      entry.credentials = change.credentials ?? entry.credentials
      entry.every = change.every ?? entry.every
      entry.fence += 1n
      entry.lease = null
      entry.nextPollAt = now
      entry.dueAt = now
      return Option.some(connectionOf(entry))
    }),

    saveCredentials: (fence, credentials) =>
      Effect.map(fenced(state, fence), (entry) => {
        entry.credentials = credentials
      }),

    connection: (connectionId) => Effect.sync(() => Option.map(find(connectionId), connectionOf)),
    connectionByName: (name) => Effect.sync(() => Option.map(Option.fromUndefinedOr(byName(name)), connectionOf)),
    connections: Effect.sync(() =>
      Array.from(state.connections.values(), connectionOf).toSorted((a, b) => byBytes(a.name, b.name))
    ),

    setPaused: (connectionId, reason) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = state.connections.get(connectionId)
        if (entry === undefined) return
        entry.paused = reason === null ? null : Storable.text(reason)
        if (reason !== null) return
        entry.failures = 0
        entry.nextPollAt = now
        entry.dueAt = now
      }),

    disconnect: (connectionId, deleteContents) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = state.connections.get(connectionId)
        if (entry === undefined) return
        if (deleteContents) return remove(state, connectionId)
        entry.credentials = null
        entry.fence += 1n
        entry.lease = null
        entry.paused = "disconnected"
        interruptRuns(state, connectionId, now)
      }),

    acquire: Effect.fnUntraced(function* (connectionId, options) {
      const now = yield* Clock.currentTimeMillis
      const entry = state.connections.get(connectionId)
      if (entry === undefined) return yield* new Superseded({ connectionId })
      if (isLeased(entry, now) && entry.lease?.holder !== options.deadHolder) return Option.none()
      entry.fence += 1n
      entry.lease = { holder: Storable.text(options.holder), until: now + Duration.toMillis(options.ttl) }
      interruptRuns(state, connectionId, now)
      return Option.some(connectionOf(entry))
    }),

    renew: Effect.fnUntraced(function* (fence, ttl) {
      const now = yield* Clock.currentTimeMillis
      const entry = yield* fenced(state, fence)
      if (entry.lease === null) return yield* new Superseded({ connectionId: fence.connectionId })
      entry.lease = { holder: entry.lease.holder, until: now + Duration.toMillis(ttl) }
    }),

    release: (fence, next) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = state.connections.get(fence.connectionId)
        if (entry === undefined || entry.fence !== fence.fence) return
        entry.lease = null
        entry.failures = next.failures ?? entry.failures
        if (next.pollIn !== undefined) entry.nextPollAt = now + Duration.toMillis(next.pollIn)
        entry.dueAt = Math.min(entry.nextPollAt, nextRetry(entry))
      }),

    due: (limit) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        Array.from(state.connections.values())
          .filter((entry) => entry.paused === null && entry.dueAt <= now && !isLeased(entry, now))
          .toSorted((a, b) => a.dueAt - b.dueAt)
          .slice(0, limit)
          .map((entry) => ({ connectionId: entry.id, dueAt: utc(entry.dueAt) }))
      ),

    beginRun: Effect.fnUntraced(function* (fence, run) {
      const startedAt = yield* Clock.currentTimeMillis
      yield* fenced(state, fence)
      state.runs.set(run.runId, {
        id: run.runId,
        connectionId: fence.connectionId,
        taskId: run.taskId ?? null,
        status: "running",
        counts: Counting.tally(),
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
      Counting.add(run.counts, given.counts)
      run.notes = given.notes.slice(0, maxKept).map(Storable.text)
      run.error = given.error
      run.finishedAt = now
    }),

    run: (runId) => Effect.sync(() => Option.map(Option.fromUndefinedOr(state.runs.get(runId)), runOf)),
    // Maps keep the order in which runs and tasks were begun.
    runs: (connectionId, limit) =>
      Effect.sync(() =>
        Array.from(state.runs.values())
          .filter((run) => run.connectionId === connectionId)
          .toReversed()
          .slice(0, limit)
          .map(runOf)
      ),

    openTask: Effect.fnUntraced(function* (connectionId, { resumeWithin, spec: given, task }) {
      const now = yield* Clock.currentTimeMillis
      const spec = Storable.text(given)
      if (!state.connections.has(connectionId)) {
        const message = "beginning a task: the connection is gone"
        return yield* new StoreError({ message, cause: message })
      }
      const open = Array.from(state.tasks.values()).findLast(
        (entry) =>
          entry.open &&
          entry.connectionId === connectionId &&
          entry.spec === spec &&
          entry.movedAt > now - Duration.toMillis(resumeWithin)
      )
      if (open !== undefined) {
        open.movedAt = now
        return taskOf(open)
      }
      const entry: TaskEntry = {
        id: TaskId.make(uuid(state)),
        connectionId,
        task,
        spec,
        checkpoint: Option.none(),
        scope: null,
        createdAt: now,
        movedAt: now,
        open: true,
        done: new Set()
      }
      state.tasks.set(entry.id, entry)
      return taskOf(entry)
    }),

    openTasks: (connectionId) =>
      Effect.sync(() =>
        Array.from(state.tasks.values())
          .filter((task) => task.connectionId === connectionId && task.open)
          .map(taskOf)
      ),

    taskDone: (taskId) => Effect.sync(() => new Set(state.tasks.get(taskId)?.done)),

    finishTask: Effect.fnUntraced(function* (fence, taskId) {
      yield* fenced(state, fence)
      const task = state.tasks.get(taskId)
      if (task === undefined || task.connectionId !== fence.connectionId) return
      task.open = false
      task.done.clear()
    })
  }
}
