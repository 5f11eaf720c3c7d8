import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import { randomUUID } from "node:crypto"
import * as SharedQuotas from "../../src/stores/postgres/SharedQuotas.ts"
import * as Database from "../support/Postgres.ts"
import { Time } from "./scenario.ts"
import { runs } from "../support/Property.ts"

const { RateLimiterStore } = RateLimiter

/** Simulates the passing of time by making all stored times older. */
const aging = Layer.effect(
  Time,
  SqlClient.SqlClient.use((sql) =>
    Effect.succeed({
      pass: (by: Duration.Duration) =>
        Effect.forEach(
          [
            sql`UPDATE rate_limit_bucket SET refilled_at = refilled_at - ${Duration.toMillis(by)}::float8,
              asked_at = asked_at - ${Duration.toMillis(by)}::float8`,
            sql`UPDATE rate_limit_window SET expires_at = expires_at - ${Duration.toMillis(by)}::float8,
              asked_at = asked_at - ${Duration.toMillis(by)}::float8`,
            sql`UPDATE rate_limit_adaptive SET cooldown_until = cooldown_until - ${Duration.toMillis(by)}::float8,
              learning_started_at = learning_started_at - ${Duration.toMillis(by)}::float8,
              expires_at = expires_at - ${Duration.toMillis(by)}::float8`
          ],
          (statement) => statement
        ).pipe(Effect.orDie, Effect.asVoid)
    })
  )
)

const memory = Layer.merge(
  RateLimiter.layerStoreMemory,
  Layer.succeed(Time, { pass: (by: Duration.Duration) => TestClock.adjust(by) })
)

const postgres = Layer.merge(SharedQuotas.layer, aging).pipe(Layer.provide(Database.layer))

/**
 * The database's clock advances during the test. The limits here are minutes, so that even a slow machine stays far
 * from the next limit.
 */
const tolerance = 20_000

const about = (given: number, expected: number): void => assert.closeTo(given, expected, tolerance)

const suite = <E>(name: string, layer: Layer.Layer<RateLimiter.RateLimiterStore | Time, E>): void => {
  it.layer(layer)(`${name}: the store of rate limits`, (it) => {
    // A test that is repeated finds the store as its first attempt left it.
    let attempt = ""
    beforeEach(() => {
      attempt = randomUUID()
    })
    const keyOf = (word: string): string => `${word} of ${attempt}`

    const bucket = (word: string, tokens: number, allowOverflow = false) =>
      RateLimiterStore.use((store) =>
        store.tokenBucket({ key: keyOf(word), tokens, limit: 10, refillRate: Duration.minutes(1), allowOverflow })
      )

    it.effect("a bucket begins full, and refuses what it has not, taking nothing", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* bucket("a", 4))[0], 6)
        assert.strictEqual((yield* bucket("a", 7))[0], -1)
        assert.strictEqual((yield* bucket("a", 6))[0], 0)
        assert.strictEqual((yield* bucket("another", 1))[0], 9)
      })
    )

    it.effect("a bucket refills by whole units, keeps what is left of the time, and never overflows", () =>
      Effect.gen(function* () {
        const time = yield* Time
        yield* bucket("b", 10)
        yield* time.pass(Duration.seconds(150))
        const [remaining, elapsed] = yield* bucket("b", 1)
        assert.strictEqual(remaining, 1)
        about(elapsed, 30_000)
        yield* time.pass(Duration.hours(1))
        assert.deepStrictEqual(yield* bucket("b", 1), [9, 0])
      })
    )

    it.effect("a bucket that may be overdrawn counts its debt", () =>
      Effect.gen(function* () {
        const time = yield* Time
        assert.strictEqual((yield* bucket("c", 25, true))[0], -15)
        yield* time.pass(Duration.minutes(5))
        assert.strictEqual((yield* bucket("c", 0, true))[0], -10)
      })
    )

    it.effect("a bucket keeps fractions", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* bucket("d", 0.25))[0], 9.75)
        assert.strictEqual((yield* bucket("d", 0.5))[0], 9.25)
      })
    )

    it.effect("a window counts until it is over, and refuses beyond its limit", () =>
      Effect.gen(function* () {
        const time = yield* Time
        const store = yield* RateLimiterStore
        const take = (tokens: number) =>
          store.fixedWindow({ key: keyOf("w"), tokens, refillRate: Duration.minutes(1), limit: 5 })
        const [count, ttl] = yield* take(3)
        assert.strictEqual(count, 3)
        about(ttl, 180_000)
        const [beyond, still] = yield* take(3)
        assert.strictEqual(beyond, 6)
        about(still, 180_000)
        assert.strictEqual((yield* take(2))[0], 5)
        yield* time.pass(Duration.minutes(6))
        assert.strictEqual((yield* take(1))[0], 1)
      })
    )

    const consume = (word: string, tokens = 1) =>
      RateLimiterStore.use((store) =>
        store.adaptiveConsume({ key: keyOf(word), tokens, fallbackLimit: 100, fallbackWindow: Duration.minutes(10) })
      )
    const feedback = (
      word: string,
      epoch: number,
      retryAfter: Duration.Duration | undefined,
      status = 429,
      tokens = 1
    ) =>
      RateLimiterStore.use((store) => store.adaptiveFeedback({ key: keyOf(word), epoch, tokens, status, retryAfter }))

    it.effect("says nothing of a source that asked for nothing", () =>
      Effect.gen(function* () {
        yield* feedback("quiet", 0, undefined)
        yield* feedback("quiet", 0, Duration.minutes(1), 503)
        yield* feedback("quiet", 3, Duration.minutes(1))
        assert.deepStrictEqual(yield* consume("quiet"), { delay: Duration.zero, epoch: 0, phase: "inactive" })
      })
    )

    it.effect("cools down as long as the source asks, the longest of what it asked, then learns", () =>
      Effect.gen(function* () {
        const time = yield* Time
        yield* feedback("cool", 0, Duration.minutes(5))
        yield* feedback("cool", 0, Duration.minutes(2))
        const waiting = yield* consume("cool")
        assert.deepStrictEqual([waiting.phase, waiting.epoch], ["cooldown", 0])
        about(Duration.toMillis(waiting.delay), 300_000)
        yield* time.pass(Duration.seconds(330))
        const after = yield* consume("cool")
        assert.deepStrictEqual([after.phase, after.epoch, Duration.toMillis(after.delay)], ["learning", 1, 0])
        // A response to a request from before the cool-down gives no new information.
        yield* feedback("cool", 0, Duration.minutes(30))
        assert.strictEqual((yield* consume("cool")).phase, "learning")
      })
    )

    it.effect("learns a limit from what went through, spreads calls over it, and cools down when it was wrong", () =>
      Effect.gen(function* () {
        const time = yield* Time
        yield* feedback("learn", 0, Duration.seconds(10))
        yield* time.pass(Duration.seconds(15))
        for (let call = 0; call < 5; call += 1) yield* consume("learn")
        yield* feedback("learn", 1, Duration.minutes(4))
        // 4 calls succeeded; from now on the limit is 4 in 4 minutes, and these 4 are spent.
        const next = yield* consume("learn")
        assert.deepStrictEqual([next.phase, next.epoch], ["learned", 2])
        about(Duration.toMillis(next.delay), 240_000)
        yield* time.pass(Duration.minutes(4))
        about(Duration.toMillis((yield* consume("learn")).delay), 0)
        yield* feedback("learn", 2, Duration.minutes(1))
        assert.strictEqual((yield* consume("learn")).phase, "cooldown")
      })
    )

    it.effect("forgets what it learned a while after its last use, and believes no source for more than an hour", () =>
      Effect.gen(function* () {
        const time = yield* Time
        yield* feedback("forget", 0, Duration.days(30))
        about(Duration.toMillis((yield* consume("forget")).delay), 3_600_000)
        yield* time.pass(Duration.minutes(62))
        assert.strictEqual((yield* consume("forget")).phase, "inactive")
        yield* feedback("forget", 7, Duration.minutes(1))
        assert.strictEqual((yield* consume("forget")).phase, "inactive")
        yield* feedback("forget", 0, Duration.minutes(1))
        assert.strictEqual((yield* consume("forget")).phase, "cooldown")
      })
    )
  })
}

