import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import type { Budget } from "../../../src/contract/Integration.ts"
import { RateLimited } from "../../../src/contract/IntegrationError.ts"
import { moving } from "../../support/Moving.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import { callOf, elapsed, refused } from "./quotaFixture.ts"

describe("call", () => {
  it.effect("lets a minute's units through in a minute, and hardly more in the first", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({ unitsPerMinute: 6000 })
      const seconds = yield* moving(
        elapsed(Effect.forEach(Array.from({ length: 600 }), () => call("get", 20, Effect.void), { concurrency: 8 })),
        "100 millis"
      )
      // 12,000 units at 100 a second, minus one second's units with which the bucket begins.
      assert.isAtLeast(seconds, 118)
      assert.isAtMost(seconds, 122)
      assert.strictEqual((yield* RunMeter.read(meter)).apiCalls, 600)
      assert.strictEqual((yield* RunMeter.read(meter)).quotaUnits, 12_000)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("gives each account a budget of its own", () =>
    Effect.gen(function* () {
      const one = yield* callOf({ unitsPerMinute: 60 }, "one")
      const two = yield* callOf({ unitsPerMinute: 60 }, "two")
      yield* one.call("get", 1, Effect.void)
      const seconds = yield* elapsed(two.call("get", 1, Effect.void))
      assert.strictEqual(seconds, 0)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  /** Makes `calls` calls for each of two accounts at the same time, and returns how many seconds they take. */
  const bySharers = Effect.fnUntraced(function* (
    budgetsOf: (account: string) => readonly [Budget, ...ReadonlyArray<Budget>],
    calls: number
  ) {
    const quotas = yield* Quotas
    const sharers = yield* Effect.forEach(["ann", "bob"], (account) =>
      Effect.map(RunMeter.make(), (meter) => ({
        meter,
        call: quotas.call({
          domain: "test",
          budgets: budgetsOf(account),
          weights: undefined,
          timeout: "30 seconds",
          meter
        })
      }))
    )
    const all = Effect.forEach(
      sharers,
      ({ call }) => Effect.forEach(Array.from({ length: calls }), () => call("get", 1, Effect.void)),
      { concurrency: "unbounded" }
    )
    return { sharers, seconds: yield* moving(elapsed(all), "1 second") }
  })

  it.effect("lets two accounts share the limit of a workspace, by method and by minute", () =>
    Effect.gen(function* () {
      const byMethod = yield* bySharers(() => [{ key: "workspace", methods: { get: 60 } }], 60)
      assert.isAtLeast(byMethod.seconds, 118)
      const byClient = yield* bySharers(
        (account) => [
          { key: account, unitsPerMinute: 600 },
          { key: "client", unitsPerMinute: 60 }
        ],
        60
      )
      assert.isAtLeast(byClient.seconds, 118)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("asks seldom while a limit of hours names no end, and finds its end within an hour", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({ unitsPerMinute: 6000 })
      const start = yield* Clock.currentTimeMillis
      const end = start + Duration.toMillis("12 hours")
      let refusals = 0
      const download = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (now >= end) return Effect.void
        refusals += 1
        return Effect.andThen(Effect.sleep("100 millis"), refused(new RateLimited({ message: "too many bytes" })))
      })
      /** Downloads as slices do: five at a time, for a minute; then the run waits for the requested delay. */
      const slices: Effect.Effect<void> = Effect.gen(function* () {
        yield* RunMeter.waitUntil(meter, (yield* Clock.currentTimeMillis) + 60_000)
        // A light call that succeeds in between proves nothing about downloads.
        yield* Effect.ignore(call("list", 5, Effect.void))
        const ended = yield* Effect.forEach([1, 2, 3, 4, 5], () => Effect.result(call("get", 20, download)), {
          concurrency: 5
        })
        const failures = ended.flatMap((one) => (Result.isFailure(one) ? [one.failure.reason] : []))
        if (failures.length === 0) return
        const waits = failures.map((reason) =>
          reason._tag === "RateLimited" ? Duration.toMillis(reason.retryAfter ?? Duration.seconds(1)) : 0
        )
        yield* Effect.sleep(Duration.millis(Math.max(...waits)))
        return yield* slices
      })
      yield* moving(slices, "1 minute")
      assert.isAtLeast(refusals, 12)
      assert.isAtMost(refusals, 5 * 30)
      assert.isAtMost((yield* Clock.currentTimeMillis) - end, Duration.toMillis("62 minutes"))
      // A refusal after that is a new one.
      yield* RunMeter.waitUntil(meter, Number.POSITIVE_INFINITY)
      const before = yield* Clock.currentTimeMillis
      let isFirst = true
      const once = Effect.suspend(() => {
        if (!isFirst) return Effect.void
        isFirst = false
        return refused(new RateLimited({ message: "too many" }))
      })
      yield* moving(call("get", 20, once), "1 second")
      assert.isAtMost((yield* Clock.currentTimeMillis) - before, 5_000)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("spends a day's units as fast as the minute allows, then yields until the next day", () =>
    Effect.gen(function* () {
      const budgets = (account: string) =>
        [
          { key: account, unitsPerMinute: 6000 },
          { key: "client", unitsPerDay: 100 }
        ] as const
      const { seconds, sharers } = yield* bySharers(budgets, 50)
      assert.isAtMost(seconds, 2)
      const [ann] = sharers
      if (ann === undefined) return assert.fail("nobody shares it")
      yield* RunMeter.waitUntil(ann.meter, (yield* Clock.currentTimeMillis) + 60_000)
      const { reason } = yield* Effect.flip(ann.call("get", 1, Effect.void))
      const wait = reason._tag === "RateLimited" ? (reason.retryAfter ?? Duration.zero) : Duration.zero
      assert.isAtLeast(Duration.toHours(wait), 23)
      yield* RunMeter.waitUntil(ann.meter, Number.POSITIVE_INFINITY)
      const waited = yield* moving(elapsed(ann.call("get", 1, Effect.void)), "10 minutes")
      assert.isAtMost(waited, 86_400)
      assert.strictEqual((yield* RunMeter.read(ann.meter)).apiCalls, 51)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect(
    "counts a body's bytes once it is read: the next call waits for them, then yields and says until when",
    () =>
      Effect.gen(function* () {
        const quotas = yield* Quotas
        const meter = yield* RunMeter.make()
        const lines: Array<unknown> = []
        const logger = Logger.layer([Logger.make(({ message }) => void lines.push(message))])
        const call = quotas.call({
          domain: "test",
          budgets: [{ key: "me", unitsPerMinute: 6000, bytesPerDay: 100_000 }],
          weights: undefined,
          timeout: "30 seconds",
          meter
        })
        yield* RunMeter.waitUntil(meter, (yield* Clock.currentTimeMillis) + 60_000)
        for (let read = 0; read < 4; read++) {
          yield* call("get", 1, Effect.void)
          yield* RunMeter.bodyRead(meter, 30_000)
        }
        for (let again = 0; again < 2; again++) {
          const { reason } = yield* Effect.flip(Effect.provide(call("get", 1, Effect.void), logger))
          assert.strictEqual(reason._tag, "RateLimited")
          assert.include(reason.message, "100000 bytes a day of me are used up until 1970-01-01T21:36:00.000Z")
        }
        assert.strictEqual(lines.length, 1)
        assert.strictEqual((yield* RunMeter.read(meter)).apiCalls, 4)
        yield* RunMeter.waitUntil(meter, Number.POSITIVE_INFINITY)
        const waited = yield* moving(elapsed(call("get", 1, Effect.void)), "10 minutes")
        assert.isAtLeast(waited, 70_000)
        assert.isAtMost(waited, 86_400)
      }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("takes another weight and a limit of its own for a method from the quota", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({
        unitsPerMinute: 1_000_000,
        weights: { get: 5 },
        methods: { history: 1 }
      })
      yield* call("get", 20, Effect.void)
      assert.strictEqual((yield* RunMeter.read(meter)).quotaUnits, 5)
      const seconds = yield* moving(
        elapsed(Effect.forEach([1, 2, 3], () => call("history", 1, Effect.void))),
        "1 second"
      )
      assert.isAtLeast(seconds, 119)
      assert.isAtMost(seconds, 122)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("admits calls in their order, so that light ones do not starve a heavy one", () =>
    Effect.gen(function* () {
      const { call } = yield* callOf({ unitsPerMinute: 60 })
      yield* call("get", 1, Effect.void)
      const ended: Array<string> = []
      const calls = [5, 1, 1, 1].map((units) =>
        call(
          "get",
          units,
          Effect.sync(() => void ended.push(`${units} units`))
        )
      )
      yield* moving(Effect.all(calls, { concurrency: "unbounded" }), "1 second")
      assert.deepStrictEqual(ended, ["5 units", "1 units", "1 units", "1 units"])
    }).pipe(Effect.provide(Quotas.layerMemory))
  )

  it.effect("yields instead of waiting longer than its run may, and reserves nothing", () =>
    Effect.gen(function* () {
      const { call, meter } = yield* callOf({ unitsPerMinute: 1 })
      yield* call("get", 1, Effect.void)
      yield* RunMeter.waitUntil(meter, (yield* Clock.currentTimeMillis) + 10_000)
      for (let attempt = 0; attempt < 3; attempt += 1) {
        const error = yield* Effect.flip(call("get", 1, Effect.void))
        assert.strictEqual(error.reason._tag, "RateLimited")
      }
      yield* RunMeter.waitUntil(meter, Number.POSITIVE_INFINITY)
      const seconds = yield* moving(elapsed(call("get", 1, Effect.void)), "1 second")
      assert.isAtMost(seconds, 61)
      assert.strictEqual((yield* RunMeter.read(meter)).apiCalls, 2)
    }).pipe(Effect.provide(Quotas.layerMemory))
  )
})
