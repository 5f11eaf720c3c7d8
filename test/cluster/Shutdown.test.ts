import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fleet from "./Fleet.ts"
import * as Scene from "./Scene.ts"

describe("the end of a process", () => {
  it.live("under load loses nothing, and the next process downloads nothing that was stored", () =>
    Effect.gen(function* () {
      const scene = yield* Scene.make
      scene.counter.delay = 10
      const accounts = Array.from({ length: 20 }, (_, index) => `c${index}`)
      for (const name of accounts) yield* scene.connect({ name, items: 200, every: "1 minute" })
      const settings = { databaseUrl: scene.databaseUrl }
      const first = yield* Fleet.serving(settings)
      yield* Scene.until(Effect.map(scene.stored, (count) => count > 500))
      // Far from its end, however late the signal arrives.
      scene.counter.delay = 2000
      first.process.kill("SIGTERM")
      assert.deepStrictEqual(yield* Effect.promise(() => first.ended), { code: 0, signal: null }, first.stderr())

      const leases = yield* scene.sql`SELECT 1 FROM connection WHERE lease_holder IS NOT NULL`
      assert.deepStrictEqual(leases, [])
      const stored = yield* scene.ids
      const stopped = performance.now()
      assert.isBelow(stored.size, 4000)
      scene.counter.delay = 0
      const second = yield* Fleet.serving(settings)
      yield* Scene.until(Effect.map(scene.stored, (count) => count === 4000))
      const again = scene.counter.downloadsSince(stopped).filter((one) => stored.has(`${one.account}/${one.id}`))
      assert.deepStrictEqual(again, [])
      // A run ends a moment after its last batch is stored.
      yield* Scene.until(Effect.map(scene.runs, (runs) => !runs.has("running")))
      assert.isFalse((yield* scene.runs).has("failed"), first.stderr() + second.stderr())
    }).pipe(Effect.scoped, Effect.provide(Scene.layer))
  )

  it.live("comes at once at a second signal, and in time when something hangs", () =>
    Effect.gen(function* () {
      const scene = yield* Scene.make
      yield* scene.connect({ name: "held", items: 100_000 })
      scene.counter.delay = 50
      // A lock that nobody gives back holds up what the end has to write.
      const holding = <A, E, R>(use: Effect.Effect<A, E, R>) =>
        scene.sql.withTransaction(Effect.andThen(scene.sql`SELECT 1 FROM connection FOR UPDATE`, use))

      // The exit code says what ended the process: the second signal, or the time limit.
      for (const [signals, timeout, code] of [
        [["SIGTERM", "SIGINT"], "1 hour", 130],
        [["SIGINT", "SIGTERM"], "1 hour", 143],
        [["SIGTERM"], "2 seconds", 1]
      ] as const) {
        const member = yield* Fleet.serving({
          databaseUrl: scene.databaseUrl,
          env: { IDEM_SHUTDOWN_TIMEOUT: timeout }
        })
        yield* Scene.until(
          Effect.map(scene.sql`SELECT 1 FROM connection WHERE lease_holder IS NOT NULL`, (rows) => rows.length > 0)
        )
        yield* holding(
          Effect.gen(function* () {
            for (const signal of signals) {
              member.process.kill(signal)
              // Signals that are pending together arrive in the order of their numbers.
              yield* Effect.sleep("1 second")
            }
            assert.strictEqual((yield* Effect.promise(() => member.ended)).code, code, member.stderr())
          })
        )
        yield* scene.sql`UPDATE connection SET lease_until = NULL, lease_holder = NULL, due_at = now()`
      }
    }).pipe(Effect.scoped, Effect.provide(Scene.layer))
  )

  it.live("of one after the other, each replaced, fails no run", () =>
    Effect.gen(function* () {
      const scene = yield* Scene.make
      scene.counter.delay = 20
      for (let index = 0; index < 24; index += 1) {
        yield* scene.connect({ name: `c${index}`, items: 600, every: "1 minute" })
      }
      const settings = { databaseUrl: scene.databaseUrl }
      const old = yield* Effect.all(
        [1, 2, 3].map(() => Fleet.member(settings)),
        { concurrency: 3 }
      )
      const members = [...old]
      for (const member of old) {
        members.push(yield* Fleet.member(settings))
        member.process.kill("SIGTERM")
        assert.strictEqual((yield* Effect.promise(() => member.ended)).code, 0, member.stderr())
      }
      yield* Scene.until(Effect.map(scene.stored, (count) => count === 24 * 600))
      const runs = yield* scene.runs
      assert.isFalse(runs.has("failed"), members.map((member) => member.stderr()).join("\n"))
      assert.strictEqual(
        [...runs.values()].reduce((sum, run) => sum + run.stored, 0),
        24 * 600
      )
    }).pipe(Effect.scoped, Effect.provide(Scene.layer))
  )
})
