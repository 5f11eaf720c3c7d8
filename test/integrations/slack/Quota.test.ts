/** Slack's limits are counted for each method, workspace and app (https://docs.slack.dev/apis/web-api/rate-limits). */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { IntegrationError, RateLimited } from "../../../src/contract/IntegrationError.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import { budgetsOf } from "../../../src/engine/source/OpenSource.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import * as Slack from "../../../src/integrations/Slack.ts"
import { moving } from "../../support/Moving.ts"

/** A workspace that allows this many calls of a method in any minute, and refuses further calls. */
const workspace = (perMinute: number) => {
  const granted: Array<number> = []
  let refusals = 0
  return {
    refusals: () => refusals,
    request: Effect.flatMap(Clock.currentTimeMillis, (now) => {
      while (granted[0] !== undefined && granted[0] <= now - 60_000) granted.shift()
      if (granted.length < perMinute) return Effect.sync(() => void granted.push(now))
      refusals += 1
      return Effect.fail(
        new IntegrationError({ reason: new RateLimited({ message: "ratelimited", retryAfter: Duration.seconds(30) }) })
      )
    })
  }
}

it.effect("20 people of one workspace share its limits, and meet no 429", () =>
  Effect.gen(function* () {
    const quotas = yield* Quotas
    const slack = workspace(50)
    const config = yield* Slack.integration.decodeConfig({})
    const credentials = yield* Slack.integration.decodeCredentials({ token: "xoxp-1" })
    const calls = yield* Effect.forEach(
      Array.from({ length: 20 }, (_, index) => `T00000001/U${index}`),
      Effect.fnUntraced(function* (account) {
        return quotas.call({
          domain: "slack",
          budgets: yield* budgetsOf(Slack.integration, { config, credentials, account }),
          weights: undefined,
          timeout: "30 seconds",
          meter: yield* RunMeter.make()
        })
      })
    )
    const all = Effect.forEach(
      calls,
      (call) => Effect.forEach(Array.from({ length: 10 }), () => call("conversations.history", 1, slack.request)),
      { concurrency: "unbounded" }
    )
    const before = yield* Clock.currentTimeMillis
    yield* moving(all, "200 millis")
    assert.strictEqual(slack.refusals(), 0)
    // 200 calls at 50 a minute.
    assert.isAtMost((yield* Clock.currentTimeMillis) - before, 245_000)
  }).pipe(Effect.provide(Quotas.layerMemory))
)

it.effect("two workspaces have limits of their own", () =>
  Effect.gen(function* () {
    const config = yield* Slack.integration.decodeConfig({})
    const credentials = yield* Slack.integration.decodeCredentials({ token: "xoxp-1" })
    const keyOf = (account: string) =>
      Effect.map(budgetsOf(Slack.integration, { config, credentials, account }), ([first]) => first.key)
    assert.strictEqual(yield* keyOf("T1/U1"), yield* keyOf("T1/U2"))
    assert.notStrictEqual(yield* keyOf("T1/U1"), yield* keyOf("T2/U1"))
  })
)
