/** The laws of webhook stores. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import { MessageId, WebhookId } from "../../src/engine/model/Webhook.ts"
import { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import { Time } from "./scenario.ts"
import { lawsOfWebhookMessages } from "./lawsOfWebhookMessages.ts"
import { create, createAtMost, enqueue, claim, failed, message, settle, passes } from "./webhookFixture.ts"

export const suite = <E>(name: string, layer: Layer.Layer<WebhookStore | Time, E>): void => {
  it.layer(layer)(`${name}: webhooks`, (it) => {
    it.effect("a webhook is read as it was written", () =>
      Effect.gen(function* () {
        const store = yield* WebhookStore
        const connectionId = ConnectionId.make(randomUUID())
        const made = yield* create({ connectionId, changes: ["stored", "deleted"], cursor: "here" })
        assert.deepStrictEqual(Option.getOrThrow(yield* store.webhook(made.id)), made)
        assert.deepStrictEqual(
          [made.state, made.reason, made.failingSince, made.connectionId, made.changes, made.cursor],
          ["active", null, null, connectionId, ["stored", "deleted"], "here"]
        )
        assert.deepStrictEqual([...made.secret], [1, 2, 3])
        const listed = (yield* store.webhooks).find(({ webhook }) => webhook.id === made.id)
        assert.deepStrictEqual(listed, { webhook: made, pending: 0, dead: 0 })
      })
    )

    it.effect("of webhooks that are created at once, no more are stored than there may be", () =>
      Effect.gen(function* () {
        const store = yield* WebhookStore
        const before = yield* store.webhooks
        const most = before.length + 3
        const created = yield* Effect.all(
          Array.from({ length: 12 }, () => createAtMost(most)),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(created.filter(Option.isSome).length, 3)
        assert.strictEqual((yield* store.webhooks).length, most)
        assert.isTrue(Option.isNone(yield* createAtMost(most)))
      })
    )

    it.effect("malformed ids match nothing", () =>
      Effect.gen(function* () {
        const store = yield* WebhookStore
        for (const id of ["", "no", "\0", "' OR 1=1 --"]) {
          assert.isTrue(Option.isNone(yield* store.webhook(WebhookId.make(id))))
          assert.isTrue(Option.isNone(yield* store.update(WebhookId.make(id), { name: "x" })))
          assert.isTrue(Option.isNone(yield* store.message(MessageId.make(id))))
          assert.isFalse(yield* store.remove(WebhookId.make(id)))
          assert.strictEqual(yield* store.redeliver(WebhookId.make(id), undefined), 0)
          const messages = yield* store.messages(WebhookId.make(id), { state: "dead", limit: 1, after: undefined })
          assert.deepStrictEqual(messages, [])
        }
      })
    )

    it.effect("an update keeps the fields that are not given, and null removes a filter", () =>
      Effect.gen(function* () {
        const store = yield* WebhookStore
        const made = yield* create({ changes: ["stored"] })
        const change = (given: Parameters<typeof store.update>[1]) =>
          Effect.map(store.update(made.id, given), Option.getOrThrow)
        assert.deepStrictEqual(yield* change({ name: "other" }), { ...made, name: "other" })
        assert.deepStrictEqual(yield* change({ changes: null }), { ...made, name: "other", changes: null })
        const paused = yield* change({ state: "paused", url: "https://example.org/" })
        assert.deepStrictEqual(paused, {
          ...made,
          name: "other",
          changes: null,
          url: "https://example.org/",
          state: "paused"
        })
        assert.isTrue(Option.isNone(yield* store.deliveryState(made.id)))
        yield* change({ state: "active" })
        assert.isTrue(Option.isSome(yield* store.deliveryState(made.id)))
      })
    )

    it.effect(
      "an endpoint that is gone, or fails for too long, disables its webhook, which starts anew when resumed",
      () =>
        Effect.gen(function* () {
          const store = yield* WebhookStore
          const made = yield* create()
          const { id } = yield* enqueue(made)
          assert.strictEqual(yield* settle(yield* claim(id), failed({ disable: "it is gone" })), "disabled")
          const disabled = Option.getOrThrow(yield* store.webhook(made.id))
          assert.deepStrictEqual([disabled.state, disabled.reason], ["disabled", "it is gone"])
          const renamed = Option.getOrThrow(yield* store.update(made.id, { name: "other" }))
          assert.deepStrictEqual([renamed.state, renamed.reason], ["disabled", "it is gone"])
          yield* passes("1 hour")
          assert.isTrue(Option.isNone(yield* store.claim(id, Duration.seconds(30))))
          const resumed = Option.getOrThrow(yield* store.update(made.id, { state: "active" }))
          assert.deepStrictEqual([resumed.reason, resumed.failingSince], [null, null])
          const claimed = yield* claim(id)
          assert.strictEqual(claimed.message.attempts, 0)
          assert.strictEqual(yield* settle(claimed, failed()), "active")
          yield* passes("6 days")
          assert.strictEqual(yield* settle(yield* claim(id), failed()), "disabled")
        })
    )

    it.effect("another URL is tried at once", () =>
      Effect.gen(function* () {
        const store = yield* WebhookStore
        const made = yield* create()
        const earlier = yield* enqueue(made)
        yield* settle(yield* claim(earlier.id), { _tag: "Delivered", status: 200 })
        const delivered = yield* message(earlier.id)
        const { id } = yield* enqueue(made)
        yield* settle(yield* claim(id), failed({ retryIn: Duration.hours(10) }))
        yield* store.update(made.id, { name: "the same" })
        assert.isTrue(Option.isNone(yield* store.claim(id, Duration.seconds(30))))
        yield* store.update(made.id, { url: "https://example.org/other" })
        const claimed = yield* claim(id)
        assert.strictEqual(claimed.message.attempts, 0)
        assert.strictEqual(claimed.webhook.url, "https://example.org/other")
        assert.deepStrictEqual(yield* message(earlier.id), delivered)
      })
    )

    it.effect("a secret is replaced only where it is still the one that was seen", () =>
      Effect.gen(function* () {
        const store = yield* WebhookStore
        const made = yield* create()
        const other = new Uint8Array([9, 9])
        for (const wrong of [
          [9, 9],
          [1, 2],
          [1, 2, 9],
          [1, 2, 3, 4]
        ]) {
          assert.isFalse(yield* store.replaceSecret(made.id, new Uint8Array(wrong), other))
        }
        assert.isTrue(yield* store.replaceSecret(made.id, made.secret, other))
        assert.deepStrictEqual([...Option.getOrThrow(yield* store.webhook(made.id)).secret], [9, 9])
        assert.isFalse(yield* store.replaceSecret(made.id, made.secret, other))
      })
    )

    it.effect("removing a webhook removes its messages", () =>
      Effect.gen(function* () {
        const store = yield* WebhookStore
        const made = yield* create()
        const { id } = yield* enqueue(made)
        const claimed = yield* claim(id)
        assert.isTrue(yield* store.remove(made.id))
        assert.isFalse(yield* store.remove(made.id))
        assert.isTrue(Option.isNone(yield* store.message(id)))
        assert.isTrue(Option.isNone(yield* store.claim(id, Duration.seconds(30))))
        assert.isFalse(yield* store.enqueue(made, { to: "further", message: null }))
        assert.isFalse(yield* store.replaceSecret(made.id, made.secret, made.secret))
        yield* store.releaseClaim(claimed)
        yield* settle(claimed, { _tag: "Delivered", status: 200 })
        assert.isTrue(Option.isNone(yield* store.deliveryState(made.id)))
      })
    )

    lawsOfWebhookMessages(it)
  })
}
