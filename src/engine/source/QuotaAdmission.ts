/**
 * Admits calls to the budgets of their account: waits until each budget has room, and until a cool-down that the source
 * asked for has ended. If the wait would exceed what the run may wait, the call fails with `RateLimited`.
 *
 * A budget of U units a minute is a token bucket that refills one unit each 60/U seconds and holds about one second's
 * worth: a bucket of one minute's worth would let two minutes' units through in the first minute. Budgets of a day are
 * asked first, so that a call that they refuse reserves nothing of the others. The units of a day are spent as fast as
 * the other budgets allow.
 *
 * The result that no cool-down is active is cached for a second. While the database cannot be reached, calls wait: they
 * cost no item an attempt, and spend nothing.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import { IntegrationError, RateLimited } from "../../contract/IntegrationError.ts"
import { unlimited } from "../../contract/Quota.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import { type Bucket, type CallLimits, usedUp } from "./CallLimits.ts"
import { Slot } from "./Slot.ts"

const minute = Duration.minutes(1)

/** A wait longer than this is logged. */
const loggedFrom = Duration.minutes(10)

/** How long the result that no cool-down is active is cached. */
const noCooldownTtl = Duration.seconds(1)

/** If the budgets can't be reached: the delay between attempts, and the time after which the run yields. */
const unavailableDelay = Duration.millis(500)
const unavailableTimeout = Duration.seconds(30)

