/**
 * Finds the budget and the account of each connection, by which `ConcurrencyLimiter.ts` gives slots in turns. They are
 * read from the connection's row before its slice waits for a slot, and cached.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ConnectionId } from "../model/Connection.ts"
import type { Vault } from "../secrets/Vault.ts"
import type { Integrations } from "../source/Integrations.ts"
import * as OpenSource from "../source/OpenSource.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"

/** How many connections are cached, and for how long: new credentials may spend from another budget. */
const capacity = 50_000
const rememberedFor = Duration.hours(1)

/** The most widely shared budget of the connection, then its account. */
type BudgetPath = readonly [budget: string, account: string]

interface Remembered {
  readonly path: BudgetPath
  /** Until when the path is used, by `RunMeter.monotonicMillis`. */
  readonly until: number
}

export class BudgetPaths extends Context.Service<
  BudgetPaths,
  {
    /** Returns the path of a connection. A connection that can't be read or opened gets a path of its own. */
    readonly of: (connectionId: ConnectionId) => Effect.Effect<BudgetPath>
  }
>()("idem/engine/schedule/BudgetPaths") {
  static readonly layer: Layer.Layer<BudgetPaths, never, ConnectionStore | Integrations | Vault> = Layer.effect(
    BudgetPaths,
    Effect.suspend(() => make)
  )
}

const read = Effect.fnUntraced(function* (connectionId: ConnectionId) {
  const connections = yield* ConnectionStore
  const connection = yield* Effect.fromOption(yield* connections.connection(connectionId))
  const opened = yield* OpenSource.openable(connection)
  const { account, domain } = connection
  const budget = (yield* OpenSource.budgetsOf(opened.integration, { ...opened, account })).at(-1)
  return [`${domain}/${budget?.key ?? account}`, account] as const satisfies BudgetPath
})

const make = Effect.gen(function* () {
  const context = yield* Effect.context<ConnectionStore | Integrations | Vault>()
  // A map, because Effect's `Cache` keeps the fiber of each look-up: 3.4 kB for a connection. Two look-ups of one
  // connection at the same time are rare, and read the same.
  const paths = new Map<ConnectionId, Remembered>()
  const remember = (connectionId: ConnectionId, path: BudgetPath, now: number) => {
    paths.delete(connectionId)
    paths.set(connectionId, { path, until: now + Duration.toMillis(rememberedFor) })
    const [oldest] = paths.size > capacity ? paths.keys() : []
    if (oldest !== undefined) paths.delete(oldest)
  }
  return {
    of: Effect.fnUntraced(function* (connectionId) {
      const now = yield* RunMeter.monotonicMillis
      const remembered = paths.get(connectionId)
      if (remembered !== undefined && now < remembered.until) return remembered.path
      const found = yield* Effect.option(Effect.provide(read(connectionId), context))
      if (Option.isNone(found)) return [connectionId, connectionId]
      remember(connectionId, found.value, now)
      return found.value
    })
  } satisfies BudgetPaths["Service"]
})
