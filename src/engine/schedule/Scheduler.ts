/**
 * Finds due connections (for their next poll, a retry, or a requested task) and wakes each through an Effect Cluster
 * entity, its group, so that the cluster decides which process runs a connection. No process runs it twice at the same
 * time (`ConcurrencyLimiter.ts`).
 *
 * The store returns due connections, the longest due first (`LeaseStore.due`). The next poll is scheduled at the end of
 * each run (sync/ConnectionUpdate.ts). A wake-up is volatile: it may be lost or delivered twice. The connection's row
 * is the durable state, and the lease and the fence are the guard.
 */
import * as Cause from "effect/Cause"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Runners from "effect/cluster/Runners"
import * as Sharding from "effect/cluster/Sharding"
import * as Singleton from "effect/cluster/Singleton"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import { BudgetPaths } from "./BudgetPaths.ts"
import * as ConnectionGroup from "./ConnectionGroup.ts"
import { HintListener } from "./HintListener.ts"
import * as HintRouter from "./HintRouter.ts"
import { PendingHints } from "./PendingHints.ts"
import * as Lease from "../locks/Lease.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as PollingClaim from "../locks/PollingClaim.ts"
import * as LeasedSlice from "../sync/LeasedSlice.ts"
import { ConcurrencyLimiter } from "./ConcurrencyLimiter.ts"
import type { Connection, ConnectionId, Due, LeasedConnection } from "../model/Connection.ts"
import { BodyStore } from "../store/BodyStore.ts"
import { RunStore } from "../store/RunStore.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import { LeaseStore } from "../store/LeaseStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import type { WebhookStore } from "../store/WebhookStore.ts"
import { TaskStore } from "../store/TaskStore.ts"
import * as Maintenance from "./Maintenance.ts"
import * as Supervisor from "../Supervisor.ts"

/**
 * How often the scheduler queries due connections. If fewer than `few` connections are awake, it also does so when a
 * slice ends, so that the slots of a dozen processes stay in use.
 */
const tick = Duration.seconds(1)
const few = 500

/** The most connections that one query adds, and the most that are awake. Later queries find the rest. */
const dueAtOnce = 500
const wokenAtMost = 10_000

/** The time limit of a wake-up. If the connection is still due, it is woken again. */
const wakeTimeout = Duration.minutes(15)

/**
 * Returns why the result needs attention: its error, or the first place that could not be listed. Undefined if it does
 * not.
 */
const warningOf = ({ error, problems: [problem, ...others] }: LeasedSlice.RunResult): string | undefined => {
  if (error !== null) return `${error.reason}: ${error.message}`
  if (problem === undefined) return undefined
  const more = others.length === 0 ? "" : `, and ${others.length} more`
  return `could not list ${problem.place}: ${problem.message}${more}`
}

/** Logs the result of a run: its warning, if it has one, and its counts. */
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
 * Returns the task to run now; undefined if it is the turn of the connection's own poll. A task that has not begun goes
 * first. After that, tasks and polls take turns: the one that has been due longer runs. A paused connection runs its
 * requested tasks, and nothing else.
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
 * runs tasks; `hintedOnly` lists hinted parts only.
 */
