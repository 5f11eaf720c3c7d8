/**
 * Work that one holder does at a time, over all processes of a database. A lock is held for a while and kept while the
 * work goes on: that of a process that is gone is free
 * again soon, or at once where we see that it is gone.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { randomUUID } from "node:crypto"
import * as ProcessIdentity from "./ProcessIdentity.ts"
import { Store, StoreError } from "../Store.ts"

const ttl = Duration.seconds(30)
const retry = Duration.millis(100)

/** A lock that is not free by then: its holders are stuck. */
const patience = Duration.minutes(3)

/**
 * Does this while the lock is ours. Fails with `StoreError` where it does not become free. Waiting for it can be
 * interrupted; whether the work can is the caller's word.
 */
export const withLock =
  (name: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | StoreError, R | Store> =>
    Effect.gen(function* () {
      const store = yield* Store
      // Fibers of one process are as many holders.
      const holder = `${randomUUID()} of ${yield* ProcessIdentity.self}`
      const take = store.takeLock(name, { holder, ttl })
      const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(patience)
      const acquire = Effect.gen(function* () {
        while (true) {
          const other = Option.getOrUndefined(yield* take)
          if (other === undefined) return
          if (yield* ProcessIdentity.isDead(other.replace(/^\S+ of /, ""))) {
            if (Option.isNone(yield* store.takeLock(name, { holder, ttl, deadHolder: other }))) return
          }
          if ((yield* Clock.currentTimeMillis) >= until) {
            const message = `the lock "${name}" has been held for ${Duration.format(patience)} by ${other}: try again`
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
        () => Effect.ignore(store.releaseLock(name, holder))
      )
    })
