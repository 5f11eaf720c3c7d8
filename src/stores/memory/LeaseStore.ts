/** Leases in memory, and the connections that are due. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ConnectionId, Waiting } from "../../engine/model/Connection.ts"
import { Superseded } from "../../engine/store/Fence.ts"
import { LeaseStore } from "../../engine/store/LeaseStore.ts"
import * as Storable from "../Storable.ts"
import { connectionOf } from "./ConnectionStore.ts"
import { interruptRuns } from "./RunStore.ts"
import {
  type ConnectionEntry,
  type ContentEntry,
  fenced,
  isQueued,
  type Millis,
  next,
  type State,
  utc
} from "./State.ts"

const isLeased = (entry: ConnectionEntry, now: Millis): boolean => entry.lease !== null && entry.lease.until > now

const nextRetry = (entry: ConnectionEntry): Millis => {
  let earliest = Infinity
  for (const { nextAttemptAt, pending } of entry.contents.values()) {
    if (pending === "failed" && nextAttemptAt !== null) earliest = Math.min(earliest, nextAttemptAt)
  }
  return earliest
}

const waitingFor = ({ contents, staged }: ConnectionEntry, now: Millis): Waiting => {
  const isRetried = ({ nextAttemptAt, pending }: ContentEntry) =>
    pending !== null && nextAttemptAt !== null && nextAttemptAt <= now
  const held = Array.from(staged.values()).filter((one) => one.held).length
  return {
    retries: Array.from(contents.values()).some(isRetried),
    deletions: staged.size > held,
    deletionsHeld: held
  }
}

const make = (state: State): LeaseStore["Service"] => ({
  checkSchema: Effect.void,

  acquire: Effect.fnUntraced(function* (connectionId, options) {
    const now = yield* Clock.currentTimeMillis
    const entry = state.connections.get(connectionId)
    if (entry === undefined) return yield* new Superseded({ connectionId })
    if (isLeased(entry, now) && entry.lease?.holder !== options.deadHolder) return Option.none()
    entry.fence += 1n
    entry.lease = { holder: Storable.text(options.holder), until: now + Duration.toMillis(options.ttl) }
    entry.acquired = next(state)
    interruptRuns(state, connectionId, now)
    return Option.some({ ...connectionOf(entry), acquiredAt: utc(now), waiting: waitingFor(entry, now) })
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
      if (next.problems !== undefined) entry.problems = { ...entry.problems, ...Storable.problems(next.problems) }
      if (next.checked === true) entry.lastCheckedAt = now
      if (next.paused !== undefined && entry.paused === Storable.textOrNull(next.paused.from)) {
        entry.paused = Storable.textOrNull(next.paused.to)
      }
      if (next.pollIn !== undefined) entry.nextPollAt = now + Duration.toMillis(next.pollIn)
      if (next.askedWait !== undefined) {
        entry.askedWaitUntil = next.askedWait === null ? null : now + Duration.toMillis(next.askedWait)
      }
      entry.dueAt = next.retriesWait === true ? entry.nextPollAt : Math.min(entry.nextPollAt, nextRetry(entry))
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
    })
})

export const layer = (state: State): Layer.Layer<LeaseStore> => Layer.succeed(LeaseStore, make(state))
