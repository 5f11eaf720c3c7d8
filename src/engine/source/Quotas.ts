/**
 * The quotas of sources, and `call`, through which every request to a source goes. All processes of a database share
 * the budgets through `src/stores/postgres/SharedQuotas.ts`.
 *
 * A call spends from one or more budgets: the account's, and those that the provider counts under other keys (a
 * workspace, an OAuth client), which connections share. A call is admitted once each budget has room.
 *
 * A budget of U units a minute is a token bucket that refills one unit each 60/U seconds and holds about one second's
 * worth: a bucket of one minute's worth would let two minutes' units through in the first minute. If a call would wait
 * longer than its run may, it is not admitted, and the run yields with `RateLimited`. Budgets of a day are asked first,
 * so that a call that they refuse reserves nothing of the others. They are spent as fast as the others allow, until the
 * day's units are used up.
 *
 * The source's answers adapt the first budget: after `RateLimited` the account cools down for the requested time. Calls
 * after that are counted as calls, not units, because a rate in units that was learned from one light call would delay
 * the next heavy call for minutes.
 *
 * With `layer` all processes of a database share the budgets, at one round trip a call. The answer that no cool-down is
 * active is cached for a second. While the database cannot be reached, calls wait: they cost no item an attempt and
 * spend nothing.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { adaptiveOf, type Bucket, bucketsOf, bytesOf, usedUp } from "./QuotaBuckets.ts"
import { IntegrationError, RateLimited, Transient } from "../../contract/IntegrationError.ts"
import type { Budget, Call, Quota } from "../../contract/Integration.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import { Limits } from "../Limits.ts"
import * as RefusalDelay from "./RefusalDelay.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Slot } from "./Slot.ts"
import { unlimited } from "../../contract/Quota.ts"

/**
 * Retries within one call, for failures that are likely to pass soon. The ledger and the scheduler retry longer ones.
 */
const transientRetries = 3
const rateLimitedRetries = 5

const minute = Duration.minutes(1)

/** A longer wait for a budget is logged. */
const saidFrom = Duration.minutes(10)

/** How long the answer that no cool-down is active is cached. */
const calmFor = Duration.seconds(1)

/** While the budgets can't be reached: how often they are tried, and how long before the run yields instead. */
const awayRetry = Duration.millis(500)
const awayAtMost = Duration.seconds(30)

export class Quotas extends Context.Service<
  Quotas,
  {
    /** `call` for one session. */
    readonly call: (options: {
      readonly domain: string
      /** At least one. A refusal of the source slows the first one down. */
      readonly budgets: readonly [Budget, ...ReadonlyArray<Budget>]
      readonly weights: Quota["weights"]
      readonly timeout: Duration.Input
      readonly meter: RunMeter.RunMeter
    }) => Call
  }
>()("idem/engine/source/Quotas") {
  /** Budgets of all that share the store. */
  static readonly layer: Layer.Layer<Quotas, never, RateLimiter.RateLimiterStore> = Layer.effect(
    Quotas,
    Effect.flatMap(RateLimiter.RateLimiter, (limiter) => Effect.map(Limits, (limits) => make(limiter, limits)))
  ).pipe(Layer.provide(RateLimiter.layer))

  /** Budgets of this process alone. */
  static readonly layerMemory: Layer.Layer<Quotas> = Layer.provide(this.layer, RateLimiter.layerStoreMemory)
}

