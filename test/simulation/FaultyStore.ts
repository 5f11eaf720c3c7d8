/**
 * The store as seen by one process. Each call is one atomic step of the store in memory. The process may be frozen or
 * dead before or after the step, the call may be slow, and it may fail before or after it took effect.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Fence } from "../../src/engine/store/Fence.ts"
import { StoreError } from "../../src/engine/store/StoreError.ts"
import type { WholeStore } from "../../src/testing/WholeStore.ts"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Batch } from "../../src/engine/model/Batch.ts"
import type { Random } from "../chaos/Random.ts"
import { Caller } from "./Caller.ts"
import { type Faults, reads, type StoreFault } from "./Faults.ts"
import type { Interleaving } from "./Interleaving.ts"

type Service = WholeStore

/** The update of a connection at the end of a run. */
export type Released = Parameters<Service["release"]>[1]

export interface Watch {
  /** Called after any method that may have written, in the same step. */
  readonly written: (method: string, caller: Caller) => Effect.Effect<void>
  readonly committed: (fence: Fence, batch: Batch) => Effect.Effect<void>
  readonly finished: (status: string, caller: Caller) => void
  readonly acquired: (connectionId: ConnectionId, caller: Caller) => void
  readonly released: (fence: Fence, next: Released, caller: Caller) => Effect.Effect<void>
}

const failureOf = (method: string) => new StoreError({ message: `${method} failed`, cause: method })

