/**
 * Finds due connections (for their next poll, a retry, or a requested task) and wakes each through its Effect Cluster
 * entity, so that the cluster decides which process runs a connection, and no process runs one twice at the same time.
 *
 * The store says what is due, the longest due first (`LeaseStore.due`). When a connection is polled next is decided at
 * the end of each run (sync/ConnectionUpdate.ts). A wake-up is volatile: it may be lost or delivered twice. The
 * connection's row is the durable state, and the lease and the fence are the guard.
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Entity from "effect/cluster/Entity"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Runners from "effect/cluster/Runners"
import * as Sharding from "effect/cluster/Sharding"
import * as Singleton from "effect/cluster/Singleton"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import { BudgetPaths } from "./BudgetPaths.ts"
import { ConnectionEntity } from "./ConnectionEntity.ts"
import { HintListener } from "./HintListener.ts"
import * as HintRouter from "./HintRouter.ts"
import { PendingHints } from "./PendingHints.ts"
import * as Lease from "../locks/Lease.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as PollingClaim from "../locks/PollingClaim.ts"
import * as LeasedSlice from "../sync/LeasedSlice.ts"
import { ConcurrencyLimiter } from "./ConcurrencyLimiter.ts"
import { type Connection, ConnectionId, type Due, type LeasedConnection } from "../model/Connection.ts"
import { BodyStore } from "../store/BodyStore.ts"
import { RunStore } from "../store/RunStore.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import { LeaseStore } from "../store/LeaseStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import type { WebhookStore } from "../store/WebhookStore.ts"
import { TaskStore } from "../store/TaskStore.ts"
import * as Maintenance from "./Maintenance.ts"
import * as Supervisor from "../Supervisor.ts"

/** How often the scheduler looks for due connections. If few are awake, it also looks when a slice ends. */
const tick = Duration.seconds(1)
const few = 64

/** Due connections that one look adds. A later look finds the rest. */
const dueAtOnce = 500
const wokenAtMost = 10_000

/** Entities of this process: those woken, and those that were a moment ago. A wake-up beyond it is sent again later. */
export const maxResidentEntities = 20_000

/** A wake-up that is not answered by then is given up. If the connection is still due, it is woken again. */
const wakeTimeout = Duration.minutes(15)

/** Why the result needs attention: its error, or the first place that could not be listed. */
const warningOf = ({ error, problems: [problem, ...others] }: LeasedSlice.RunResult): string | undefined => {
  if (error !== null) return `${error.reason}: ${error.message}`
  if (problem === undefined) return undefined
  const more = others.length === 0 ? "" : `, and ${others.length} more`
  return `could not list ${problem.place}: ${problem.message}${more}`
}

/** Logs what a run did: its warning, if there is one, and its counts. */
const logResult = (connection: Connection, result: LeasedSlice.RunResult): Effect.Effect<void> => {
  const { deferred, deleted, failed, patched, stored, unchanged, updated } = result.counts
  const counts = Object.entries({ stored, updated, unchanged, patched, deleted, failed, deferred })
    .flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []))
    .join(", ")
  const warning = warningOf(result)
  const line =
    warning !== undefined
      ? Effect.logWarning(counts === "" ? warning : `${warning}; ${counts}`)
      : counts === ""
        ? Effect.logDebug("nothing new")
        : Effect.logInfo(counts)
  return Effect.annotateLogs(line, { connection: connection.name, domain: connection.domain, run: result.runId })
}

/**
 * The task to run now, if it is not the turn of the connection's own poll: a task that has just been asked for goes
 * first, then both take turns, each time the one that has been due longer. A paused connection runs its tasks, since a
 * person asked, and nothing else.
 */
const taskFor = Effect.fnUntraced(function* (connectionId: ConnectionId) {
  const connections = yield* ConnectionStore
  const tasks = yield* TaskStore
  const connection = Option.getOrUndefined(yield* connections.connection(connectionId))
  const task = Option.getOrUndefined(yield* tasks.nextTask(connectionId))
  if (connection === undefined || task === undefined) return undefined
  const isTurn =
    !task.begun || connection.paused !== null || DateTime.isLessThanOrEqualTo(task.dueAt, connection.nextPollAt)
  return isTurn ? task : undefined
})

/**
 * Runs one slice of this connection, unless its lease is taken. Returns true if there is more to do. `requested` also
 * runs tasks; `early` runs hinted parts only.
 */