const make = (limiter: RateLimiter.RateLimiter, { longestRetryAfter }: Limits): Quotas["Service"] => {
  // Each bucket has one waiter. The others queue behind it in order, so that light calls do not starve a heavy one.
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
    const now = yield* Clock.currentTimeMillis
    const { exhausted, waitUntil } = yield* RunMeter.read(meter)
    if (now + Duration.toMillis(delay) > waitUntil) {
      // Logged once a run, and only for long waits: short ones end with the next slice.
      if (exhausted === undefined && Duration.isGreaterThan(delay, saidFrom)) yield* Effect.logInfo(message)
      yield* RunMeter.exhausted(meter, delay, isAsked)
      return yield* new IntegrationError({ reason: new RateLimited({ message, retryAfter: delay }) })
    }
    const slot = yield* Slot
    yield* RunMeter.touch(meter)
    yield* RunMeter.waiting(meter, now + Duration.toMillis(delay))
    // The rest of a refill may be shorter than a tick of the clock. Rounded up to whole milliseconds, the wait ends.
    yield* Effect.ensuring(
      slot.sleeping(Effect.sleep(Duration.millis(Math.ceil(Duration.toMillis(delay))))),
      RunMeter.waiting(meter, undefined)
    )
    yield* RunMeter.touch(meter)
  })

  /** Asks the budgets, and again while they can't be reached; beyond that the run yields. */
  const asked = <A>(ask: Effect.Effect<A, RateLimiter.RateLimiterError>, meter: RunMeter.RunMeter) =>
    Effect.gen(function* () {
      const since = yield* Clock.currentTimeMillis
      while (true) {
        const answer = yield* Effect.result(ask)
        if (Result.isSuccess(answer)) return answer.success
        const { reason } = answer.failure
        if (reason._tag === "RateLimitExceeded") return yield* Effect.die(answer.failure)
        const message = `the quota can't be asked for: ${reason.message}`
        const waited = (yield* Clock.currentTimeMillis) - since
        if (waited >= Duration.toMillis(awayAtMost)) {
          return yield* new IntegrationError({ reason: new RateLimited({ message, retryAfter: awayAtMost }) })
        }
        yield* wait(meter, awayRetry, { message })
      }
    })

  /**
   * When each adaptive budget may be asked again, in milliseconds since the epoch, while no source asked for a
   * cool-down.
   */
  const calm = new Map<string, number>()

  /**
   * Waits until the cool-down that the source asked for has ended. Returns the epoch that `feedback` needs. Asks with 0
   * tokens first: if the wait would be too long, the run ends without having taken a token.
   */
  const cooldown = Effect.fnUntraced(function* (bucket: ReturnType<typeof adaptiveOf>, meter: RunMeter.RunMeter) {
    const { key, perMinute } = bucket
    const consume = (tokens: 0 | 1) =>
      asked(limiter.adaptiveConsume({ key, tokens, fallbackLimit: perMinute, fallbackWindow: minute }), meter)
    while (true) {
      const now = yield* Clock.currentTimeMillis
      if (now < (calm.get(key) ?? 0)) return 0
      const ahead = yield* consume(0)
      if (ahead.phase === "inactive") {
        calm.set(key, now + Duration.toMillis(calmFor))
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

  const backOff = RefusalDelay.makeBackOff()

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
      const delay = yield* asked(consume, meter)
      if (Duration.isZero(delay)) return
      yield* per === "day" ? wait(meter, delay, { message: yield* usedUp(bucket, delay) }) : wait(meter, delay)
    }
  })

  return {
    call: (options) => {
      const { budgets, domain, meter } = options

      return (method, units, effect) => {
        const tokens = options.weights?.[method] ?? units
        const buckets = bucketsOf(domain, budgets, method, tokens)
        const adaptive = adaptiveOf(domain, budgets[0], method)
        const bytes = bytesOf(domain, budgets)
        const refusalKey = `${adaptive.key} ${method}`
        let attemptsMade = 0
        let waitedMillis = 0

        /** Takes the bytes of the bodies that were read since the last call. */
        const takeBytes = Effect.gen(function* () {
          if (bytes.length === 0) return
          const read = yield* RunMeter.takeUnchargedBytes(meter)
          yield* Effect.forEach(
            bytes,
            (bucket) => queue(bucket.key).withPermit(take({ ...bucket, tokens: Math.min(read, bucket.limit) }, meter)),
            { discard: true }
          ).pipe(Effect.onError(() => RunMeter.bodyRead(meter, read)))
        })

        const admission = Effect.gen(function* () {
          yield* takeBytes
          for (const bucket of buckets) yield* queue(bucket.key).withPermit(take(bucket, meter))
          return yield* cooldown(adaptive, meter)
        })
        const admit = Effect.flatMap(Slot, (slot) => slot.admitting(admission))

        const attempt = Effect.gen(function* () {
          const askedAt = yield* Clock.currentTimeMillis
          const epoch = yield* admit
          const begunAt = yield* Clock.currentTimeMillis
          attemptsMade += 1
          waitedMillis += begunAt - askedAt
          yield* RunMeter.called(meter, tokens)
          return yield* effect.pipe(
            Effect.timeoutOrElse({
              duration: options.timeout,
              orElse: () =>
                Effect.fail(
                  new IntegrationError({
                    reason: new Transient({
                      message: `${method} gave no answer within ${Duration.format(Duration.fromInputUnsafe(options.timeout))}`
                    })
                  })
                )
            }),
            Effect.mapError((error) => RefusalDelay.bound(error, longestRetryAfter)),
            Effect.tap(() => Effect.sync(() => backOff.passed(refusalKey))),
            Effect.tapError(
              Effect.fnUntraced(function* (error) {
                if (error.reason._tag !== "RateLimited") return
                calm.delete(adaptive.key)
                const named = error.reason.retryAfter
                const retryAfter = named ?? backOff.refused(refusalKey, begunAt, yield* Clock.currentTimeMillis)
                yield* asked(
                  limiter.adaptiveFeedback({ key: adaptive.key, epoch, tokens: 1, status: 429, retryAfter }),
                  meter
                )
              })
            ),
            Effect.onExit((exit) =>
              Effect.flatMap(Clock.currentTimeMillis, (now) =>
                Metrics.called(domain, {
                  method,
                  units: tokens,
                  outcome: outcomeOf(exit),
                  seconds: (now - begunAt) / 1000,
                  waitedSeconds: (begunAt - askedAt) / 1000
                })
              )
            ),
            Effect.ensuring(RunMeter.touch(meter))
          )
        })

        const attempts = Effect.retry(attempt, ($) =>
          $(Schedule.exponential("500 millis")).pipe(
            Schedule.jittered,
            Schedule.while(({ attempt: made, input, now }) => {
              if (input.reason._tag === "Transient") return Effect.succeed(made <= transientRetries)
              if (input.reason._tag !== "RateLimited" || made > rateLimitedRetries) return Effect.succeed(false)
              const until = now + Duration.toMillis(input.reason.retryAfter ?? Duration.zero)
              return Effect.map(RunMeter.read(meter), ({ waitUntil }) => until <= waitUntil)
            })
          )
        )
        const told = Effect.suspend(() =>
          Effect.annotateCurrentSpan({ "idem.waited_ms": waitedMillis, "idem.attempts": attemptsMade })
        )
        return Effect.withSpan(
          Effect.flatMap(Slot, (slot) => slot.calling(Effect.ensuring(attempts, told))),
          `call ${method}`,
          {
            kind: "client",
            attributes: { "idem.domain": domain, "idem.quota_units": tokens },
            captureStackTrace: false
          }
        )
      }
    }
  }
}

/** How a call ended, in a word. */
const outcomeOf = (exit: Exit.Exit<unknown, IntegrationError>): string => {
  if (Exit.isSuccess(exit)) return "ok"
  const error = Cause.findErrorOption(exit.cause)
  if (Option.isSome(error)) return error.value.reason._tag
  return Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "defect"
}
