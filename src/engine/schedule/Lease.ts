/** The lease that allows one run at a time per connection: acquiring and renewing it. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as ProcessIdentity from "./ProcessIdentity.ts"
import { Limits } from "../Limits.ts"
import type { Meter } from "../sync/RunMeter.ts"
import type { Connection, ConnectionId } from "../model/Connection.ts"
import { Store, type StoreError, Superseded } from "../Store.ts"

/** The run made no progress for too long: no call, no bytes, no commit. */
export class Stalled extends Schema.TaggedError<Stalled>()("Stalled", { message: Schema.String }) {}

/**
 * The connection with its new fence, or the holder of the lease. A lease whose process is known to be dead is taken
 * over.
 *
 * Call this and `Run.run` in one uninterruptible region: an interruption between the two would leave the lease held.
 */
export const acquire = Effect.fnUntraced(function* (connectionId: ConnectionId) {
  const store = yield* Store
  const limits = yield* Limits
  const holder = yield* ProcessIdentity.self
  const attempt = (deadHolder?: string) => store.acquire(connectionId, { holder, ttl: limits.leaseTtl, deadHolder })

  const acquired = yield* attempt()
  if (Option.isSome(acquired)) return { _tag: "Acquired", connection: acquired.value } as const
  const held = yield* store.connection(connectionId)
  if (Option.isNone(held)) return yield* new Superseded({ connectionId })
  const other = held.value.lease?.holder
  if (other !== undefined && (yield* ProcessIdentity.isDead(other))) {
    const taken = yield* attempt(other)
    if (Option.isSome(taken)) return { _tag: "Acquired", connection: taken.value } as const
  }
  return { _tag: "Held", holder: other ?? "another process" } as const
})

/** Like `acquire`, but waits for a held lease. `onHeld` is called once, with the holder. */
export const acquireWaiting = Effect.fnUntraced(function* (
  connectionId: ConnectionId,
  onHeld: (holder: string) => Effect.Effect<void>
) {
  let told = ""
  while (true) {
    const outcome = yield* acquire(connectionId)
    if (outcome._tag === "Acquired") return outcome
    if (told !== outcome.holder) {
      yield* Effect.interruptible(onHeld(outcome.holder))
      told = outcome.holder
    }
    yield* Effect.interruptible(Effect.sleep("250 millis"))
  }
})

/**
 * Renews the lease until interrupted. Fails if the lease is lost (`Superseded`), or if the run makes no progress for
 * too long. A renewal that fails because the database is away is repeated: a commit would fail anyway.
 */
export const keep = (connection: Connection, meter: Meter): Effect.Effect<never, Superseded | Stalled, Store> =>
  Effect.gen(function* () {
    const store = yield* Store
    const limits = yield* Limits
    const renewal = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (now - meter.movedAt > Duration.toMillis(limits.stallAfter)) {
        return yield* new Stalled({ message: `nothing moved for ${Duration.format(limits.stallAfter)}` })
      }
      yield* store
        .renew({ connectionId: connection.id, fence: connection.fence }, limits.leaseTtl)
        .pipe(Effect.catchTag("StoreError", (error: StoreError) => Effect.logWarning(error.message)))
    })
    const every = Duration.divideUnsafe(limits.leaseTtl, 3)
    yield* Effect.sleep(every)
    yield* Effect.repeat(renewal, Schedule.spaced(every))
    return yield* Effect.never
  })