export const poll = Effect.fn("poll", { root: true })(function* (
  connectionId: ConnectionId,
  { early = false, requested = false }: { readonly requested?: boolean; readonly early?: boolean }
) {
  const pending = yield* PendingHints
  const task = requested ? yield* taskFor(connectionId) : undefined
  let hints: ReturnType<typeof pending.take> | undefined
  const choose = Effect.fnUntraced(function* (connection: LeasedConnection) {
    // The connection may have been paused since it was found due.
    if (task === undefined && connection.paused !== null) return undefined
    yield* (yield* HintListener).listen(connection)
    const dueAt = task?.dueAt ?? connection.nextPollAt
    // Both are of the store's clock: this process's may be ahead or behind.
    const lateMillis = DateTime.toEpochMillis(connection.acquiredAt) - DateTime.toEpochMillis(dueAt)
    // A retry may be due before the next poll is.
    if (lateMillis >= 0) yield* Metrics.began(connection.domain, lateMillis / 1000)
    if (task !== undefined) return { _tag: "TaskSlice", taskId: task.id } as const
    hints = pending.take(connectionId, early)
    return { ...LeasedSlice.poll, hinted: hints?.hinted }
  })
  const slice = Effect.gen(function* () {
    const turn = yield* LeasedSlice.turn(Lease.acquire(connectionId), choose)
    if (turn._tag !== "Ran") return false
    const { connection, result } = turn
    if (hints !== undefined) yield* pending.done(connectionId, hints, result)
    yield* logResult(connection, result)
    return result.error === null && result.next._tag !== "Done"
  })
  return yield* Effect.uninterruptible(slice)
})

/**
 * The poll that hints bring forward, if one may be made now; undefined if none was made. A connection that is due, has
 * failed, or was asked to wait takes its hints with its scheduled poll.
 */
export const pollHinted = Effect.fnUntraced(function* (connectionId: ConnectionId) {
  const connections = yield* ConnectionStore
  const hinted = yield* (yield* PendingHints).due(connectionId)
  if (hinted === undefined) return undefined
  const connection = Option.getOrUndefined(yield* connections.connection(connectionId))
  if (connection === undefined || connection.paused !== null || connection.failures > 0) return undefined
  const { askedWaitUntil, nextPollAt } = connection
  const now = yield* DateTime.now
  const isDue = DateTime.isLessThanOrEqualTo(nextPollAt, now)
  const isAskedToWait = askedWaitUntil !== null && DateTime.isGreaterThan(askedWaitUntil, now)
  return isDue || isAskedToWait ? undefined : yield* poll(connectionId, { early: hinted === "parts" })
})

/** Connections whose last slice in this process left something to do. */
class Backfills extends Context.Service<Backfills, Set<ConnectionId>>()("idem/engine/schedule/Scheduler") {
  static readonly layer = Layer.sync(Backfills, () => new Set())
}

/** Runs connections when they are woken. */
const entities = ConnectionEntity.toLayer(
  Effect.gen(function* () {
    const context = yield* Effect.context<LeasedSlice.Services | PendingHints | HintListener>()
    const limiter = yield* ConcurrencyLimiter
    const backfills = yield* Backfills
    const paths = yield* BudgetPaths
    const pending = yield* PendingHints
    const address = yield* Entity.CurrentAddress
    const connectionId = ConnectionId.make(address.entityId)
    const run = (slice: ReturnType<typeof poll | typeof pollHinted>) =>
      Effect.flatMap(paths.of(connectionId), (path) =>
        limiter.take({ kind: backfills.has(connectionId) ? "backfill" : "poll", path }, slice)
      ).pipe(
        Effect.provide(context),
        Effect.map((more) => {
          if (more === true) backfills.add(connectionId)
          else if (more === false) backfills.delete(connectionId)
        }),
        // The connection was removed since it was found due.
        Effect.catchTag("Superseded", () => Effect.void),
        Effect.catchTag("StoreError", (error) =>
          Effect.logWarning(error.message).pipe(Effect.annotateLogs({ connection: connectionId }))
        )
      )
    return ConnectionEntity.of({
      Wake: ({ payload: { requested } }) => run(poll(connectionId, { requested })),
      Hint: ({ payload: { everywhere, parts } }) =>
        Effect.andThen(
          Effect.sync(() => pending.add(connectionId, parts, everywhere)),
          run(pollHinted(connectionId))
        )
    })
  }),
  // Short, so that ten thousand entities of one minute do not stay in memory until the next.
  { maxIdleTime: "5 seconds" }
)

