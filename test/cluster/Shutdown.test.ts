import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fleet from "./Fleet.ts"
import * as SharedDatabase from "./SharedDatabase.ts"

/** More items than are listed before `end`, so that no process finishes its work before that. */
const endless = 1_000_000

describe("the end of a process", () => {
  it.live("under load loses nothing, and the next process downloads nothing that was stored", () =>
    Effect.gen(function* () {
      const database = yield* SharedDatabase.make
      database.counter.delay = 100
      database.counter.pageSize = 10
      const accounts = Array.from({ length: 8 }, (_, index) => `c${index}`)
      for (const name of accounts) yield* database.connect({ name, items: endless, every: "1 minute" })
      const settings = { databaseUrl: database.databaseUrl }
      const first = yield* Fleet.serving(settings)
      yield* SharedDatabase.until(Effect.map(database.stored, (count) => count > 50))
      // So slow that the sync is far from its end, however late the signal arrives.
      database.counter.delay = 2000
      first.process.kill("SIGTERM")
      assert.deepStrictEqual(yield* Effect.promise(() => first.ended), { code: 0, signal: null }, first.stderr())

      const leases = yield* database.sql`SELECT 1 FROM connection WHERE lease_holder IS NOT NULL`
      assert.deepStrictEqual(leases, [])
      const stored = yield* database.ids
      const stopped = performance.now()
      const all = database.counter.end()
      assert.isBelow(stored.size, all)
      database.counter.delay = 0
      const second = yield* Fleet.serving(settings)
      yield* SharedDatabase.until(Effect.map(database.stored, (count) => count === all))
      const again = database.counter.downloadsSince(stopped).filter((one) => stored.has(`${one.account}/${one.id}`))
      assert.deepStrictEqual(again, [])
      // A run ends a moment after its last batch is stored.
      yield* SharedDatabase.until(Effect.map(database.runs, (runs) => !runs.has("running")))
      assert.isFalse((yield* database.runs).has("failed"), first.stderr() + second.stderr())
    }).pipe(Effect.scoped, Effect.provide(SharedDatabase.layer))
  )

  it.live("comes at once at a second signal, and in time when something hangs", () =>
    Effect.gen(function* () {
      const database = yield* SharedDatabase.make
      yield* database.connect({ name: "held", items: endless })
      database.counter.delay = 50
      // Holds a lock that is not released, which delays the writes of the shutdown.
      const holding = <A, E, R>(use: Effect.Effect<A, E, R>) =>
        database.sql.withTransaction(Effect.andThen(database.sql`SELECT 1 FROM connection FOR UPDATE`, use))

      // The exit code shows what ended the process: the second signal, or the time limit.
      for (const [first, second, timeout, code] of [
        ["SIGTERM", "SIGINT", "1 hour", 130],
        ["SIGINT", "SIGTERM", "1 hour", 143],
        ["SIGTERM", undefined, "2 seconds", 1]
      ] as const) {
        const member = yield* Fleet.serving({
          databaseUrl: database.databaseUrl,
          env: { IDEM_SHUTDOWN_TIMEOUT: timeout }
        })
        yield* SharedDatabase.until(
          Effect.map(database.sql`SELECT 1 FROM connection WHERE lease_holder IS NOT NULL`, (rows) => rows.length > 0)
        )
        yield* holding(
          Effect.gen(function* () {
            member.process.kill(first)
            // Signals that are pending at the same time are delivered in the order of their numbers.
            yield* SharedDatabase.until(Fleet.isStopping(member))
            if (second !== undefined) member.process.kill(second)
            assert.strictEqual((yield* Effect.promise(() => member.ended)).code, code, member.stderr())
          })
        )
        yield* database.sql`UPDATE connection SET lease_until = NULL, lease_holder = NULL, due_at = now()`
      }
    }).pipe(Effect.scoped, Effect.provide(SharedDatabase.layer))
  )

  it.live("in a rolling restart fails no run", () =>
    Effect.gen(function* () {
      const database = yield* SharedDatabase.make
      // Slow, so that only a few items are listed while processes start and stop.
      database.counter.delay = 1000
      database.counter.atOnce = 10
      database.counter.pageSize = 10
      for (let index = 0; index < 12; index += 1) {
        yield* database.connect({ name: `c${index}`, items: endless, every: "1 minute" })
      }
      const settings = { databaseUrl: database.databaseUrl }
      const old = yield* Effect.all(
        [1, 2].map(() => Fleet.member(settings)),
        { concurrency: 2 }
      )
      const members = [...old]
      for (const member of old) {
        members.push(yield* Fleet.member(settings))
        member.process.kill("SIGTERM")
        assert.strictEqual((yield* Effect.promise(() => member.ended)).code, 0, member.stderr())
      }
      const before = yield* database.stored
      const all = database.counter.end()
      assert.isBelow(before, all)
      database.counter.delay = 0
      yield* SharedDatabase.until(Effect.map(database.stored, (count) => count === all))
      const runs = yield* database.runs
      assert.isFalse(runs.has("failed"), members.map((member) => member.stderr()).join("\n"))
      assert.strictEqual(
        [...runs.values()].reduce((sum, run) => sum + run.stored, 0),
        all
      )
    }).pipe(Effect.scoped, Effect.provide(SharedDatabase.layer))
  )
})