export const poll = Effect.fn("poll", { root: true })(function* (
  connectionId: ConnectionId,
  { hintedOnly = false, requested = false }: { readonly requested?: boolean; readonly hintedOnly?: boolean }
) {
  const pending = yield* PendingHints
  const task = requested ? yield* taskFor(connectionId) : undefined
  let hints: ReturnType<typeof pending.take> | undefined
  const choose = Effect.fnUntraced(function* (connection: LeasedConnection) {
    // The connection may have been paused since it was found due.
    if (task === undefined && connection.paused !== null) return undefined
    yield* (yield* HintListener).listen(connection)
    const dueAt = task?.dueAt ?? connection.nextPollAt
    // Both times are by the store's clock, which may differ from this process's.
    const lateMillis = DateTime.toEpochMillis(connection.acquiredAt) - DateTime.toEpochMillis(dueAt)
    // Negative if a retry is due before the next poll.
    if (lateMillis >= 0) yield* Metrics.began(connection.domain, lateMillis / 1000)
    if (task !== undefined) return { _tag: "TaskSlice", taskId: task.id } as const
    hints = pending.take(connectionId, hintedOnly)
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
 * Runs the poll that hints justify, if it may run now; otherwise returns undefined. If the connection is due, has
 * failed, or was asked to wait, its hints stay for the scheduled poll.
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
  return isDue || isAskedToWait ? undefined : yield* poll(connectionId, { hintedOnly: hinted === "parts" })
})

/** Connections whose last slice in this process left work. */
class Backfills extends Context.Service<Backfills, Set<ConnectionId>>()("idem/engine/schedule/Scheduler") {
  static readonly layer = Layer.sync(Backfills, () => new Set())
}

/** The groups, which run their connections when they are woken. */
const connectionGroups = ConnectionGroup.ConnectionGroup.toLayer(
  Effect.gen(function* () {
    const context = yield* Effect.context<LeasedSlice.Services | PendingHints | HintListener>()
    const limiter = yield* ConcurrencyLimiter
    const backfills = yield* Backfills
    const paths = yield* BudgetPaths
    const pending = yield* PendingHints
    const run = (connectionId: ConnectionId, slice: ReturnType<typeof poll | typeof pollHinted>) =>
      Effect.flatMap(paths.of(connectionId), (path) =>
        limiter.take({ connectionId, kind: backfills.has(connectionId) ? "backfill" : "poll", path }, slice)
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
        ),
        Effect.catchDefect((defect) =>
          Effect.logError("a poll ended with a defect", Cause.die(defect)).pipe(
            Effect.annotateLogs({ connection: connectionId })
          )
        )
      )
    return ConnectionGroup.ConnectionGroup.of({
      Wake: ({ payload: { connectionId, requested } }) => run(connectionId, poll(connectionId, { requested })),
      Hint: ({ payload: { connectionId, everywhere, parts } }) =>
        Effect.andThen(
          Effect.sync(() => pending.add(connectionId, parts, everywhere)),
          run(connectionId, pollHinted(connectionId))
        )
    })
  }),
  // The slots of a process bound its work, and `wokenAtMost` the messages that wait for them.
  { concurrency: "unbounded", mailboxCapacity: "unbounded" }
)

/** Finds due connections and wakes them, until interrupted. */
const schedule = Effect.gen(function* () {
  const leases = yield* LeaseStore
  const clientOf = yield* ConnectionGroup.client
  const woken = new Set<ConnectionId>()
  const ended = yield* Queue.sliding<void>(1)

  const wake = ({ connectionId, requested }: Due) =>
    clientOf(connectionId)
      .Wake({ connectionId, requested })
      .pipe(
        Effect.timeoutOption(wakeTimeout),
        Effect.catch((error) => Effect.logWarning(`can't wake ${connectionId} (${error._tag}): it is polled later`)),
        Effect.ensuring(
          Effect.suspend(() => {
            woken.delete(connectionId)
            return woken.size < few ? Queue.offer(ended, undefined) : Effect.void
          })
        )
      )

  // Connections that wait for a slot remain the longest due, so the query asks for that many more.
  const wakeDue = Effect.gen(function* () {
    const limit = Math.min(woken.size + dueAtOnce, wokenAtMost)
    for (const due of yield* leases.due(limit)) {
      if (woken.size >= wokenAtMost) return
      if (woken.has(due.connectionId)) continue
      woken.add(due.connectionId)
      // Detached: if the scheduler moves to another process, slices that it has woken continue.
      yield* Effect.forkDetach(wake(due))
    }
  }).pipe(Effect.catchTag("StoreError", (error) => Effect.logWarning(error.message)))

  return yield* Effect.forever(Effect.andThen(wakeDue, Effect.timeoutOption(Queue.take(ended), tick)))
})

/**
 * The scheduler, a cluster singleton: it runs in the process that owns its shard, and moves when that process leaves.
 */
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

/** A cluster of one process: its runner and its messages are in memory, and are not encoded. */
const layerOneProcess = Sharding.layer.pipe(
  Layer.provideMerge(Runners.layerNoop),
  Layer.provideMerge(MessageStorage.layerNoop),
  Layer.provide([RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
  Layer.provide(ShardingConfig.layer({ simulateRemoteSerialization: false }))
)

type PollerError = PollingClaim.PolledElsewhere | StoreError | Config.ConfigError

/** The services of hints, for the groups. */
const hints = Layer.provideMerge(HintListener.layer, PendingHints.layer)

/** Claims the polling before it joins a cluster, and releases the claim last: until then this process may write. */
const polling = <E, E2, R, R2>(
  claim: Effect.Effect<PollingClaim.PollingClaim["Service"], E, R>,
  sharding: Layer.Layer<Sharding.Sharding, E2, R2>
) =>
  Layer.unwrap(
    Effect.map(claim, (claimed) =>
      Layer.merge(
        connectionGroups.pipe(Layer.provide([ConcurrencyLimiter.layer, Backfills.layer, BudgetPaths.layer, hints])),
        scheduler
      ).pipe(
        Layer.provideMerge(HintRouter.layer),
        Layer.provideMerge(sharding),
        Layer.merge(Layer.succeed(PollingClaim.PollingClaim, claimed))
      )
    )
  )

/** Polls every connection of the store, in this process alone. Other singletons of the process use its cluster too. */
export const layer: Layer.Layer<
  Sharding.Sharding | PollingClaim.PollingClaim,
  PollerError,
  LeasedSlice.Services | WebhookStore
> = polling(PollingClaim.ofOneProcess, layerOneProcess)

/** Polls a share of the connections, as a member of this cluster. */
export const layerMember = <E, R>(
  cluster: Layer.Layer<Sharding.Sharding, E, R>
): Layer.Layer<
  Sharding.Sharding | PollingClaim.PollingClaim,
  PollerError | E,
  LeasedSlice.Services | WebhookStore | R
> => polling(PollingClaim.ofCluster, cluster)
