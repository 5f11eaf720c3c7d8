/**
 * A database lock with a 30-second lease, renewed while it is held. A lock of a dead process is free when its lease
 * ends, or at once if the process is known to be dead.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"
import * as ProcessIdentity from "./ProcessIdentity.ts"
import { LockStore } from "../store/LockStore.ts"
import { StoreError } from "../store/StoreError.ts"

const ttl = Duration.seconds(30)
const retry = Duration.millis(100)

/** How long to wait for a held lock. */
const longestWait = Duration.minutes(3)

/**
 * Runs the work while it holds the lock. Fails with `StoreError` if the lock does not become free. The wait can be
 * interrupted; the caller decides whether the work can.
 */
export const withLock =
  (name: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | StoreError, R | LockStore> =>
    Effect.gen(function* () {
      const locks = yield* LockStore
      // Each fiber of a process is a holder of its own.
      const holder = `${randomUUID()} of ${yield* ProcessIdentity.self}`
      const take = locks.takeLock(name, { holder, ttl })
      const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(longestWait)
      const acquire = Effect.gen(function* () {
        while (true) {
          const other = Option.getOrUndefined(yield* take)
          if (other === undefined) return
          if (yield* ProcessIdentity.isDead(other.replace(/^\S+ of /, ""))) {
            if (Option.isNone(yield* locks.takeLock(name, { holder, ttl, deadHolder: other }))) return
          }
          if ((yield* Clock.currentTimeMillis) >= until) {
            const message = `the lock "${name}" has been held for ${Duration.format(longestWait)} by ${other}: try again`
            return yield* new StoreError({ message, cause: message })
          }
          yield* Effect.sleep(retry)
        }
      })
      const keep = Effect.ignore(take).pipe(
        Effect.delay(Duration.divideUnsafe(ttl, 3)),
        Effect.repeat(Schedule.forever),
        Effect.interruptible
      )
      return yield* Effect.acquireUseRelease(
        Effect.interruptible(acquire),
        () => Effect.scoped(Effect.andThen(Effect.forkScoped(keep), work)),
        () => Effect.ignore(locks.releaseLock(name, holder))
      )
    })
