/** Keeping a lease while a run goes on, and giving the run up once nothing moves. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import * as Lease from "../../../src/engine/locks/Lease.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { connect, ttl } from "../../stores/scenario.ts"

const begin = Effect.gen(function* () {
  const { id } = yield* connect()
  const taken = yield* Lease.acquire(id)
  if (taken._tag === "Taken") return yield* Effect.die(new Error("it is held"))
  const meter = yield* RunMeter.make()
  const keeping = yield* Effect.forkChild(Lease.keep(taken.connection, meter))
  const another = Effect.flatMap(WholeStore, (store) => store.acquire(id, { holder: "another process", ttl }))
  return { another, connection: taken.connection, keeping, meter }
})

it.layer(Memory.layer)("a lease", (it) => {
  it.effect("is renewed while the run moves, so that nobody else acquires it, however long it takes", () =>
    Effect.gen(function* () {
      const { another, keeping, meter } = yield* begin
      for (let second = 0; second < 20 * 60; second += 1) {
        yield* TestClock.adjust("1 second")
        yield* RunMeter.touch(meter)
        assert.isTrue(Option.isNone(yield* another), `after ${second} seconds`)
      }
      assert.isUndefined(keeping.pollUnsafe())
    })
  )

  it.effect("ends the run once nothing moved for ten minutes, and not sooner", () =>
    Effect.gen(function* () {
      const { keeping } = yield* begin
      yield* TestClock.adjust("590 seconds")
      assert.isUndefined(keeping.pollUnsafe())
      yield* TestClock.adjust("30 seconds")
      assert.isDefined(keeping.pollUnsafe())
      const error = yield* Effect.flip(Fiber.join(keeping))
      assert.deepInclude(error, { _tag: "Stalled", message: "no call, no bytes and no commit for 10m" })
    })
  )

  it.effect("ends the run once another process has acquired it", () =>
    Effect.gen(function* () {
      const { connection, keeping } = yield* begin
      const store = yield* WholeStore
      yield* store.release({ connectionId: connection.id, fence: connection.fence }, {})
      assert.isTrue(Option.isSome(yield* store.acquire(connection.id, { holder: "another process", ttl })))
      yield* TestClock.adjust("30 seconds")
      assert.isDefined(keeping.pollUnsafe())
      assert.strictEqual((yield* Effect.flip(Fiber.join(keeping)))._tag, "Superseded")
    })
  )
})
