/**
 * The scheduled polling: connections that are due (their next poll, or a retry) are woken through an Effect Cluster entity
 * each, so that the cluster decides which process runs them and no process runs one twice at a time.
 *
 * A wake-up is volatile and may come twice or be lost: the connection's row is the durable state, and its lease and
 * fence are the guard.
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import * as Entity from "effect/cluster/Entity"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Runners from "effect/cluster/Runners"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Rpc from "effect/rpc/Rpc"
import * as Lease from "./Lease.ts"
import * as Runner from "./Runner.ts"
import { type Connection, ConnectionId, Store, type StoreError } from "./Store.ts"
import * as Upkeep from "./Upkeep.ts"

/** How often due connections are looked for; a slice that ends looks again at once. */
const tick = Duration.seconds(1)

/** Due connections taken at one look, and slices that run at the same time in this process. */
const dueAtOnce = 500
const slicesAtOnce = 32

/** A wake-up that is not answered by then is given up: if the connection is still due, it is sent again. */
const wakeTimeout = Duration.minutes(15)

const Wake = Rpc.make("Wake")

/** One connection, addressed by its id. */
const ConnectionEntity = Entity.make("idem/Connection", [Wake])

const describe = (connection: Connection, result: Runner.Outcome): Effect.Effect<void> => {
  const { deferred, deleted, failed, patched, stored, unchanged, updated } = result.counts
  const annotate = Effect.annotateLogs({ connection: connection.name, run: result.runId })
  if (result.error !== null) {
    return Effect.logWarning(`${result.error.reason}: ${result.error.message}`).pipe(annotate)
  }
  const numbers = { stored, updated, unchanged, patched, deleted, failed, deferred }
  const said = Object.entries(numbers).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []))
  return said.length === 0
    ? Effect.logDebug("nothing new").pipe(annotate)
    : Effect.logInfo(said.join(", ")).pipe(annotate)
}

/** One slice of this connection, if nobody else runs it. */
const poll = Effect.fn("Poller.poll")(function* (connectionId: ConnectionId) {
  const store = yield* Store
  // It may have been paused since it was found due.
  const row = yield* store.connection(connectionId)
  if (Option.isNone(row) || row.value.paused !== null) return
  const taken = yield* Lease.acquire(connectionId)
  if (taken._tag === "Held") return
  const request = { _tag: "Live", recorded: false, retryFailed: false } as const
  const result = yield* Runner.run(taken.connection, request, () => Effect.void)
  yield* describe(taken.connection, result)
})

/** Runs connections when they are woken. */
const entities = ConnectionEntity.toLayer(
  Effect.gen(function* () {
    const context = yield* Effect.context<Runner.Services>()
    const permits = yield* Slices
    const address = yield* Entity.CurrentAddress
    const connectionId = ConnectionId.make(address.entityId)
    return ConnectionEntity.of({
      Wake: () =>
        poll(connectionId).pipe(
          Effect.provide(context),
          permits.withPermit,
          Effect.catchTag(["StoreError", "Superseded"], (error) =>
            Effect.logWarning(error.message).pipe(Effect.annotateLogs({ connection: connectionId }))
          )
        )
    })
  }),
  { maxIdleTime: "1 minute" }
)

/** Bounds the slices of this process. */
class Slices extends Context.Service<Slices, Semaphore.Semaphore>()("idem/engine/Poller/Slices") {
  static readonly layer = Layer.effect(Slices, Semaphore.make(slicesAtOnce))
}

/** Looks for due connections and wakes them, for as long as its scope is open. */
const scheduler = Layer.effectDiscard(
  Effect.gen(function* () {
    yield* Lease.poll
    const store = yield* Store
    const clientOf = yield* ConnectionEntity.client
    const woken = yield* FiberMap.make<ConnectionId>()
    const ended = yield* Queue.sliding<void>(1)

    const wake = (connectionId: ConnectionId) =>
      clientOf(connectionId)
        .Wake()
        .pipe(
          Effect.timeoutOption(wakeTimeout),
          Effect.catch((error) => Effect.logWarning(`a connection could not be woken: ${error._tag}`)),
          Effect.ensuring(Queue.offer(ended, undefined)),
          Effect.asVoid
        )

    const look = Effect.gen(function* () {
      for (const { connectionId } of yield* store.due(dueAtOnce)) {
        yield* FiberMap.run(woken, connectionId, wake(connectionId), { onlyIfMissing: true })
      }
    }).pipe(Effect.catchTag("StoreError", (error) => Effect.logWarning(error.message)))

    yield* look.pipe(Effect.andThen(Effect.timeoutOption(Queue.take(ended), tick)), Effect.forever, Effect.forkScoped)
    yield* Upkeep.daily
  })
)

/** The cluster of one process: its runner and its messages are in memory. */
const layerOneProcess = Sharding.layer.pipe(
  Layer.provideMerge(Runners.layerNoop),
  Layer.provideMerge(MessageStorage.layerNoop),
  Layer.provide([RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
  Layer.provide(ShardingConfig.layer({ maxResidentEntities: 20_000 }))
)

/** Polls every connection of the store in this process. */
export const layer: Layer.Layer<never, Lease.PollingHeld | StoreError | Config.ConfigError, Runner.Services> =
  Layer.merge(entities.pipe(Layer.provide(Slices.layer)), scheduler).pipe(Layer.provide(layerOneProcess))
