import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { WebhookId } from "../../../src/engine/model/Webhook.ts"
import { WebhookStore } from "../../../src/engine/store/WebhookStore.ts"
import * as Delivery from "../../../src/engine/webhooks/Delivery.ts"
import { claim, enqueue } from "../../stores/webhookFixture.ts"
import { create, messages, test } from "./Fixture.ts"

/** Creates a webhook, and returns it as it is stored. */
const stored = Effect.gen(function* () {
  const store = yield* WebhookStore
  const { webhook } = yield* create()
  return Option.getOrThrow(yield* store.webhook(WebhookId.make(webhook.id)))
})

describe("a delivery", () => {
  test("sends a message that no other sender has claimed, and returns true", (endpoints) =>
    Effect.gen(function* () {
      const { id } = yield* enqueue(yield* stored)
      assert.isTrue(yield* Delivery.deliver(id))
      assert.deepStrictEqual(
        endpoints.sent.map((sent) => sent.id),
        [id]
      )
    }))

  test("of a message that another sender has claimed sends nothing, and returns false", (endpoints) =>
    Effect.gen(function* () {
      const { id } = yield* enqueue(yield* stored)
      yield* claim(id)
      assert.isFalse(yield* Delivery.deliver(id))
      assert.deepStrictEqual(endpoints.sent, [])
    }))

  test("is accepted by each 2xx response, and by no other", (endpoints) =>
    Effect.gen(function* () {
      const outcomes: Array<readonly [number, string | undefined]> = []
      for (const status of [101, 199, 200, 202, 299, 300, 304, 404]) {
        endpoints.answer = () => Effect.succeed(status)
        const webhook = yield* stored
        yield* Delivery.deliver((yield* enqueue(webhook)).id)
        const [message] = yield* messages(webhook.id)
        outcomes.push([status, message?.state])
      }
      assert.deepStrictEqual(outcomes, [
        [101, "pending"],
        [199, "pending"],
        [200, "delivered"],
        [202, "delivered"],
        [299, "delivered"],
        [300, "pending"],
        [304, "pending"],
        [404, "pending"]
      ])
    }))

  test("logs what happens next, and counts attempts by outcome", (endpoints) => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))
    return Effect.gen(function* () {
      const webhook = yield* stored
      const { id } = yield* enqueue(webhook)
      endpoints.answer = () => Effect.succeed(500)
      for (let attempt = 1; attempt <= 10; attempt += 1) {
        yield* Delivery.deliver(id)
        const [message] = yield* messages(webhook.id)
        // A delay has fractions of a millisecond, which the message's time does not show.
        if (message?.nextAttemptAt) yield* TestClock.setTime(message.nextAttemptAt.epochMilliseconds + 1)
      }
      endpoints.answer = () => Effect.succeed(410)
      yield* Delivery.deliver((yield* enqueue(yield* stored)).id)
      endpoints.answer = () => Effect.succeed(204)
      yield* Delivery.deliver((yield* enqueue(yield* stored)).id)
      const failed = (attempt: number) => `Warn: attempt ${attempt} failed (it answered 500); the next attempt is in`
      assert.deepStrictEqual(
        lines.map((line) => line.replace(/(?<= next attempt is in) .*/u, "")),
        [
          ...Array.from({ length: 9 }, (_, index) => failed(index + 1)),
          "Error: attempt 10 failed (it answered 500); that was the last attempt: the message is dead until a " +
            "person redelivers it",
          "Error: attempt 1 failed (it answered 410); the webhook is disabled until a person activates it"
        ]
      )
      const attempts = (yield* Metric.snapshot).filter((metric) => metric.id === "idem_webhook_attempts_total")
      assert.deepStrictEqual(
        attempts.map(({ attributes, state }) => [attributes?.["outcome"], "count" in state ? state.count : undefined]),
        [
          ["failed", 10],
          ["dead", 1],
          ["delivered", 1]
        ]
      )
    }).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(Metric.MetricRegistry, new Map()))
  })
})
