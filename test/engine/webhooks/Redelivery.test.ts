import { assert, describe } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { randomUUID } from "node:crypto"
import { type WebhookState } from "../../../src/engine/model/Webhook.ts"
import { WebhookStore } from "../../../src/engine/store/WebhookStore.ts"
import * as Dispatcher from "../../../src/engine/webhooks/Dispatcher.ts"
import { SendError } from "../../../src/engine/webhooks/Sender.ts"
import { item, running as connected } from "../../stores/scenario.ts"
import { Webhooks, at, until, pass, test, dispatcher, create, changesIn, messages, minutes } from "./Fixture.ts"

/** Interrupts a dispatcher, lets time pass without deliveries, which makes days cheap, and starts another one. */
const restartAfter = Effect.fnUntraced(function* (running: Effect.Success<typeof dispatcher>, away: Duration.Duration) {
  yield* Fiber.interrupt(running)
  yield* TestClock.adjust(away)
  return yield* dispatcher
})

/** Returns how long until the webhook's pending message is sent again, once the last attempt is stored. */
const untilNext = Effect.fnUntraced(function* (id: string) {
  yield* pass("2 seconds")
  const [pending] = yield* messages(id, "pending")
  return (pending?.nextAttemptAt?.epochMilliseconds ?? 0) - (yield* Clock.currentTimeMillis)
})

