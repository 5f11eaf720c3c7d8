/** The system's clock is corrected during a run: the run's time limits use the monotonic clock. */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Lease from "../../../src/engine/locks/Lease.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import { moving, until } from "../../support/Moving.ts"
import { only } from "../../support/MemorySource.ts"
import { ids, poll, withConnection } from "../../support/TestEngine.ts"

/** A process whose system clock can be corrected. Its timers and its monotonic clock are those of the test. */
const correctable = Effect.map(Clock.Clock, (test) => {
  let corrected = 0
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => test.currentTimeMillisUnsafe() + corrected,
    currentTimeMillis: Effect.map(test.currentTimeMillis, (now) => now + corrected),
    currentTimeNanosUnsafe: () => test.currentTimeNanosUnsafe() + BigInt(corrected) * 1_000_000n,
    currentTimeNanos: Effect.map(test.currentTimeNanos, (now) => now + BigInt(corrected) * 1_000_000n),
    monotonicTimeNanosUnsafe: () => test.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: test.monotonicTimeNanos,
    sleep: (duration) => test.sleep(duration)
  }
  return {
    correct: (hours: number) => Effect.sync(() => void (corrected += Duration.toMillis(Duration.hours(hours)))),
    run: Effect.provideService(Clock.Clock, clock)
  }
})

for (const [name, hours] of [
  ["put forward", 2],
  ["put back", -2]
] as const) {
  it.effect(`a run whose clock is ${name} goes on, and commits what has come in`, () =>
    withConnection(function* (source, connection) {
      source.addMany(10)
      const answered = yield* Deferred.make<void>()
      source.answer = only("download m000009", Deferred.await(answered))
      const { correct, run } = yield* correctable
      const running = yield* Effect.forkChild(run(poll(connection)))
      yield* until(Effect.sync(() => source.downloaded.length === 9))
      yield* correct(hours)
      assert.deepStrictEqual(yield* ids(connection), [])
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* ids(connection)).length, 9)
      yield* correct(hours)
      // The call of the last item has a minute. The lease is renewed twice meanwhile.
      yield* TestClock.adjust("22 seconds")
      assert.isUndefined(running.pollUnsafe())
      yield* Deferred.succeed(answered, undefined)
      assert.isNull((yield* moving(Fiber.join(running))).error)
    })
  )

  it.effect(`a slice whose clock is ${name} ends when its time is over`, () =>
    withConnection(function* (source, connection) {
      source.pageSize = 1
      source.addMany(15)
      const { correct, run } = yield* correctable
      source.answer = only("list", Effect.sleep("10 seconds"))
      const running = yield* Effect.forkChild(run(poll(connection)))
      yield* until(Effect.sync(() => source.calls.includes("list")))
      yield* correct(hours)
      const { next } = yield* moving(Fiber.join(running))
      assert.strictEqual(next._tag, "More")
      assert.strictEqual((yield* ids(connection)).length, 6)
    })
  )
}

it.effect("a run that stalls is ended after ten minutes, although its clock was put back", () =>
  withConnection(function* (_, connection) {
    const { correct, run } = yield* correctable
    const taken = yield* Lease.acquire(connection.id)
    if (taken._tag === "Taken") return yield* Effect.die(new Error("it is held"))
    const meter = yield* run(RunMeter.make())
    const keeping = yield* Effect.forkChild(run(Lease.renew(taken.connection, meter)))
    yield* correct(-24)
    yield* until(Effect.sync(() => keeping.pollUnsafe() !== undefined))
    assert.strictEqual((yield* Effect.flip(Fiber.join(keeping)))._tag, "Stalled")
    assert.isAtMost(yield* RunMeter.monotonicMillis, Duration.toMillis(Duration.minutes(11)))
  })
)
