/** Webhooks, their messages, and the results of delivery attempts. */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { type Claimed, MessageId, type Webhook, WebhookId } from "../../src/engine/model/Webhook.ts"
import { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import { Time } from "./scenario.ts"

/** Creates a webhook, unless `most` webhooks exist. */
export const createAtMost = (most: number, parts: Partial<Webhook> = {}) =>
  WebhookStore.use((store) =>
    store.create(
      {
        id: WebhookId.make(randomUUID()),
        name: "a name",
        url: "https://example.com/hook",
        connectionId: null,
        changes: null,
        secret: new Uint8Array([1, 2, 3]),
        cursor: null,
        ...parts
      },
      most
    )
  )

export const create = (parts?: Partial<Webhook>) => Effect.map(createAtMost(1000, parts), Option.getOrThrow)

export const messageOf = (body = "{}") => ({ id: MessageId.make(randomUUID()), body, changes: [] })

/** Moves the webhook's cursor from its present position, with a message. */
export const enqueue = Effect.fnUntraced(function* (webhook: Webhook, body?: string) {
  const store = yield* WebhookStore
  const now = Option.getOrThrow(yield* store.webhook(webhook.id))
  const message = messageOf(body)
  assert.isTrue(yield* store.enqueue(now, { to: `after ${message.id}`, message }))
  return message
})

export const claim = (messageId: MessageId) =>
  WebhookStore.use((store) => Effect.map(store.claim(messageId, Duration.seconds(30)), Option.getOrThrow))

export const failed = (parts: { readonly retryIn?: Duration.Duration | undefined; readonly disable?: string } = {}) =>
  ({
    _tag: "Failed",
    status: 500,
    error: "it answered 500",
    answer: "sorry\0",
    retryIn: Duration.minutes(5),
    disable: undefined,
    disableAfter: Duration.days(5),
    ...parts
  }) as const

export const settle = (claimed: Claimed, result: Parameters<WebhookStore["Service"]["recordAttempt"]>[1]) =>
  WebhookStore.use((store) => store.recordAttempt(claimed, result))

export const message = (messageId: MessageId) =>
  WebhookStore.use((store) => Effect.map(store.message(messageId), Option.getOrThrow))

export const passes = (by: Duration.Input) => Time.use((time) => time.pass(Duration.fromInputUnsafe(by)))
