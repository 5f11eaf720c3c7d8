/**
 * Finds the budget and the account of each connection, by which `ConcurrencyLimiter.ts` gives slots in turns. They are
 * read from the connection's row before its slice waits for a slot, and cached.
 */
import * as Cache from "effect/Cache"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type { ConnectionId } from "../model/Connection.ts"
import type { Vault } from "../secrets/Vault.ts"
import type { Integrations } from "../source/Integrations.ts"
import * as OpenSource from "../source/OpenSource.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"

/** How many connections are cached, and for how long: new credentials may spend from another budget. */
const capacity = 50_000
const rememberedFor = Duration.hours(1)

/** The most widely shared budget of the connection, then its account. */
type BudgetPath = readonly [budget: string, account: string]

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
  const paths = yield* Cache.makeWith(read, {
    capacity,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? rememberedFor : Duration.zero)
  })
  return {
    of: (connectionId) => Effect.orElseSucceed(Cache.get(paths, connectionId), () => [connectionId, connectionId])
  } satisfies BudgetPaths["Service"]
})
