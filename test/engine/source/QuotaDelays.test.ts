import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { Forbidden, IntegrationError, RateLimited, Transient } from "../../../src/contract/IntegrationError.ts"
import { moving } from "../../support/Moving.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import * as Limits from "../../../src/engine/Limits.ts"
import * as RefusalDelay from "../../../src/engine/source/RefusalDelay.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import { callOf, elapsed, refused } from "./quotaFixture.ts"

describe("call", () => {
  it.effect("waits as long as the source asks before any call of the account", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({ unitsPerMinute: 1_000_000 })
      let refusals = 1
      const asked = call(
        "get",
        1,
        Effect.suspend(() => {
          refusals -= 1
          return refusals === 0
            ? refused(new RateLimited({ message: "slow", retryAfter: Duration.seconds(7) }))
            : Effect.void
        })
      )
      const asking = yield* Effect.forkChild(elapsed(asked))
      yield* moving(Effect.sleep("1 second"), "100 millis")
      assert.strictEqual((yield* RunMeter.read(meter)).waitingUntil, 7_000)
      const seconds = yield* moving(Fiber.join(asking), "100 millis")
      assert.isAtLeast(seconds, 7)
      assert.isAtMost(seconds, 9)
      assert.isUndefined((yield* RunMeter.read(meter)).waitingUntil)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  /**
   * Refuses twice: after the first refusal the account cools down; after the second, the quota knows which calls
   * succeeded in between.
   */
  const learning = Effect.fnUntraced(function* () {
    const { call, meter } = yield* callOf({ unitsPerMinute: 600_000 })
    const busy = refused(new RateLimited({ message: "slow down", retryAfter: Duration.seconds(1) }))
    let asked = 0
    const heavy = call(
      "get",
      20,
      Effect.suspend(() => ((asked += 1) > 2 ? Effect.void : Effect.delay(busy, "500 millis")))
    )
    const light = Effect.delay(call("labels", 1, Effect.void), "1600 millis")
    yield* moving(Effect.all([heavy, light], { concurrency: "unbounded" }), "100 millis")
    assert.strictEqual(asked, 3)
    return { call, meter }
  })

  it.effect("a source that refuses a heavy call right after a light one holds up no heavy ones for minutes", () =>
    Effect.gen(function* () {
      const { call } = yield* learning()
      const calls = Effect.forEach([1, 2, 3, 4], () => call("get", 20, Effect.void))
      assert.isAtMost(yield* moving(elapsed(calls), "100 millis"), 16)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("calls at the same time keep to a source's pace, one after the other", () =>
    Effect.gen(function* () {
      const { call } = yield* learning()
      const times: Array<number> = []
      const calls = Array.from({ length: 5 }, () =>
        call(
          "get",
          20,
          Effect.map(Clock.currentTimeMillis, (now) => void times.push(now))
        )
      )
      yield* moving(Effect.all(calls, { concurrency: "unbounded" }), "100 millis")
      for (const [index, at] of times.slice(1).entries()) assert.isAtLeast(at - (times[index] ?? at), 1000)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("a call that yields instead of waiting reserves nothing of the learned rate", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* learning()
      yield* RunMeter.waitUntil(meter, 0)
      for (let attempt = 0; attempt < 50; attempt += 1) yield* Effect.exit(call("get", 20, Effect.void))
      yield* RunMeter.waitUntil(meter, Number.POSITIVE_INFINITY)
      assert.isAtMost(yield* moving(elapsed(call("get", 20, Effect.void)), "100 millis"), 10)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("tries what is transient again, and gives up in the end", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({ unitsPerMinute: 1_000_000 })
      const error = yield* moving(Effect.flip(call("get", 1, refused(new Transient({ message: "503" })))))
      assert.strictEqual(error.message, "503")
      assert.strictEqual((yield* RunMeter.read(meter)).apiCalls, 4)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("does not repeat what can't heal", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({ unitsPerMinute: 1_000_000 })
      yield* Effect.flip(call("get", 1, refused(new Forbidden({ message: "no" }))))
      assert.strictEqual((yield* RunMeter.read(meter)).apiCalls, 1)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("ends a request that gives no answer, and interrupts it", () =>
    Effect.gen(function* () {
      const { call } = yield* callOf({ unitsPerMinute: 1_000_000 })
      const interrupted = yield* Deferred.make<void>()
      const hanging = Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      const error = yield* moving(Effect.flip(call("get", 1, hanging)), "10 seconds")
      assert.strictEqual(error.reason._tag, "Transient")
      assert.include(error.message, "get gave no answer within 30s")
      yield* Deferred.await(interrupted)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )
})

describe("while the budgets can't be reached", () => {
  /** Quotas whose store fails this often before it answers. */
  const failing = (failures: number) => {
    let left = failures
    const reason = new RateLimiter.RateLimitStoreError({ message: "the database is away" })
    const store = Effect.map(RateLimiter.RateLimiterStore, (real) => ({
      ...real,
      tokenBucket: (options: Parameters<typeof real.tokenBucket>[0]) =>
        Effect.suspend(() =>
          left-- > 0 ? Effect.fail(new RateLimiter.RateLimiterError({ reason })) : real.tokenBucket(options)
        )
    }))
    return Quotas.layer.pipe(
      Layer.provide(Layer.effect(RateLimiter.RateLimiterStore, store)),
      Layer.provide(RateLimiter.layerStoreMemory)
    )
  }

  it.effect("a call waits, and is made once they answer", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({ unitsPerMinute: 6000 })
      const seconds = yield* moving(elapsed(call("get", 1, Effect.void)), "100 millis")
      assert.isAtLeast(seconds, 3)
      assert.isAtMost(seconds, 4)
      assert.strictEqual((yield* RunMeter.read(meter)).apiCalls, 1)
    }).pipe(Effect.provide(failing(6)))
  )

  it.effect("a call yields after half a minute as if the source had refused it, and is not made", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({ unitsPerMinute: 6000 })
      yield* RunMeter.waitUntil(meter, (yield* RunMeter.monotonicMillis) + 40_000)
      const before = yield* Clock.currentTimeMillis
      const error = yield* moving(Effect.flip(call("get", 1, Effect.die("it was made"))), "1 second")
      assert.strictEqual(error.reason._tag, "RateLimited")
      assert.include(error.message, "the quota can't be asked for")
      assert.closeTo((yield* Clock.currentTimeMillis) - before, 30_000, 1_000)
    }).pipe(Effect.provide(failing(Number.POSITIVE_INFINITY)))
  )
})

describe("a delay that a source asks for", () => {
  const asked = (retryAfter: Duration.Duration) => {
    const { reason } = RefusalDelay.bound(
      new IntegrationError({ reason: new RateLimited({ message: "slow down", retryAfter }) }),
      Duration.days(1)
    )
    return reason._tag === "RateLimited" ? reason : undefined
  }

  it("is bounded, whatever the header said", () => {
    for (const retryAfter of [Duration.seconds(9_999_999_999), Duration.infinity, Duration.days(2)]) {
      assert.deepStrictEqual(asked(retryAfter)?.retryAfter, Duration.days(1))
      assert.include(asked(retryAfter)?.message ?? "", "longer wait than 1d")
    }
    assert.deepStrictEqual(asked(Duration.seconds(-5))?.retryAfter, Duration.zero)
    for (const retryAfter of [Duration.zero, Duration.seconds(17), Duration.days(1)]) {
      assert.deepStrictEqual(asked(retryAfter)?.retryAfter, retryAfter)
      assert.strictEqual(asked(retryAfter)?.message, "slow down")
    }
  })

  it.effect("is bounded by `IDEM_LONGEST_RETRY_AFTER` in each call, and cools its account down no longer", () =>
    Effect.gen(function* () {
      const { call } = yield* callOf({ unitsPerMinute: 6000 })
      const century = Effect.fail(
        new IntegrationError({ reason: new RateLimited({ message: "slow down", retryAfter: Duration.days(36_500) }) })
      )
      const first = yield* callOf({ unitsPerMinute: 6000 })
      yield* RunMeter.waitUntil(first.meter, 0)
      const { reason } = yield* Effect.flip(first.call("get", 1, century))
      assert.deepStrictEqual(reason._tag === "RateLimited" ? reason.retryAfter : undefined, Duration.hours(1))
      yield* Effect.flip(first.call("get", 1, Effect.void))
      assert.deepInclude(yield* RunMeter.read(first.meter), {
        exhausted: Duration.hours(1),
        askedWait: Duration.hours(1)
      })
      const seconds = yield* moving(elapsed(call("get", 1, Effect.void)), "10 seconds")
      assert.isAtLeast(seconds, 3_500)
      assert.isAtMost(seconds, 3_700)
    }).pipe(
      Effect.provide(
        Quotas.layerMemory.pipe(
          Layer.provide(Limits.layer),
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { IDEM_LONGEST_RETRY_AFTER: "1 hour" } })))
        )
      )
    )
  )
})
