/**
 * Finds the budget and the account of each connection, by which `ConcurrencyLimiter.ts` gives slots in turns. They are
 * read from the connection's row before its slice waits for a slot, and cached.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type { Connection, ConnectionId } from "../model/Connection.ts"
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

/** Returns the path of a connection. Fails if the connection can't be opened. */
const pathOf = Effect.fnUntraced(function* (connection: Connection) {
  const source = yield* OpenSource.decode(connection)
  const { account, domain } = connection
  const budget = (yield* OpenSource.budgetsOf(source.integration, { ...source, account })).at(-1)
  return [`${domain}/${budget?.key ?? account}`, account] as const satisfies BudgetPath
})

interface Unread extends Request.Request<BudgetPath> {
  readonly connectionId: ConnectionId
}
const Unread = Request.of<Unread>()

/** Reads the connections that are woken at the same time in one query. */
const read = Effect.fnUntraced(function* (entries: ReadonlyArray<Request.Entry<Unread>>) {
  const connections = yield* ConnectionStore
  const ids = entries.map(({ request }) => request.connectionId)
  // A row that can't be read fails the poll of its own connection, and must not fail the others.
  const found = yield* Effect.catchCause(connections.connectionsById(ids), () => Effect.succeed([]))
  const byId = new Map(found.map((connection) => [connection.id, connection]))
  for (const entry of entries) {
    const { connectionId } = entry.request
    const connection = byId.get(connectionId)
    const path = connection === undefined ? undefined : yield* Effect.exit(pathOf(connection))
    const own = [connectionId, connectionId] as const
    entry.completeUnsafe(Exit.succeed(path !== undefined && Exit.isSuccess(path) ? path.value : own))
  }
})

const make = Effect.gen(function* () {
  const context = yield* Effect.context<ConnectionStore | Integrations | Vault>()
  const unread = RequestResolver.make<Unread>((entries) => Effect.provide(read(entries), context))
  // A map, because Effect's `Cache` keeps the fiber of each look-up: 3.4 kB for a connection.
  const paths = new Map<ConnectionId, Remembered>()
  return {
    of: Effect.fnUntraced(function* (connectionId) {
      const now = yield* RunMeter.monotonicMillis
      const remembered = paths.get(connectionId)
      if (remembered !== undefined && now < remembered.until) return remembered.path
      const path = yield* Effect.request(Unread({ connectionId }), unread)
      paths.delete(connectionId)
      if (path[0] !== connectionId) paths.set(connectionId, { path, until: now + Duration.toMillis(rememberedFor) })
      const [oldest] = paths.size > capacity ? paths.keys() : []
      if (oldest !== undefined) paths.delete(oldest)
      return path
    })
  } satisfies BudgetPaths["Service"]
})
