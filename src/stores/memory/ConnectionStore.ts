/** Connections in memory. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type Connection, ConnectionId, disconnected, noProblems } from "../../engine/model/Connection.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { NameTaken, StoreError } from "../../engine/store/StoreError.ts"
import type { BlobStore } from "../Blobs.ts"
import * as Storable from "../Storable.ts"
import { dropUnnamed } from "./BodyStore.ts"
import { interruptRuns } from "./RunStore.ts"
import { admitted } from "./SecretStore.ts"
import { forgetConnection } from "./WebhookStore.ts"
import { byBytes, type ConnectionEntry, fenced, isQueued, type State, utc, uuid } from "./State.ts"

type Methods = ConnectionStore["Service"]

export const connectionOf = (entry: ConnectionEntry): Connection => ({
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
  member: entry.member,
  estimate: entry.estimate,
  createdAt: utc(entry.createdAt)
})

const remove = (state: State, connectionId: ConnectionId): void => {
  forgetConnection(state, connectionId)
  state.connections.delete(connectionId)
  for (const each of state.connections.values()) if (each.member?.of === connectionId) each.member = null
  for (const task of state.tasks.values()) if (task.connectionId === connectionId) state.tasks.delete(task.id)
  for (const run of state.runs.values()) if (run.connectionId === connectionId) state.runs.delete(run.id)
}

const make = (state: State, blobs: BlobStore["Service"]): Methods => {
  const find = (id: ConnectionId) => Option.fromUndefinedOr(state.connections.get(id))
  const sorted = () => Array.from(state.connections.values(), connectionOf).toSorted((a, b) => byBytes(a.name, b.name))
  const byName = (name: string) => Array.from(state.connections.values()).find((entry) => entry.name === name)

  return {
    createConnection: Effect.fnUntraced(function* (given) {
      const now = yield* Clock.currentTimeMillis
      if (byName(given.name) !== undefined) return yield* new NameTaken({ name: given.name })
      const { member } = given
      const isTaken = Array.from(state.connections.values()).some(
        (each) => member !== undefined && each.member?.of === member.of && each.member.externalId === member.externalId
      )
      if (isTaken) {
        const message = `creating the connection ${given.name}: its account has a connection already`
        return yield* new StoreError({ message, cause: message })
      }
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
        member: given.member ?? null,
        estimate: given.estimate ?? null,
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
      entry.estimate = change.estimate ?? entry.estimate
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
    connectionsById: (connectionIds) =>
      Effect.sync(() => {
        const wanted = new Set(connectionIds)
        return sorted().filter(({ id }) => wanted.has(id))
      }),
    connectionByName: (name) => Effect.sync(() => Option.map(Option.fromUndefinedOr(byName(name)), connectionOf)),
    connectionIdsOf: (domain, account) =>
      Effect.sync(() =>
        Array.from(state.connections.values())
          .filter((entry) => entry.domain === domain && entry.paused === null)
          .filter((entry) => entry.account === account || entry.account.startsWith(`${account}/`))
          .map(({ id }) => id)
      ),
    connections: Effect.sync(sorted),
    connectionNames: Effect.sync(() => sorted().map(({ id, name }) => ({ id, name }))),
    membersOf: (owner) => Effect.sync(() => sorted().filter(({ member }) => member?.of === owner)),

    setPaused: (connectionId, reason) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = state.connections.get(connectionId)
        if (entry === undefined) return
        entry.paused = Storable.textOrNull(reason)
        if (reason !== null) return
        entry.failures = 0
        entry.nextPollAt = now
        entry.dueAt = now
      }),

    setHintsProblem: (connectionId, message) =>
      Effect.sync(() => {
        const entry = state.connections.get(connectionId)
        if (entry === undefined) return
        const { hints: _, ...others } = entry.problems
        entry.problems = message === null ? others : { ...others, hints: Storable.text(message) }
      }),

    disconnect: Effect.fnUntraced(function* (connectionId, deleteContents) {
      const now = yield* Clock.currentTimeMillis
      const entry = state.connections.get(connectionId)
      if (entry === undefined) return
      if (deleteContents) {
        remove(state, connectionId)
        const hashes = Array.from(entry.contents.values(), ({ hash }) => hash)
        yield* dropUnnamed(state, blobs, hashes)
        return
      }
      entry.credentials = null
      entry.fence += 1n
      entry.lease = null
      entry.paused = "disconnected"
      interruptRuns(state, connectionId, now)
      for (const task of state.tasks.values()) {
        if (task.connectionId !== connectionId || !isQueued(task)) continue
        task.finishedAt = now
        task.error = disconnected
      }
    })
  }
}

export const layer = (state: State, blobs: BlobStore["Service"]): Layer.Layer<ConnectionStore> =>
  Layer.succeed(ConnectionStore, make(state, blobs))
