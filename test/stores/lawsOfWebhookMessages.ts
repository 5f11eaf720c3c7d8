/** The laws of webhook messages: queued with the cursor, claimed, retried, given up and removed. */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { MessageId, type Webhook } from "../../src/engine/model/Webhook.ts"
import { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import { Time, type Laws } from "./scenario.ts"
import { create, messageOf, enqueue, claim, failed, settle, message, passes } from "./webhookFixture.ts"

const work = (webhook: Webhook) =>
  WebhookStore.use((store) => Effect.map(store.deliveryState(webhook.id), Option.getOrThrow))

export const lawsOfWebhookMessages = (it: Laws<WebhookStore | Time>): void => {
  it.effect(
    "enqueueing a message moves the cursor, only from its present position and by one pending message at a time",
    () =>
      Effect.gen(function* () {
        const store = yield* WebhookStore
        const made = yield* create()
        const first = yield* enqueue(made)
        const moved = Option.getOrThrow(yield* store.webhook(made.id))
        assert.strictEqual(moved.cursor, `after ${first.id}`)
        const now = yield* work(made)
        assert.deepStrictEqual([now.isWaiting, now.next?.messageId, now.next?.in], [true, first.id, Duration.zero])
        const second = { to: "further", message: messageOf() }
        assert.isFalse(yield* store.enqueue(moved, second))
        yield* settle(yield* claim(first.id), { _tag: "Delivered", status: 204 })
        assert.isFalse(yield* store.enqueue(made, second))
        assert.isTrue(yield* store.enqueue(moved, { ...second, message: null }))
        const further = Option.getOrThrow(yield* store.webhook(made.id))
        assert.strictEqual(further.cursor, "further")
        assert.isTrue(yield* store.enqueue(further, { to: null, message: null }))
        assert.strictEqual(Option.getOrThrow(yield* store.webhook(made.id)).cursor, null)
        yield* store.update(made.id, { state: "paused" })
        assert.isFalse(yield* store.enqueue(made, { to: "x", message: null }))
      })
  )

  it.effect("the cursor does not move by a filter that was changed meanwhile", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create({ changes: ["stored"] })
      const move = { to: "further", message: null }
      for (const changes of [["stored", "deleted"], null] as const) {
        yield* store.update(made.id, { changes })
        assert.isFalse(yield* store.enqueue(made, move))
      }
      const now = Option.getOrThrow(yield* store.webhook(made.id))
      assert.isNull(now.cursor)
      yield* store.update(made.id, { changes: ["stored"] })
      assert.isFalse(yield* store.enqueue(now, move))
      assert.isTrue(yield* store.enqueue(made, move))
    })
  )

  it.effect("of several that move the cursor at once, one does", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const moves = yield* Effect.forEach(
        Array.from({ length: 8 }, () => messageOf()),
        (message) => store.enqueue(made, { to: "next", message }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(moves.filter(Boolean).length, 1)
      const all = yield* store.messages(made.id, { state: undefined, limit: 10, after: undefined })
      assert.strictEqual(all.length, 1)
    })
  )

  it.effect("one sender claims a message, and the message is due again if the sender reports nothing", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const { id } = yield* enqueue(made, `{"a":1}`)
      const claims = yield* Effect.forEach([1, 2, 3, 4], () => store.claim(id, Duration.seconds(30)), {
        concurrency: "unbounded"
      })
      const [claimed] = claims.flatMap(Option.toArray)
      assert.strictEqual(claims.filter(Option.isSome).length, 1)
      assert.strictEqual(claimed?.body, `{"a":1}`)
      assert.strictEqual(claimed?.webhook.id, made.id)
      yield* passes("31 seconds")
      const again = yield* claim(id)
      assert.strictEqual(again.message.attempts, 0)
      // A sender that was frozen continues late: its claim is no longer valid.
      if (claimed !== undefined) yield* settle(claimed, failed({ retryIn: undefined }))
      assert.strictEqual((yield* message(id)).state, "pending")
      yield* settle(again, { _tag: "Delivered", status: 200 })
      const delivered = yield* message(id)
      assert.deepStrictEqual(
        [delivered.state, delivered.attempts, delivered.status, delivered.nextAttemptAt],
        ["delivered", 1, 200, null]
      )
      // A late second result of the same claim changes nothing.
      yield* settle(again, failed())
      yield* store.releaseClaim(again)
      assert.deepStrictEqual(yield* message(id), delivered)
      assert.isTrue(Option.isNone(yield* store.claim(id, Duration.seconds(30))))
    })
  )

  it.effect("a message that is given back is due at once, with no attempt counted", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const { id } = yield* enqueue(made)
      yield* store.releaseClaim(yield* claim(id))
      const late = yield* claim(id)
      assert.strictEqual(late.message.attempts, 0)
      // A sender that was frozen returns a message that another sender has claimed since.
      yield* passes("31 seconds")
      yield* claim(id)
      yield* store.releaseClaim(late)
      assert.isTrue(Option.isNone(yield* store.claim(id, Duration.seconds(30))))
    })
  )

  it.effect("a failure is kept with its reason, and the message is due after its wait", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const { id } = yield* enqueue(made)
      assert.strictEqual(yield* settle(yield* claim(id), failed()), "active")
      const pending = yield* message(id)
      assert.deepStrictEqual(
        [pending.state, pending.attempts, pending.status, pending.error, pending.answer],
        ["pending", 1, 500, "it answered 500", "sorry\uFFFD"]
      )
      assert.isTrue(Option.isNone(yield* store.claim(id, Duration.seconds(30))))
      assert.isTrue(Duration.isGreaterThan((yield* work(made)).next?.in ?? Duration.zero, Duration.minutes(4)))
      const failingSince = Effect.map(store.webhook(made.id), (found) => Option.getOrThrow(found).failingSince)
      assert.isNotNull(yield* failingSince)
      yield* passes("6 minutes")
      const since = yield* failingSince
      yield* settle(yield* claim(id), failed())
      assert.deepStrictEqual(yield* failingSince, since)
      yield* passes("6 minutes")
      yield* settle(yield* claim(id), { _tag: "Delivered", status: 200 })
      assert.isNull(Option.getOrThrow(yield* store.webhook(made.id)).failingSince)
    })
  )

  it.effect("a webhook that was paused meanwhile stays so when its endpoint says that it is gone", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const claimed = yield* claim((yield* enqueue(made)).id)
      yield* store.update(made.id, { state: "paused" })
      assert.strictEqual(yield* settle(claimed, failed({ disable: "gone" })), "paused")
      const { reason, state } = Option.getOrThrow(yield* store.webhook(made.id))
      assert.deepStrictEqual([state, reason], ["paused", null])
    })
  )

  it.effect("a dead message frees the next, and can be delivered again beside it", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const first = yield* enqueue(made, `{"first":true}`)
      yield* settle(yield* claim(first.id), failed({ retryIn: undefined }))
      assert.deepStrictEqual([(yield* message(first.id)).state, (yield* work(made)).next], ["dead", null])
      const second = yield* enqueue(made)
      const listed = (yield* store.webhooks).find(({ webhook }) => webhook.id === made.id)
      assert.deepStrictEqual([listed?.pending, listed?.dead], [1, 1])
      assert.strictEqual(yield* store.redeliver(made.id, second.id), 0)
      assert.strictEqual(yield* store.redeliver(made.id, first.id), 1)
      assert.strictEqual((yield* message(first.id)).attempts, 0)
      // The message of the feed is delivered first.
      assert.strictEqual((yield* work(made)).next?.messageId, second.id)
      yield* settle(yield* claim(second.id), failed())
      assert.strictEqual((yield* work(made)).next?.messageId, first.id)
      const again = yield* claim(first.id)
      assert.strictEqual(again.body, `{"first":true}`)
      yield* settle(again, { _tag: "Delivered", status: 200 })
      assert.isTrue((yield* work(made)).isWaiting)
    })
  )

  it.effect("a redelivered message that waits does not hold up the next message of the feed", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const first = yield* enqueue(made)
      yield* settle(yield* claim(first.id), failed({ retryIn: undefined }))
      yield* store.redeliver(made.id, first.id)
      yield* settle(yield* claim(first.id), failed())
      const second = yield* enqueue(made)
      const { isWaiting, next } = yield* work(made)
      assert.deepStrictEqual([isWaiting, next?.messageId, next?.in], [true, second.id, Duration.zero])
    })
  )

  it.effect("messages are listed by state and by page, the last first", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const ids: Array<MessageId> = []
      for (let index = 0; index < 5; index += 1) {
        const { id } = yield* enqueue(made)
        ids.unshift(id)
        if (index < 4) {
          yield* settle(
            yield* claim(id),
            index % 2 === 0 ? { _tag: "Delivered", status: 200 } : failed({ retryIn: undefined })
          )
        }
      }
      const list = (state: "pending" | "delivered" | "dead" | undefined, limit = 10, after?: MessageId) =>
        Effect.map(store.messages(made.id, { state, limit, after }), (all) => all.map(({ id }) => id))
      assert.deepStrictEqual(yield* list(undefined), ids)
      assert.deepStrictEqual(yield* list(undefined, 2, ids[1]), ids.slice(2, 4))
      assert.deepStrictEqual(yield* list("pending"), ids.slice(0, 1))
      assert.deepStrictEqual(yield* list("dead"), [ids[1], ids[3]])
      assert.deepStrictEqual(yield* list("delivered"), [ids[2], ids[4]])
    })
  )

  it.effect("old messages are removed, each kind after its time, and pending ones never", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const made = yield* create()
      const delivered = yield* enqueue(made)
      yield* settle(yield* claim(delivered.id), { _tag: "Delivered", status: 200 })
      const dead = yield* enqueue(made)
      yield* settle(yield* claim(dead.id), failed({ retryIn: undefined }))
      const pending = yield* enqueue(made)
      yield* settle(yield* claim(pending.id), failed())
      const left = Effect.map(store.messages(made.id, { state: undefined, limit: 10, after: undefined }), (all) =>
        all.map(({ id }) => id)
      )
      const prune = store.prune({ delivered: Duration.days(3), dead: Duration.days(30) })
      yield* prune
      assert.deepStrictEqual(yield* left, [pending.id, dead.id, delivered.id])
      yield* passes("4 days")
      yield* prune
      assert.deepStrictEqual(yield* left, [pending.id, dead.id])
      yield* passes("27 days")
      assert.isAtLeast(yield* prune, 1)
      assert.deepStrictEqual(yield* left, [pending.id])
      assert.strictEqual(yield* prune, 0)
    })
  )
}