suite("memory", memory)
suite("Postgres", postgres)

const Step = Schema.Struct({
  call: Schema.Literals(["bucket", "overdraw", "window", "open window", "consume", "refusal"]),
  tokens: Schema.Literals([0.5, 1, 2, 5]),
  // Refills and windows end after multiples of 30 seconds: no sum of these is within 10 seconds before one.
  pass: Schema.Literals([0, 0, 0, 20, 40, 100, 400, 5000]),
  epoch: Schema.Literals([0, 0, 1, 2, 3])
})

describe("PostgreSQL's store", () => {
  it.layer(postgres)("beside memory's", (it) => {
    it.effect.prop(
      "gives the same answers, whatever is asked",
      [Schema.Array(Step).check(Schema.isMinLength(8), Schema.isMaxLength(40))],
      ([steps]) =>
        Effect.gen(function* () {
          const key = randomUUID()
          const time = yield* Time
          const real = yield* RateLimiterStore
          const model = Context.get(yield* Layer.build(RateLimiter.layerStoreMemory), RateLimiterStore)
          const ask = (store: typeof real, { call, epoch, tokens }: typeof Step.Type) => {
            const rate = { key, tokens, refillRate: Duration.minutes(1) }
            switch (call) {
              case "bucket":
              case "overdraw":
                return store.tokenBucket({ ...rate, limit: 4, allowOverflow: call === "overdraw" })
              case "window":
                return store.fixedWindow({ ...rate, limit: 4 })
              case "open window":
                return store.fixedWindow({ ...rate, limit: undefined })
              case "consume":
                return Effect.map(
                  store.adaptiveConsume({ key, tokens, fallbackLimit: 100, fallbackWindow: Duration.minutes(10) }),
                  ({ delay, epoch, phase }) => [epoch, Duration.toMillis(delay), phase] as const
                )
              case "refusal":
                return Effect.map(
                  store.adaptiveFeedback({ key, epoch, tokens, status: 429, retryAfter: Duration.minutes(3) }),
                  () => [0, 0] as const
                )
            }
          }
          for (const step of steps) {
            yield* time.pass(Duration.seconds(step.pass))
            yield* TestClock.adjust(Duration.seconds(step.pass))
            const [count, millis, ...rest] = yield* ask(real, step)
            const [expected, about, ...phase] = yield* ask(model, step)
            assert.closeTo(count, expected, 1e-6)
            // The remainder of a refill may be slightly below a whole unit in one store, and above it in the other.
            assert.closeTo(millis, about, tolerance)
            assert.deepStrictEqual(rest, phase)
          }
        }).pipe(Effect.scoped),
      runs(60)
    )
  })
})
