/** The whole at a glance. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Overview } from "../../engine/model/Overview.ts"
import type { Store } from "../../engine/Store.ts"
import type { ConnectionEntry, Millis, State } from "./State.ts"

type Methods = Pick<Store["Service"], "overview">

const stateOf = (entry: ConnectionEntry, now: Millis): Overview["connections"][number]["state"] => {
  if (entry.lease !== null && entry.lease.until > now) return "running"
  if (entry.credentials === null) return "disconnected"
  return entry.paused === null ? "idle" : "paused"
}

/** How often each pair is there. */
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

export const make = (state: State): Methods => ({
  overview: Effect.map(Clock.currentTimeMillis, (now) => {
    const entries = [...state.connections.values()]
    const due = entries.filter(
      (entry) => entry.paused === null && (entry.lease === null || entry.lease.until <= now) && entry.dueAt < now
    )
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
      overdueSeconds: Math.max(0, ...due.map((entry) => (now - entry.dueAt) / 1000)),
      sessions: []
    }
  })
})
