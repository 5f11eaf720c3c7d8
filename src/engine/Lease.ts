/** One run at a time per connection, and one polling process per database: taking, keeping and giving back. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Holder from "./Holder.ts"
import { Limits } from "./Limits.ts"
import type { Meter } from "./Meter.ts"
import { type Connection, type ConnectionId } from "./Records.ts"
import { Store, type StoreError, Superseded } from "./Store.ts"

/** Nothing moved for too long: no call, no bytes, no commit. */
export class Stalled extends Schema.TaggedError<Stalled>()("Stalled", { message: Schema.String }) {}

/**
 * The connection with its new fence, or who holds it. A holder that is dead, as far as we can see, does not hold.
 *
 * To be used uninterruptibly together with `Runner.run`: an interruption between the two would leave the lease behind.
 */
export const acquire = Effect.fnUntraced(function* (connectionId: ConnectionId) {
  const store = yield* Store
  const limits = yield* Limits
  const holder = yield* Holder.self
  const attempt = (deadHolder?: string) => store.acquire(connectionId, { holder, ttl: limits.leaseTtl, deadHolder })

  const acquired = yield* attempt()
  if (Option.isSome(acquired)) return { _tag: "Acquired", connection: acquired.value } as const
  const held = yield* store.connection(connectionId)
  if (Option.isNone(held)) return yield* new Superseded({ connectionId })
  const other = held.value.lease?.holder
  if (other !== undefined && (yield* Holder.isDead(other))) {
    const taken = yield* attempt(other)
    if (Option.isSome(taken)) return { _tag: "Acquired", connection: taken.value } as const
  }
  return { _tag: "Held", holder: other ?? "another process" } as const
})

/** As `acquire`, waiting for a held lease; `onHeld` is told its holder once. */
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
 * Renews the lease until interrupted. Fails once it is lost (`Superseded`), or when nothing has moved for too long. A
 * database that is away is tried again: a commit finds out soon enough.
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

/** Another process polls this database, or others that this one does not join. */
export class PollingHeld extends Schema.TaggedError<PollingHeld>()("PollingHeld", {
  holder: Schema.String,
  advice: Schema.String
}) {
  override get message(): string {
    return `${this.holder} polls this database already: ${this.advice}`
  }
}

/** What the processes of a cluster hold the polling as, all of them together. */
const together = "a cluster of idem serve (IDEM_CLUSTER)"

/** Keeps a claim of the polling until the scope closes. */
const keepPolling = (claim: Effect.Effect<Option.Option<string>, StoreError>) =>
  Effect.gen(function* () {
    const limits = yield* Limits
    const renewal = claim.pipe(
      Effect.tap((other) =>
        Option.isSome(other)
          ? Effect.logError(`${other.value} has taken over the polling of this database`)
          : Effect.void
      ),
      Effect.catchTag("StoreError", (error) => Effect.logWarning(error.message))
    )
    yield* Effect.forkScoped(Effect.repeat(renewal, Schedule.spaced(Duration.divideUnsafe(limits.leaseTtl, 3))))
  })

/**
 * The right to poll this database alone, kept until the scope closes. A process that was frozen and comes back late may
 * find it gone: the fences of its runs keep it from harm, and it is told.
 */
export const poll = Effect.gen(function* () {
  const store = yield* Store
  const limits = yield* Limits
  const holder = yield* Holder.self
  const claim = (deadHolder?: string) => store.claimPolling({ holder, ttl: limits.leaseTtl, deadHolder })
  const claimed = yield* Effect.gen(function* () {
    const other = yield* claim()
    return Option.isSome(other) && (yield* Holder.isDead(other.value)) ? yield* claim(other.value) : other
  })
  if (Option.isSome(claimed)) {
    const advice =
      claimed.value === together
        ? "set IDEM_CLUSTER=1 to join it, or stop all of it first and wait half a minute"
        : "stop it first, or give all of them IDEM_CLUSTER=1 to share the work"
    return yield* new PollingHeld({ holder: claimed.value, advice })
  }
  yield* Effect.addFinalizer(() => Effect.ignore(store.releasePolling(holder)))
  yield* keepPolling(claim())
})

/**
 * The right to poll this database together with others of a cluster, kept until the scope closes. None of them gives it
 * back, since others may hold it still: it ends with the time of the last.
 */
export const pollTogether = Effect.gen(function* () {
  const store = yield* Store
  const limits = yield* Limits
  const claim = (deadHolder?: string) => store.claimPolling({ holder: together, ttl: limits.leaseTtl, deadHolder })
  const claimed = yield* Effect.gen(function* () {
    const other = yield* claim()
    return Option.isSome(other) && (yield* Holder.isDead(other.value)) ? yield* claim(other.value) : other
  })
  if (Option.isSome(claimed)) {
    return yield* new PollingHeld({
      holder: claimed.value,
      advice: "stop it and start it again with IDEM_CLUSTER=1, as all of them must be"
    })
  }
  yield* keepPolling(claim())
})