describe("delivering to webhooks", () => {
  test("tries again for three days under one id, holds what comes later, gives up, and goes on", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      endpoints.answer = () =>
        Effect.succeed({ status: endpoints.sent.length > 10 ? 200 : 500, retryAfter: undefined, text: "sorry" })
      let running = yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* commit({ items: [item("b")] })
      yield* commit({ items: [item("b", { text: "twice" })] })
      const waits = [1 / 12, 5, 30, 120, 300, 600, 840, 1200, 1440].map(minutes)
      for (const [index, about] of waits.entries()) {
        const wait = yield* untilNext(webhook.id)
        assert.isTrue(wait >= about * 0.8 - 10_000 && wait <= about * 1.2, `${wait} is not about ${about}`)
        assert.strictEqual(endpoints.sent.length, index + 1)
        running = yield* restartAfter(running, Duration.millis(wait))
        yield* until(() => endpoints.sent.length >= index + 2)
      }
      const attempts = endpoints.sent.slice(0, 10)
      assert.strictEqual(new Set(attempts.map(({ id }) => id)).size, 1)
      assert.strictEqual(new Set(attempts.map(({ body }) => body)).size, 1)
      yield* until(() => endpoints.sent.length === 11)
      assert.deepStrictEqual(changesIn(endpoints.sent[10] ?? assert.fail()), ["b updated"])
      yield* pass("10 seconds")
      const [dead] = yield* messages(webhook.id, "dead")
      assert.deepStrictEqual(
        [dead?.id, dead?.attempts, dead?.status, dead?.error, dead?.answer, dead?.nextAttemptAt],
        [endpoints.sent[0]?.id, 10, 500, "it answered 500", "sorry", null]
      )
      assert.strictEqual((yield* webhooks.get(at(webhook.id))).dead, 1)

      yield* webhooks.redeliver({ params: { webhook: webhook.id, message: dead?.id ?? "" } })
      yield* until(() => endpoints.sent.length === 12)
      assert.deepStrictEqual([endpoints.sent[11]?.id, endpoints.sent[11]?.body], [dead?.id, endpoints.sent[0]?.body])
      yield* pass("5 seconds")
      assert.strictEqual((yield* messages(webhook.id, "delivered")).length, 2)
      assert.strictEqual(
        (yield* Effect.flip(webhooks.redeliver({ params: { webhook: webhook.id, message: dead?.id ?? "" } })))._tag,
        "ConflictProblem"
      )
      assert.strictEqual(
        (yield* Effect.flip(webhooks.redeliver({ params: { webhook: webhook.id, message: randomUUID() } })))._tag,
        "NotFoundProblem"
      )
    }))

  test("waits as long as the endpoint asks for, but a day at most", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      const asked = [Duration.minutes(10), Duration.days(30), Duration.seconds(1)]
      endpoints.answer = () => Effect.succeed({ status: 503, retryAfter: asked[endpoints.sent.length - 1], text: null })
      let running = yield* dispatcher
      // A `Retry-After` below the schedule's delay does not shorten the delay.
      for (const [index, wait] of [minutes(10), minutes(24 * 60), minutes(24)].entries()) {
        yield* until(() => endpoints.sent.length === index + 1)
        const found = yield* untilNext(webhook.id)
        assert.isAtLeast(found, wait - 10_000)
        assert.isAtMost(found, Math.max(wait, minutes(36)))
        running = yield* restartAfter(running, Duration.millis(found))
      }
    }))

  test("disables a webhook whose endpoint is gone, and goes on with the same message once it is activated", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      endpoints.answer = () => Effect.succeed(410)
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* pass("1 hour", "10 seconds")
      assert.strictEqual(endpoints.sent.length, 1)
      const disabled = yield* webhooks.get(at(webhook.id))
      assert.deepStrictEqual([disabled.state, disabled.pending], ["disabled", 1])
      assert.include(disabled.reason, "410")
      endpoints.answer = () => Effect.succeed(200)
      const active = yield* webhooks.change({ ...at(webhook.id), payload: { state: "active" } })
      assert.deepStrictEqual([active.state, active.reason], ["active", null])
      yield* until(() => endpoints.sent.length === 2)
      assert.strictEqual(endpoints.sent[1]?.id, endpoints.sent[0]?.id)
    }))

  test("disables a webhook that failed for five days, and loses nothing", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      endpoints.answer = () => Effect.fail(new SendError({ message: "nothing listens there" }))
      let running = yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* commit({ items: [item("b")] })
      for (let attempts = 1; attempts < 10; attempts += 1) {
        running = yield* restartAfter(running, Duration.millis(yield* untilNext(webhook.id)))
        yield* until(() => endpoints.sent.length >= attempts + 1)
      }
      yield* until(() => endpoints.sent.length === 11)
      // The attempts so far took two and a half to four days.
      running = yield* restartAfter(running, Duration.days(3))
      yield* until(() => endpoints.sent.length === 12)
      yield* pass("10 seconds")
      const disabled = yield* webhooks.get(at(webhook.id))
      assert.deepStrictEqual([disabled.state, disabled.pending, disabled.dead], ["disabled", 1, 1])
      const before = endpoints.sent.length
      running = yield* restartAfter(running, Duration.days(2))
      yield* pass("1 minute")
      assert.strictEqual(endpoints.sent.length, before)
      endpoints.answer = () => Effect.succeed(200)
      yield* webhooks.change({ ...at(webhook.id), payload: { state: "active" } })
      assert.deepStrictEqual(yield* webhooks.redeliverAll(at(webhook.id)), { redelivered: 1 })
      yield* until(() => endpoints.sent.length === before + 2)
      assert.deepStrictEqual(endpoints.sent.slice(before).flatMap(changesIn), ["b stored", "a stored"])
    }))

  test("sends what a killed process may have sent again, under the same id", (endpoints) =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      yield* create()
      // A dispatcher that dies between sending and recording writes nothing more.
      const dead = yield* Deferred.make<WebhookState>()
      const dying = WebhookStore.of({
        ...store,
        recordAttempt: () => Deferred.await(dead),
        releaseClaim: () => Effect.void
      })
      const first = yield* Effect.forkChild(Effect.provideService(Dispatcher.run, WebhookStore, dying))
      yield* until(() => endpoints.sent.length === 1)
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 2)
      assert.deepStrictEqual(endpoints.sent[1]?.body, endpoints.sent[0]?.body)
      assert.deepStrictEqual(endpoints.sent[1]?.id, endpoints.sent[0]?.id)
      yield* pass("2 minutes")
      assert.strictEqual(endpoints.sent.length, 2)
      yield* Deferred.succeed(dead, "active")
      yield* Fiber.interrupt(first)
    }))

  test("a process that stops gives its message back, and the next sends it at once", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      endpoints.answer = () => Effect.never
      const first = yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* Fiber.interrupt(first)
      const [pending] = yield* messages(webhook.id, "pending")
      assert.strictEqual(pending?.attempts, 0)
      endpoints.answer = () => Effect.succeed(200)
      const from = yield* Clock.currentTimeMillis
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 2)
      assert.isAtMost((yield* Clock.currentTimeMillis) - from, 3000)
      assert.strictEqual(endpoints.sent[1]?.id, endpoints.sent[0]?.id)
    }))
})
