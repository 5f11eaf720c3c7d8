/**
 * A database lock with a 30-second lease, renewed while it is held. The lock of a dead process becomes free when its
 * lease expires, or at once if the process is known to be dead.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"
import * as ProcessIdentity from "./ProcessIdentity.ts"
import { LockStore } from "../store/LockStore.ts"
import { StoreError } from "../store/StoreError.ts"

const ttl = Duration.seconds(30)

/** How long to wait for a held lock. */
const longestWait = Duration.minutes(3)
const polling = Schedule.spaced("100 millis").pipe(Schedule.upTo({ duration: longestWait }))

const lost = (name: string, other: string) => {
  const message = `the lock "${name}" ran out, and ${other} has it: try again`
  return new StoreError({ message, cause: message })
}

const held = (name: string, other: string) => {
  const message = `the lock "${name}" has been held for ${Duration.format(longestWait)} by ${other}: try again`
  return new StoreError({ message, cause: message })
}

/** Makes the claim of one fiber: each fiber of a process is a separate holder. */
const claim = Effect.fnUntraced(function* (name: string) {
  const locks = yield* LockStore
  const holder = `${randomUUID()} of ${yield* ProcessIdentity.self}`
  const take = locks.takeLock(name, { holder, ttl })
  /**
   * Acquires the lock, also from a holder known to be dead. Returns the holder if another one has it, else undefined.
   */
  const acquire = Effect.gen(function* () {
    const other = Option.getOrUndefined(yield* take)
    if (other === undefined || !(yield* ProcessIdentity.isDead(other.replace(/^\S+ of /, "")))) return other
    return Option.getOrUndefined(yield* locks.takeLock(name, { holder, ttl, deadHolder: other }))
  })
  /**
   * Renews the lock until interrupted. Fails if another holder has it. If the database can't be reached, the renewal is
   * repeated.
   */
  const renewal = take.pipe(
    Effect.catchTag("StoreError", ({ message }) => Effect.as(Effect.logWarning(message), Option.none<string>())),
    Effect.flatMap(Option.match({ onNone: () => Effect.void, onSome: (other) => Effect.fail(lost(name, other)) })),
    Effect.delay(Duration.divideUnsafe(ttl, 3)),
    Effect.forever,
    Effect.interruptible
  )
  /** Renews the lock while the work runs, and ends the work when the lock is lost. */
  const renewed = <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.raceFirst(work, renewal)
  return { acquire, renewed, release: Effect.ignore(locks.releaseLock(name, holder)) }
})

/**
 * Runs the work while the lock is held. Fails with `StoreError` if the lock does not become free in time. If the lock
 * is lost (the process was frozen for longer than the lease, say), the work is interrupted. The wait is interruptible;
 * the caller decides whether the work is.
 */
export const withLock =
  (name: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | StoreError, R | LockStore> =>
    Effect.gen(function* () {
      const lock = yield* claim(name)
      const acquire = lock.acquire.pipe(
        Effect.repeat({ until: (other) => other === undefined, schedule: polling }),
        Effect.flatMap((other) => (other === undefined ? Effect.void : Effect.fail(held(name, other))))
      )
      return yield* Effect.acquireUseRelease(
        Effect.interruptible(acquire),
        () => lock.renewed(work),
        () => lock.release
      )
    })

/** Runs the work if the lock is free. Returns `Option.none` if another holder has it. */
export const withFreeLock =
  (name: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<Option.Option<A>, E | StoreError, R | LockStore> =>
    Effect.flatMap(claim(name), (lock) =>
      Effect.acquireUseRelease(
        lock.acquire,
        (other) => (other === undefined ? Effect.asSome(lock.renewed(work)) : Effect.succeedNone),
        (other) => (other === undefined ? lock.release : Effect.void)
      )
    )
