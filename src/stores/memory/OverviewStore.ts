/** Totals of one connection and of the whole store, in memory. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Overview } from "../../engine/model/Overview.ts"
import { OverviewStore } from "../../engine/store/OverviewStore.ts"
import type { LedgerRow } from "../../engine/model/Content.ts"
import { type ConnectionEntry, isQueued, type Millis, type State } from "./State.ts"

type Methods = OverviewStore["Service"]

const stateOf = (entry: ConnectionEntry, now: Millis): Overview["connections"][number]["state"] => {
  if (entry.lease !== null && entry.lease.until > now) return "running"
  if (entry.credentials === null) return "disconnected"
  return entry.paused === null ? "idle" : "paused"
}

/** Counts each pair. */
const count = <State extends string>(pairs: Iterable<readonly [domain: string, state: State]>) => {
  const counts = new Map<string, { readonly domain: string; readonly state: State; count: number }>()
  for (const [domain, state] of pairs) {
    const key = `${domain} ${state}`
    const found = counts.get(key) ?? { domain, state, count: 0 }
    found.count += 1
    counts.set(key, found)
  }
  return [...counts.values()]
}

const make = (state: State): Methods => ({
  totals: (connectionId) =>
    Effect.sync(() => {
      const connection = state.connections.get(connectionId)
      const contents = Array.from(connection?.contents.values() ?? [])
      const stored = contents.filter((entry) => entry.state === "stored")
      const pending = (word: LedgerRow["state"]) => contents.filter((entry) => entry.pending === word).length
      return {
        stored: stored.length,
        failed: pending("failed"),
        dead: pending("dead"),
        deferred: pending("deferred"),
        deleted: contents.filter((entry) => entry.state === "deleted").length,
        bytes: stored.reduce((sum, entry) => sum + entry.size, 0),
        deletionsHeld: Array.from(connection?.staged.values() ?? []).filter((one) => one.held).length
      }
    }),

  overview: Effect.map(Clock.currentTimeMillis, (now) => {
    const entries = [...state.connections.values()]
    const free = entries.filter(({ lease }) => lease === null || lease.until <= now)
    const freeIds = new Set(free.map(({ id }) => id))
    const requested = [...state.tasks.values()].filter((task) => isQueued(task) && freeIds.has(task.connectionId))
    const due = [...free.filter(({ paused }) => paused === null), ...requested]
    return {
      connections: count(entries.map((entry) => [entry.domain, stateOf(entry, now)])),
      ledger: count(
        entries.flatMap((entry) =>
          Array.from(entry.contents.values()).flatMap(({ pending }) =>
            pending === null ? [] : [[entry.domain, pending] as const]
          )
        )
      ),
      deletionsHeld: count(
        entries.flatMap((entry) =>
          Array.from(entry.staged.values()).flatMap(({ held }) => (held ? [[entry.domain, "held"] as const] : []))
        )
      ).map(({ count, domain }) => ({ domain, count })),
      overdueSeconds: Math.max(0, ...due.map(({ dueAt }) => (now - dueAt) / 1000)),
      sessions: []
    }
  })
})

export const layer = (state: State): Layer.Layer<OverviewStore> => Layer.succeed(OverviewStore, make(state))