export const make = (limiter: RateLimiter.RateLimiter) => {
  // Each bucket has one waiter. Further calls queue behind it in order, so that light calls do not starve a heavy one.
  const queues = new Map<string, Semaphore.Semaphore>()
  const queue = (key: string): Semaphore.Semaphore => {
    const found = queues.get(key) ?? Semaphore.makeUnsafe(1)
    queues.set(key, found)
    return found
  }

  const wait = Effect.fnUntraced(function* (
    meter: RunMeter.RunMeter,
    delay: Duration.Duration,
    { isAsked = false, message = "the account's quota is used up for now" } = {}
  ) {
    const { exhausted, waitUntil } = yield* RunMeter.read(meter)
    if ((yield* RunMeter.monotonicMillis) + Duration.toMillis(delay) > waitUntil) {
      // Logged once a run, and only for long waits: a short wait ends with the next slice.
      if (exhausted === undefined && Duration.isGreaterThan(delay, loggedFrom)) yield* Effect.logInfo(message)
      yield* RunMeter.exhausted(meter, delay, isAsked)
      return yield* new IntegrationError({ reason: new RateLimited({ message, retryAfter: delay }) })
    }
    const slot = yield* Slot
    yield* RunMeter.touch(meter)
    yield* RunMeter.waiting(meter, (yield* Clock.currentTimeMillis) + Duration.toMillis(delay))
    // The rest of a refill may be shorter than a tick of the clock. Rounding up to whole milliseconds makes the wait
    // end.
    yield* Effect.ensuring(
      slot.sleeping(Effect.sleep(Duration.millis(Math.ceil(Duration.toMillis(delay))))),
      RunMeter.waiting(meter, undefined)
    )
    yield* RunMeter.touch(meter)
  })

  /** Asks the budgets, and repeats while they can't be reached. After `unavailableTimeout` the run yields. */
  const untilAvailable = <A>(ask: Effect.Effect<A, RateLimiter.RateLimiterError>, meter: RunMeter.RunMeter) =>
    Effect.gen(function* () {
      const since = yield* RunMeter.monotonicMillis
      while (true) {
        const answer = yield* Effect.result(ask)
        if (Result.isSuccess(answer)) return answer.success
        const { reason } = answer.failure
        if (reason._tag === "RateLimitExceeded") return yield* Effect.die(answer.failure)
        const message = `the quota can't be asked for: ${reason.message}`
        const waited = (yield* RunMeter.monotonicMillis) - since
        if (waited >= Duration.toMillis(unavailableTimeout)) {
          return yield* new IntegrationError({ reason: new RateLimited({ message, retryAfter: unavailableTimeout }) })
        }
        yield* wait(meter, unavailableDelay, { message })
      }
    })

  /** The time until which the result that no cool-down is active is cached, by budget (`monotonicMillis`). */
  const noCooldownUntil = new Map<string, number>()

  /**
   * Waits until the cool-down that the source asked for has ended. Returns the epoch that `refused` needs. Asks with 0
   * tokens first: if the wait would be too long, the run ends without having taken a token.
   */
  const cooldown = Effect.fnUntraced(function* (bucket: CallLimits["adaptive"], meter: RunMeter.RunMeter) {
    const { key, perMinute } = bucket
    const consume = (tokens: 0 | 1) =>
      untilAvailable(limiter.adaptiveConsume({ key, tokens, fallbackLimit: perMinute, fallbackWindow: minute }), meter)
    while (true) {
      const now = yield* RunMeter.monotonicMillis
      if (now < (noCooldownUntil.get(key) ?? 0)) return 0
      const ahead = yield* consume(0)
      if (ahead.phase === "inactive") {
        noCooldownUntil.set(key, now + Duration.toMillis(noCooldownTtl))
        return ahead.epoch
      }
      const isAsked = ahead.phase === "cooldown"
      if (!Duration.isZero(ahead.delay)) yield* wait(meter, ahead.delay, { isAsked })
      if (isAsked) continue
      const taken = yield* consume(1)
      if (!Duration.isZero(taken.delay)) yield* wait(meter, taken.delay)
      if (taken.phase !== "cooldown") return taken.epoch
    }
  })

  const take = Effect.fnUntraced(function* (bucket: Bucket, meter: RunMeter.RunMeter) {
    const { key, per, tokens } = bucket
    if (tokens <= 0 || bucket.limit >= unlimited) return
    const capacity = Math.max(1, Math.floor(bucket.limit / 60), tokens)
    const consume = limiter
      .consume(
        per === "day"
          ? {
              algorithm: "fixed-window",
              onExceeded: "fail",
              key,
              tokens,
              limit: bucket.limit,
              window: Duration.days(1)
            }
          : {
              algorithm: "token-bucket",
              onExceeded: "fail",
              key,
              tokens,
              limit: capacity,
              window: Duration.millis((capacity / bucket.limit) * 60_000)
            }
      )
      .pipe(
        Effect.as(Duration.zero),
        Effect.catch((error) =>
          error.reason._tag === "RateLimitExceeded" ? Effect.succeed(error.reason.retryAfter) : Effect.fail(error)
        )
      )
    while (true) {
      const delay = yield* untilAvailable(consume, meter)
      if (Duration.isZero(delay)) return
      yield* per === "day" ? wait(meter, delay, { message: yield* usedUp(bucket, delay) }) : wait(meter, delay)
    }
  })

  /** Charges the bytes of the bodies that were read since the last call. */
  const takeBytes = Effect.fnUntraced(function* (bytes: CallLimits["bytes"], meter: RunMeter.RunMeter) {
    if (bytes.length === 0) return
    const read = yield* RunMeter.takeUnchargedBytes(meter)
    yield* Effect.forEach(
      bytes,
      (bucket) => queue(bucket.key).withPermit(take({ ...bucket, tokens: Math.min(read, bucket.limit) }, meter)),
      { discard: true }
    ).pipe(Effect.onError(() => RunMeter.bodyRead(meter, read)))
  })

  return {
    /** Waits until a call with these limits is admitted. Returns the epoch that `refused` needs. */
    admit: Effect.fnUntraced(function* ({ adaptive, buckets, bytes }: CallLimits, meter: RunMeter.RunMeter) {
      yield* takeBytes(bytes, meter)
      for (const bucket of buckets) yield* queue(bucket.key).withPermit(take(bucket, meter))
      return yield* cooldown(adaptive, meter)
    }),
    /** Starts a cool-down of the budget, after the source has refused a call that was admitted in this epoch. */
    refused: (
      { adaptive: { key } }: CallLimits,
      { epoch, retryAfter }: { readonly epoch: number; readonly retryAfter: Duration.Duration },
      meter: RunMeter.RunMeter
    ) =>
      Effect.suspend(() => {
        noCooldownUntil.delete(key)
        return untilAvailable(limiter.adaptiveFeedback({ key, epoch, tokens: 1, status: 429, retryAfter }), meter)
      })
  }
}
