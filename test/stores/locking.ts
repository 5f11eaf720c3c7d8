/** Sessions of a real database that wait for each other. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"

/** Much longer than a session needs on a slow machine, and shorter than a test's timeout. */
const longest = Duration.minutes(2)

/** Reads the states of the other sessions of the database. */
const sessions = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{
      readonly line: string
    }>`SELECT concat_ws(' ', pid, state, wait_event_type, wait_event, left(query, 200)) AS line
      FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    (rows) => rows.map(({ line }) => line).join("\n")
  )

/**
 * Waits until this many sessions of the database wait for a lock. Fails after two minutes with the states of the
 * sessions.
 */
export const waiting = (count: number) =>
  SqlClient.SqlClient.use((sql) =>
    sql`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`.pipe(
      Effect.repeat({ until: (rows) => rows.length >= count }),
      Effect.asVoid,
      Effect.timeoutOrElse({
        duration: longest,
        orElse: () =>
          Effect.flatMap(sessions(sql), (found) =>
            Effect.die(
              new Error(`waited ${Duration.format(longest)} for ${count} sessions to wait for a lock:\n${found}`)
            )
          )
      })
    )
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

/**
 * Starts two effects, the second after the first has begun to wait for a lock, and returns their fibers after both
 * wait. Another session must hold the lock of the first meanwhile.
 */
export const forkWaiting = <A, E, R, A2, E2, R2>(first: Effect.Effect<A, E, R>, second: Effect.Effect<A2, E2, R2>) =>
  Effect.gen(function* () {
    const one = yield* Effect.forkChild(first)
    yield* waiting(1)
    const other = yield* Effect.forkChild(second)
    yield* waiting(2)
    return [one, other] as const
  })
