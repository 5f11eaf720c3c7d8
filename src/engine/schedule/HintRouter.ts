/**
 * Sends hints to the process that owns their connection: gathered, and at a bounded rate. The polls that hints cause
 * take at most half of the time, so that a storm of hints costs no more than that.
 */
import * as Cache from "effect/Cache"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Sharding from "effect/cluster/Sharding"
import { externalIdProblem } from "../../contract/Content.ts"
import { maxHinted } from "../../contract/Hints.ts"
import type { ConnectionId } from "../model/Connection.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import * as ConnectionGroup from "./ConnectionGroup.ts"

/** How long hints are gathered before they are sent, and the shortest time between two sends for one connection. */
const gatherFor = Duration.millis(250)
const spacing = Duration.toMillis("2 seconds")

/** The most connections with unsent hints. Beyond it, hints are dropped: the scheduled polls find the changes. */
const maxConnections = 1_000

/** How long to wait for the poll that a hint caused. */
const timeout = Duration.minutes(2)

/** How long the connections of an account are cached, so that a storm of hints does not cause as many queries. */
const remembered = Duration.seconds(10)

/** The connections to which a hint is sent. */
export type Target =
  | { readonly connectionId: ConnectionId }
  /** The connections whose account is this one, or begins with it and a `/`. */
  | { readonly domain: string; readonly account: string }

interface HintRouter {
  /** Passes a hint on, and returns at once. Without a part, anything may have changed. */
  readonly offer: (target: Target, part: string | undefined) => Effect.Effect<void>
}

/** Without its layer, in a process that does not poll, hints are dropped. */
export const HintRouter = Context.Reference<HintRouter>("idem/engine/schedule/HintRouter", {
  defaultValue: () => ({ offer: () => Effect.void })
})

/** The hints of a connection that are not yet sent. `everywhere`: anything may have changed, besides the parts. */
interface UnsentHints {
  readonly parts: Set<string>
  everywhere: boolean
}

const make: Effect.Effect<HintRouter, never, ConnectionStore | Sharding.Sharding | Scope.Scope> = Effect.gen(
  function* () {
    const connections = yield* ConnectionStore
    const clientOf = yield* ConnectionGroup.client
    const unsent = new Map<ConnectionId, UnsentHints>()
    const senders = yield* FiberMap.make<ConnectionId>()

    const accounts = yield* Cache.make({
      capacity: 1_000,
      timeToLive: remembered,
      lookup: (key: string) => {
        const [domain = "", ...account] = key.split(" ")
        return Effect.orElseSucceed(connections.connectionIdsOf(domain, account.join(" ")), () => [])
      }
    })

    /** Sends the hints of this connection until none is left. */
    const send = (connectionId: ConnectionId): Effect.Effect<void> =>
      Effect.gen(function* () {
        yield* Effect.sleep(gatherFor)
        const sent = unsent.get(connectionId)
        unsent.delete(connectionId)
        if (sent === undefined) return
        const startedAt = yield* Clock.currentTimeMillis
        yield* clientOf(connectionId)
          .Hint({ connectionId, parts: [...sent.parts], everywhere: sent.everywhere })
          .pipe(
            Effect.timeoutOption(timeout),
            Effect.catch((error) =>
              Effect.logWarning(
                `hints could not be delivered (${error._tag}): a scheduled poll finds the changes`
              ).pipe(Effect.annotateLogs({ connection: connectionId }))
            )
          )
        const took = (yield* Clock.currentTimeMillis) - startedAt
        yield* Effect.sleep(Math.max(took, spacing - took))
        if (unsent.has(connectionId)) yield* send(connectionId)
      })

    const add = (connectionId: ConnectionId, part: string | undefined) =>
      Effect.suspend(() => {
        const before = unsent.get(connectionId)
        if (before === undefined && unsent.size >= maxConnections) return Effect.void
        const gathered = before ?? { parts: new Set<string>(), everywhere: false }
        const isNamed = part !== undefined && externalIdProblem(part) === undefined
        if (isNamed && gathered.parts.size < maxHinted) gathered.parts.add(part)
        else gathered.everywhere = true
        unsent.set(connectionId, gathered)
        return Effect.asVoid(FiberMap.run(senders, connectionId, send(connectionId), { onlyIfMissing: true }))
      })

    return {
      offer: (target, part) =>
        "connectionId" in target
          ? add(target.connectionId, part)
          : Effect.flatMap(Cache.get(accounts, `${target.domain} ${target.account}`), (ids) =>
              Effect.forEach(ids, (id) => add(id, part), { discard: true })
            )
    }
  }
)

export const layer: Layer.Layer<never, never, ConnectionStore | Sharding.Sharding> = Layer.effect(HintRouter, make)
