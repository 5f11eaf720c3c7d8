/** Sessions of a real database that wait for each other. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"

/** Waits until this many sessions of the database wait for a lock: no later than the server can tell. */
export const waiting = (count: number) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.gen(function* () {
      for (;;) {
        const rows = yield* sql`SELECT 1 FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'`
        if (rows.length >= count) return
        yield* Effect.yieldNow
      }
    })
  )

/** Keeps rows locked while the effect runs. */
export const whileLocked = <A, E, R, E2>(lock: Effect.Effect<unknown, E2>, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const locked = yield* Deferred.make<void>()
    const unlock = yield* Deferred.make<void>()
    const holder = yield* Effect.forkChild(
      sql.withTransaction(
        lock.pipe(Effect.andThen(Deferred.succeed(locked, undefined)), Effect.andThen(Deferred.await(unlock)))
      )
    )
    yield* Deferred.await(locked)
    const result = yield* effect
    yield* Deferred.succeed(unlock, undefined)
    yield* Fiber.join(holder)
    return result
  })
