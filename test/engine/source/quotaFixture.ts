/** Calls of a source, counted by its quota. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Quota } from "../../../src/contract/Integration.ts"
import { Forbidden, IntegrationError, RateLimited, Transient } from "../../../src/contract/IntegrationError.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"

export const callOf = Effect.fnUntraced(function* (quota: Quota, account = "me") {
  const quotas = yield* Quotas
  const meter = yield* RunMeter.make()
  const budgets = [{ key: account, unitsPerMinute: quota.unitsPerMinute, methods: quota.methods }] as const
  return { meter, call: quotas.call({ domain: "test", budgets, weights: quota.weights, timeout: "30 seconds", meter }) }
})

export const elapsed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeMillis
    yield* effect
    return ((yield* Clock.currentTimeMillis) - before) / 1000
  })

export const refused = (reason: RateLimited | Transient | Forbidden) => Effect.fail(new IntegrationError({ reason }))