export const make = (options: {
  readonly store: Service
  readonly faults: Faults
  readonly interleaving: Interleaving
  readonly random: Random
  readonly now: () => number
  /** Returns the share of calls that are slow. */
  readonly slow: () => number
  readonly say: (text: () => string) => void
  readonly watch: Watch
}): Service => {
  const { faults, interleaving, random, say, store, watch } = options

  const isFree = ({ process }: Caller): boolean => !process.dead && process.frozenUntil <= options.now()

  /** Calls of a dead process neither reach the store nor return; calls of a frozen process wait. */
  const gate = (caller: Caller): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { process } = caller
      if (process.dead) return Effect.never
      const wait = process.frozenUntil - options.now()
      if (wait > 0) caller.isStruck = true
      return wait > 0 ? Effect.andThen(Effect.sleep(Duration.millis(wait)), gate(caller)) : Effect.void
    })

  /** Runs a step of the store without preemption. */
  const atomically = <A, E>(step: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      interleaving.isAtomic = true
      return Effect.ensuring(
        step,
        Effect.sync(() => {
          interleaving.isAtomic = false
        })
      )
    })

  const edge = <Args extends ReadonlyArray<unknown>, A, E>(
    method: string,
    call: (...args: Args) => Effect.Effect<A, E>,
    done: (caller: Caller, args: Args, result: A) => Effect.Effect<void> = (caller) =>
      reads.has(method) ? Effect.void : watch.written(method, caller)
  ) => {
    const step = (caller: Caller, args: Args): Effect.Effect<A, E> =>
      atomically(
        Effect.tap(
          Effect.suspend(() => call(...args)),
          (answer) => done(caller, args, answer)
        )
      )
    const struck = Effect.fnUntraced(function* (caller: Caller, fault: StoreFault, args: Args) {
      caller.isStruck = true
      say(() => `${caller.process.name}: ${method} ${fault._tag}`)
      if (fault._tag === "SlowThenFails") yield* Effect.sleep(Duration.millis(fault.millis))
      if (fault._tag === "FailsBefore" || fault._tag === "SlowThenFails") return yield* failureOf(method)
      if (fault._tag === "ProcessDies" && !fault.after) caller.process.dead = true
      if (fault._tag === "Slow" && !fault.after) yield* Effect.sleep(Duration.millis(fault.millis))
      yield* gate(caller)
      const result = yield* step(caller, args)
      if (fault._tag === "ProcessDies") caller.process.dead = true
      if (fault._tag === "Slow" && fault.after) yield* Effect.sleep(Duration.millis(fault.millis))
      yield* gate(caller)
      if (fault._tag === "FailsAfter") return yield* failureOf(method)
      return result
    })
    // Almost no call has a fault, so this path takes few steps of its fiber.
    const meet = (caller: Caller, args: Args): Effect.Effect<A, E | StoreError> => {
      const fault = faults.takeStore(method)
      if (fault !== undefined) return struck(caller, fault, args)
      if (!random.chance(options.slow())) return step(caller, args)
      const pause = Effect.andThen(Effect.sleep(Duration.millis(random.between(1, 400))), gate(caller))
      return Effect.andThen(pause, step(caller, args))
    }
    return (...args: Args): Effect.Effect<A, E | StoreError> =>
      Effect.flatMap(Caller, (caller) =>
        Effect.flatMap(
          isFree(caller) ? meet(caller, args) : Effect.andThen(gate(caller), () => meet(caller, args)),
          (result) => (isFree(caller) ? Effect.succeed(result) : Effect.as(gate(caller), result))
        )
      )
  }

  const commit = (fence: Fence, batch: Batch): ReturnType<Service["commit"]> => store.commit(fence, batch)
  return {
    ...store,
    existing: edge("existing", store.existing),
    revisions: edge("revisions", store.revisions),
    connection: edge("connection", store.connection),
    connectionsById: edge("connectionsById", store.connectionsById),
    connectionByName: edge("connectionByName", store.connectionByName),
    connectionIdsOf: edge("connectionIdsOf", store.connectionIdsOf),
    membersOf: edge("membersOf", store.membersOf),
    createConnection: edge("createConnection", store.createConnection),
    updateConnection: edge("updateConnection", store.updateConnection),
    saveCredentials: edge("saveCredentials", store.saveCredentials),
    setPaused: edge("setPaused", store.setPaused),
    disconnect: edge("disconnect", store.disconnect),
    acquire: edge("acquire", store.acquire, (caller, [connectionId], taken) =>
      Effect.sync(() => Option.isSome(taken) && watch.acquired(connectionId, caller))
    ),
    renew: edge("renew", store.renew),
    release: edge("release", store.release, (caller, [fence, next]) =>
      Effect.andThen(watch.released(fence, next, caller), watch.written("release", caller))
    ),
    beginRun: edge("beginRun", store.beginRun),
    finishRun: edge("finishRun", store.finishRun, (caller, [, run]) =>
      Effect.andThen(
        Effect.sync(() => watch.finished(run.status, caller)),
        watch.written("finishRun", caller)
      )
    ),
    pruneRuns: edge("pruneRuns", store.pruneRuns),
    openTask: edge("openTask", store.openTask),
    taskDone: edge("taskDone", store.taskDone),
    finishTask: edge("finishTask", store.finishTask),
    requestTask: edge("requestTask", store.requestTask),
    task: edge("task", store.task),
    nextTask: edge("nextTask", store.nextTask),
    requeueTask: edge("requeueTask", store.requeueTask),
    taskSummaries: edge("taskSummaries", store.taskSummaries),
    parts: edge("parts", store.parts),
    commit: edge("commit", commit, (caller, [fence, batch]) =>
      Effect.andThen(watch.written("commit", caller), watch.committed(fence, batch))
    ),
    changeScope: edge("changeScope", store.changeScope),
    readyDeletions: edge("readyDeletions", store.readyDeletions),
    storedBeforeDeletions: edge("storedBeforeDeletions", store.storedBeforeDeletions),
    applyDeletions: edge("applyDeletions", store.applyDeletions),
    holdDeletions: edge("holdDeletions", store.holdDeletions),
    retriesDue: edge("retriesDue", store.retriesDue),
    makeFailedDue: edge("makeFailedDue", store.makeFailedDue),
    ledger: edge("ledger", store.ledger),
    redrive: edge("redrive", store.redrive),
    deletions: edge("deletions", store.deletions),
    totals: edge("totals", store.totals),
    approveDeletions: edge("approveDeletions", store.approveDeletions),
    purge: edge("purge", store.purge)
  } satisfies Service
}
