/** Connections and their leases in memory. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Connection, ConnectionId, disconnected, noProblems } from "../../engine/model/Connection.ts"
import { type Fence, NameTaken, type Store, Superseded } from "../../engine/Store.ts"
import * as Storable from "../Storable.ts"
import { admitted } from "./SecretStore.ts"
import { byBytes, isQueued, next, type ConnectionEntry, type Millis, type State, utc, uuid } from "./State.ts"

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
  | "claimPolling"
  | "releasePolling"
>

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
  problems: entry.problems,
  lastCheckedAt: entry.lastCheckedAt === null ? null : utc(entry.lastCheckedAt),
  nextPollAt: utc(entry.nextPollAt),
  lease: entry.lease === null ? null : { holder: entry.lease.holder, until: utc(entry.lease.until) },
  failures: entry.failures,
  guarded: entry.guarded,
  askedWaitUntil: entry.askedWaitUntil === null ? null : utc(entry.askedWaitUntil),
  createdAt: utc(entry.createdAt)
})

/** The connection whose fence this is; else the run was superseded. */
export const fenced = (state: State, fence: Fence): Effect.Effect<ConnectionEntry, Superseded> => {
  const entry = state.connections.get(fence.connectionId)
  return entry === undefined || entry.fence !== fence.fence
    ? Effect.fail(new Superseded({ connectionId: fence.connectionId }))
    : Effect.succeed(entry)
}

const interruptRuns = (state: State, connectionId: ConnectionId, now: Millis): void => {
  for (const run of state.runs.values()) {
    if (run.connectionId !== connectionId || run.status !== "running") continue
    run.status = "interrupted"
    run.finishedAt = now
  }
}

const storedText = (text: string | null): string | null => (text === null ? null : Storable.text(text))

const isLeased = (entry: ConnectionEntry, now: Millis): boolean => entry.lease !== null && entry.lease.until > now

const remove = (state: State, connectionId: ConnectionId): void => {
  state.connections.delete(connectionId)
  for (const task of state.tasks.values()) if (task.connectionId === connectionId) state.tasks.delete(task.id)
  for (const run of state.runs.values()) if (run.connectionId === connectionId) state.runs.delete(run.id)
}

const nextRetry = (entry: ConnectionEntry): Millis => {
  let earliest = Infinity
  for (const { nextAttemptAt, pending } of entry.contents.values()) {
    if (pending === "failed" && nextAttemptAt !== null) earliest = Math.min(earliest, nextAttemptAt)
  }
  return earliest
}

export const make = (state: State): Methods => {
  const find = (id: ConnectionId) => Option.fromUndefinedOr(state.connections.get(id))
  const byName = (name: string) => Array.from(state.connections.values()).find((entry) => entry.name === name)

  return {
    createConnection: Effect.fnUntraced(function* (given) {
      const now = yield* Clock.currentTimeMillis
      if (byName(given.name) !== undefined) return yield* new NameTaken({ name: given.name })
      yield* admitted(state, given.credentials)
      const entry: ConnectionEntry = {
        ...given,
        id: ConnectionId.make(uuid(state)),
        fence: 1n,
        paused: null,
        parts: new Map(),
        checkpoint: Option.none(),
        scope: null,
        scopeEpoch: 0,
        readingSince: null,
        lastCheckedAt: null,
        problems: noProblems,
        nextPollAt: now,
        dueAt: now,
        lease: null,
        acquired: 0,
        failures: 0,
        guarded: given.guarded ?? false,
        askedWaitUntil: null,
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
      if (change.was !== undefined && JSON.stringify(change.was) !== JSON.stringify(entry.config)) return Option.none()
      if (change.credentials !== undefined) yield* admitted(state, change.credentials)
      entry.config = change.config ?? entry.config
      entry.credentials = change.credentials ?? entry.credentials
      entry.every = change.every ?? entry.every
      entry.guarded = change.guarded ?? entry.guarded
      entry.fence += 1n
      entry.lease = null
      interruptRuns(state, connectionId, now)
      entry.nextPollAt = now
      entry.dueAt = now
      return Option.some(connectionOf(entry))
    }),

    saveCredentials: (fence, credentials) =>
      Effect.map(Effect.andThen(admitted(state, credentials), fenced(state, fence)), (entry) => {
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
        entry.paused = storedText(reason)
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
        for (const task of state.tasks.values()) {
          if (task.connectionId !== connectionId || !task.requested || task.finishedAt !== null) continue
          task.finishedAt = now
          task.error = disconnected
        }
      }),

    acquire: Effect.fnUntraced(function* (connectionId, options) {
      const now = yield* Clock.currentTimeMillis
      const entry = state.connections.get(connectionId)
      if (entry === undefined) return yield* new Superseded({ connectionId })
      if (isLeased(entry, now) && entry.lease?.holder !== options.deadHolder) return Option.none()
      entry.fence += 1n
      entry.lease = { holder: Storable.text(options.holder), until: now + Duration.toMillis(options.ttl) }
      entry.acquired = next(state)
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
        if (next.interrupted === true) interruptRuns(state, fence.connectionId, now)
        entry.failures = next.failures ?? entry.failures
        if (next.changesRead === true) entry.readingSince = null
        entry.problems = next.problems === undefined ? entry.problems : Storable.problems(next.problems)
        if (next.checked === true) entry.lastCheckedAt = now
        if (next.paused !== undefined && entry.paused === storedText(next.paused.from)) {
          entry.paused = storedText(next.paused.to)
        }
        if (next.pollIn !== undefined) entry.nextPollAt = now + Duration.toMillis(next.pollIn)
        if (next.askedWait !== undefined) entry.askedWaitUntil = next.askedWait ? entry.nextPollAt : null
        entry.dueAt = Math.min(entry.nextPollAt, nextRetry(entry))
      }),

    due: (limit) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const requested = new Map<ConnectionId, Millis>()
        for (const task of state.tasks.values()) {
          if (!isQueued(task) || task.dueAt > now) continue
          requested.set(task.connectionId, Math.min(task.dueAt, requested.get(task.connectionId) ?? Infinity))
        }
        return Array.from(state.connections.values())
          .flatMap((entry) => {
            const task = requested.get(entry.id) ?? Infinity
            const dueAt = Math.min(task, entry.paused === null ? entry.dueAt : Infinity)
            return dueAt <= now && !isLeased(entry, now) ? [{ entry, dueAt, requested: task <= now }] : []
          })
          .toSorted((a, b) => a.dueAt - b.dueAt)
          .slice(0, limit)
          .map(({ dueAt, entry, requested }) => ({ connectionId: entry.id, dueAt: utc(dueAt), requested }))
      }),

    claimPolling: ({ deadHolder, holder, ttl }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { polling } = state
        if (polling !== null && polling.until > now && polling.holder !== holder && polling.holder !== deadHolder) {
          return Option.some(polling.holder)
        }
        state.polling = { holder, until: now + Duration.toMillis(ttl) }
        return Option.none()
      }),

    releasePolling: (holder) =>
      Effect.sync(() => {
        if (state.polling?.holder === holder) state.polling = null
      })
  }
}