/** Looks for due connections and wakes them, until interrupted. */
const schedule = Effect.gen(function* () {
  const leases = yield* LeaseStore
  const clientOf = yield* ConnectionEntity.client
  const woken = new Set<ConnectionId>()
  const ended = yield* Queue.sliding<void>(1)

  const wake = ({ connectionId, requested }: Due) =>
    clientOf(connectionId)
      .Wake({ requested })
      .pipe(
        Effect.timeoutOption(wakeTimeout),
        Effect.catch((error) => Effect.logWarning(`a connection could not be woken: ${error._tag}`)),
        Effect.ensuring(
          Effect.suspend(() => {
            woken.delete(connectionId)
            return woken.size < few ? Queue.offer(ended, undefined) : Effect.void
          })
        )
      )

  // Connections that wait for a slot are still the longest due, so the look skips them.
  const look = Effect.gen(function* () {
    const limit = Math.min(woken.size + dueAtOnce, wokenAtMost)
    for (const due of yield* leases.due(limit)) {
      if (woken.size >= wokenAtMost) return
      if (woken.has(due.connectionId)) continue
      woken.add(due.connectionId)
      // If the scheduler moves to another process, slices that it has woken continue where they are.
      yield* Effect.forkDetach(wake(due))
    }
  }).pipe(Effect.catchTag("StoreError", (error) => Effect.logWarning(error.message)))

  return yield* Effect.forever(Effect.andThen(look, Effect.timeoutOption(Queue.take(ended), tick)))
})

/** The scheduler: one for the whole cluster, in the process that has its shard. It moves when that process leaves. */
const scheduler = Layer.unwrap(
  Effect.gen(function* () {
    const context = yield* Effect.context<BodyStore | LeaseStore | RunStore | WebhookStore | Sharding.Sharding>()
    const maintenance = yield* Maintenance.settings
    const work = Effect.gen(function* () {
      yield* Maintenance.daily(maintenance)
      return yield* schedule
    }).pipe(Effect.scoped, Effect.provide(context))
    return Singleton.make("idem/Scheduler", Supervisor.forever(work, { what: "the scheduler", pause: tick }))
  })
)

/** The cluster of one process: its runner and its messages are in memory. */
const layerOneProcess = Sharding.layer.pipe(
  Layer.provideMerge(Runners.layerNoop),
  Layer.provideMerge(MessageStorage.layerNoop),
  Layer.provide([RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
  Layer.provide(ShardingConfig.layer({ maxResidentEntities }))
)

type PollerError = PollingClaim.PolledElsewhere | StoreError | Config.ConfigError

/** The services of hints, for the entities. */
const hints = Layer.provideMerge(HintListener.layer, PendingHints.layer)

/** Claims the polling before it joins a cluster, and releases the claim last: until then this process may write. */
const polling = <E, E2, R, R2>(
  claim: Effect.Effect<PollingClaim.PollingClaim["Service"], E, R>,
  sharding: Layer.Layer<Sharding.Sharding, E2, R2>
) =>
  Layer.unwrap(
    Effect.map(claim, (claimed) =>
      Layer.merge(
        entities.pipe(Layer.provide([ConcurrencyLimiter.layer, Backfills.layer, BudgetPaths.layer, hints])),
        scheduler
      ).pipe(
        Layer.provideMerge(HintRouter.layer),
        Layer.provideMerge(sharding),
        Layer.merge(Layer.succeed(PollingClaim.PollingClaim, claimed))
      )
    )
  )

/** Polls every connection of the store, in this process alone. Other work of a single process uses its cluster, too. */
export const layer: Layer.Layer<
  Sharding.Sharding | PollingClaim.PollingClaim,
  PollerError,
  LeasedSlice.Services | WebhookStore
> = polling(PollingClaim.ofOneProcess, layerOneProcess)

/** Polls its share of the connections, as a member of this cluster. */
export const layerMember = <E, R>(
  cluster: Layer.Layer<Sharding.Sharding, E, R>
): Layer.Layer<
  Sharding.Sharding | PollingClaim.PollingClaim,
  PollerError | E,
  LeasedSlice.Services | WebhookStore | R
> => polling(PollingClaim.ofCluster, cluster)
