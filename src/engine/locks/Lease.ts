/** The lease that allows one run at a time per connection: acquiring and renewing it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as ProcessIdentity from "./ProcessIdentity.ts"
import { Limits } from "../Limits.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import type { Connection, ConnectionId, LeasedConnection } from "../model/Connection.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import { fenceOf, type Superseded } from "../store/Fence.ts"
import { LeaseStore } from "../store/LeaseStore.ts"
import type { StoreError } from "../store/StoreError.ts"

/** The run made no progress for too long: no call, no bytes, no commit. */
export class Stalled extends Schema.TaggedError<Stalled>()("Stalled", { message: Schema.String }) {}

/** This process acquired the lease. The connection has its new fence. */
export interface Acquired {
  readonly _tag: "Acquired"
  readonly connection: LeasedConnection
}

/** Another process, or another run of this one, has the lease. */
export interface Taken {
  readonly _tag: "Taken"
  readonly holder: string
}

/**
 * Acquires the lease of a connection, or returns its holder. Takes over the lease of a process that is known to be
 * dead. `LeasedSlice.turn` releases the lease.
 */
export const acquire = Effect.fnUntraced(function* (
  connectionId: ConnectionId
): Effect.fn.Return<Acquired | Taken, StoreError | Superseded, ConnectionStore | LeaseStore> {
  const leases = yield* LeaseStore
  const connections = yield* ConnectionStore
  const limits = yield* Limits
  const holder = yield* ProcessIdentity.self
  const take = (deadHolder?: string) => leases.acquire(connectionId, { holder, ttl: limits.leaseTtl, deadHolder })

  const acquired = yield* take()
  if (Option.isSome(acquired)) return { _tag: "Acquired", connection: acquired.value }
  const other = Option.getOrUndefined(yield* connections.connection(connectionId))?.lease?.holder
  if (other !== undefined && (yield* ProcessIdentity.isDead(other))) {
    const taken = yield* take(other)
    if (Option.isSome(taken)) return { _tag: "Acquired", connection: taken.value }
  }
  return { _tag: "Taken", holder: other ?? "another process" }
})

/** Like `acquire`, but waits while the lease is taken. Calls `onTaken` for each new holder. */
export const acquireWaiting = Effect.fnUntraced(function* (
  connectionId: ConnectionId,
  onTaken: (holder: string) => Effect.Effect<void>
): Effect.fn.Return<Acquired, StoreError | Superseded, ConnectionStore | LeaseStore> {
  let holder: string | undefined
  while (true) {
    const acquired = yield* acquire(connectionId)
    if (acquired._tag === "Acquired") return acquired
    const report = acquired.holder === holder ? Effect.void : onTaken(acquired.holder)
    // Only the wait is interruptible: an interruption after the lease was acquired would leave it unreleased.
    yield* Effect.interruptible(Effect.andThen(report, Effect.sleep("250 millis")))
    holder = acquired.holder
  }
})

/**
 * Renews the lease until interrupted. Fails if the lease is lost (`Superseded`), or if the run makes no progress for
 * too long. If the database can't be reached, the renewal is repeated, because commits would fail as well.
 */
export const renew = (
  connection: Connection,
  meter: RunMeter.RunMeter
): Effect.Effect<never, Superseded | Stalled, LeaseStore> =>
  Effect.gen(function* () {
    const leases = yield* LeaseStore
    const limits = yield* Limits
    const renewal = Effect.gen(function* () {
      const now = yield* RunMeter.monotonicMillis
      if (now - (yield* RunMeter.read(meter)).movedAt > Duration.toMillis(limits.stallAfter)) {
        return yield* new Stalled({
          message: `no call, no bytes and no commit for ${Duration.format(limits.stallAfter)}`
        })
      }
      yield* leases
        .renew(fenceOf(connection), limits.leaseTtl)
        .pipe(Effect.catchTag("StoreError", (error: StoreError) => Effect.logWarning(error.message)))
    })
    const every = Duration.divideUnsafe(limits.leaseTtl, 3)
    yield* Effect.sleep(every)
    yield* Effect.repeat(renewal, Schedule.spaced(every))
    return yield* Effect.never
  })
