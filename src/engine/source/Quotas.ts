/**
 * The quotas of sources, and `call`, through which every request to a source goes. All processes of a database share
 * the budgets through `src/stores/postgres/SharedQuotas.ts`, with one round trip for each limit that a call spends
 * from.
 *
 * A call spends from one or more budgets: the account's, and those that the provider counts under other keys (a
 * workspace, an OAuth client), which several connections share. A call is admitted once each budget has room
 * (`QuotaAdmission.ts`).
 *
 * The source's refusals slow down the first budget, or its limit for the method: after `RateLimited`, calls wait for
 * the requested time. Then calls are counted instead of units, because a rate in units that was learned from one light
 * call would delay the next heavy call for minutes.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schedule from "effect/Schedule"
import * as CallLimits from "./CallLimits.ts"
import * as QuotaAdmission from "./QuotaAdmission.ts"
import { IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import type { Budget, Call, Quota } from "../../contract/Integration.ts"
import * as SessionValues from "../../contract/SessionValues.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import { Limits } from "../Limits.ts"
import * as RefusalDelay from "./RefusalDelay.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { Slot } from "./Slot.ts"

/**
 * Retries within one call, for failures that are likely to pass soon. The ledger and the scheduler retry after longer
 * failures.
 */
const transientRetries = 3
const rateLimitedRetries = 5

export class Quotas extends Context.Service<
  Quotas,
  {
    /** Makes the `call` of one session. */
    readonly call: (options: {
      readonly domain: string
      /** At least one budget. A refusal of the source slows down the first. */
      readonly budgets: readonly [Budget, ...ReadonlyArray<Budget>]
      readonly weights: Quota["weights"]
      readonly timeout: Duration.Input
      readonly meter: RunMeter.RunMeter
    }) => Call
  }
>()("idem/engine/source/Quotas") {
  /** Shares the budgets with all processes that use the store. */
  static readonly layer: Layer.Layer<Quotas, never, RateLimiter.RateLimiterStore> = Layer.effect(
    Quotas,
    Effect.flatMap(RateLimiter.RateLimiter, (limiter) => Effect.map(Limits, (limits) => make(limiter, limits)))
  ).pipe(Layer.provide(RateLimiter.layer))

  /** Keeps the budgets in this process alone. */
  static readonly layerMemory: Layer.Layer<Quotas> = Layer.provide(this.layer, RateLimiter.layerStoreMemory)
}

const make = (limiter: RateLimiter.RateLimiter, { longestRetryAfter }: Limits): Quotas["Service"] => {
  const admission = QuotaAdmission.make(limiter)
  const backOff = RefusalDelay.makeBackOff()

  return {
    call: (options) => {
      const { budgets, domain, meter } = options
      const retries = Schedule.exponential("500 millis").pipe(
        Schedule.jittered,
        Schedule.setInputType<IntegrationError>(),
        Schedule.while(({ attempt: made, input }) => {
          if (input.reason._tag === "Transient") return Effect.succeed(made <= transientRetries)
          if (input.reason._tag !== "RateLimited" || made > rateLimitedRetries) return Effect.succeed(false)
          const delay = Duration.toMillis(input.reason.retryAfter ?? Duration.zero)
          return Effect.zipWith(
            RunMeter.monotonicMillis,
            RunMeter.read(meter),
            (now, { waitUntil }) => now + delay <= waitUntil
          )
        })
      )

      return (method, units, effect) => {
        const tokens = options.weights?.[method] ?? units
        // The counters are shared: one wrong amount would block all calls of the account, or let all of them through.
        if (!Number.isFinite(tokens) || tokens < 0) {
          return Effect.fail(SessionValues.malformed(`the units of ${method} must be a number from 0`))
        }
        const limits = CallLimits.of(domain, budgets, method, tokens)
        const refusalKey = `${limits.adaptive.key} ${method}`
        let attemptsMade = 0
        let waitedMillis = 0

        const timed = Effect.timeoutOrElse(SessionValues.effect(`the effect of ${method}`, effect), {
          duration: options.timeout,
          orElse: () =>
            Effect.fail(
              new IntegrationError({
                reason: new Transient({
                  message: `${method} gave no answer within ${Duration.format(Duration.fromInputUnsafe(options.timeout))}`
                })
              })
            )
        })

        const attempt = Effect.gen(function* () {
          const askedAt = yield* Clock.currentTimeMillis
          const epoch = yield* (yield* Slot).admitting(admission.admit(limits, meter))
          const begunAt = yield* Clock.currentTimeMillis
          attemptsMade += 1
          waitedMillis += begunAt - askedAt
          yield* RunMeter.called(meter, tokens)
          return yield* timed.pipe(
            Effect.mapError((error) => RefusalDelay.bound(error, longestRetryAfter)),
            Effect.tapError(({ reason }) =>
              reason._tag !== "RateLimited"
                ? Effect.void
                : Effect.flatMap(Clock.currentTimeMillis, (now) => {
                    const retryAfter = reason.retryAfter ?? backOff.refused(refusalKey, begunAt, now)
                    return admission.refused(limits, { epoch, retryAfter }, meter)
                  })
            ),
            Effect.onExit((exit) =>
              Effect.flatMap(Clock.currentTimeMillis, (now) => {
                if (Exit.isSuccess(exit)) backOff.passed(refusalKey)
                const ended = Metrics.called(domain, {
                  method,
                  units: tokens,
                  outcome: outcomeOf(exit),
                  seconds: (now - begunAt) / 1000,
                  waitedSeconds: (begunAt - askedAt) / 1000
                })
                return Effect.andThen(ended, RunMeter.touch(meter))
              })
            )
          )
        })

        const called = Effect.flatMap(Slot, (slot) => slot.calling(Effect.retry(attempt, retries)))
        const told = Effect.suspend(() =>
          Effect.annotateCurrentSpan({ "idem.waited_ms": waitedMillis, "idem.attempts": attemptsMade })
        )
        const traced = Effect.withSpan(Effect.ensuring(called, told), `call ${method}`, {
          kind: "client",
          attributes: { "idem.domain": domain, "idem.quota_units": tokens },
          captureStackTrace: false
        })
        return Effect.flatMap(References.TracerEnabled, (isTraced) => (isTraced ? traced : called))
      }
    }
  }
}

/** Returns the outcome of a call, for its metric. */
const outcomeOf = (exit: Exit.Exit<unknown, IntegrationError>): string => {
  if (Exit.isSuccess(exit)) return "ok"
  const error = Cause.findErrorOption(exit.cause)
  if (Option.isSome(error)) return error.value.reason._tag
  return Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "defect"
}
