/**
 * Delivers the messages of all webhooks. One process of a cluster runs the dispatcher; if that process leaves, another
 * takes over. Each webhook has its own fiber, which sends one message at a time, so a slow endpoint does not delay
 * other webhooks.
 *
 * Messages arrive in order: the next message is made from the feed once the previous one is delivered or is a dead
 * letter. Until then later changes wait in the feed, where content that changes twice is reported once.
 */
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as SecureRandom from "effect/crypto/SecureRandom"
import type * as Sharding from "effect/cluster/Sharding"
import * as Singleton from "effect/cluster/Singleton"
import * as Feed from "../feed/Feed.ts"
import type { Vault } from "../secrets/Vault.ts"
import { MessageId, type Webhook, type WebhookId } from "../model/Webhook.ts"
import * as Supervisor from "../Supervisor.ts"
import { WebhookStore } from "../store/WebhookStore.ts"
import * as Delivery from "./Delivery.ts"
import * as Payload from "./Payload.ts"
import type { Sender } from "./Sender.ts"

/**
 * How often the dispatcher looks for due messages, and for webhooks that were created or resumed. Changes in the feed
 * wake it sooner.
 */
const tick = Duration.seconds(2)

/** The most changes in one message. */
const batch = 100

/** The delay before a failed database operation is repeated. */
const pause = Duration.seconds(5)

/**
 * Waits for changes that match this webhook, and makes a message from them. If the webhook's filter was changed or a
 * content was purged meanwhile, the webhook keeps its cursor, and the next step reads the changes again.
 */
const pull = Effect.fnUntraced(function* (webhook: Webhook) {
  const store = yield* WebhookStore
  const feed = yield* Feed.Feed
  const random = yield* SecureRandom.SecureRandom
  const query = {
    connectionId: webhook.connectionId ?? undefined,
    kinds: webhook.changes ?? undefined,
    after: webhook.cursor ?? undefined,
    limit: batch,
    wait: Feed.longestWait
  }
  const page = yield* feed.changes(query).pipe(
    Effect.map(Option.some),
    Effect.catchTag("CursorInvalid", ({ message }) =>
      Effect.as(Effect.logWarning(`the webhook sends all that is stored again: ${message}`), Option.none())
    )
  )
  if (Option.isNone(page)) {
    return yield* store.enqueue(webhook, { to: null, message: null })
  }
  const { changes, next } = page.value
  if (next === webhook.cursor) return true
  if (changes.length === 0) {
    return yield* store.enqueue(webhook, { to: next, message: null })
  }
  const body = yield* Payload.text({
    type: "content.changed",
    timestamp: yield* DateTime.now,
    data: { changes, cursor: next }
  })
  const id = MessageId.make(yield* random.uuidV7())
  return yield* store.enqueue(webhook, { to: next, message: { id, body, changes } })
})

/**
 * Makes one step of a webhook: sends a due message, or waits for changes or for a nudge, which says that a message is
 * due. Returns false if the webhook is not active.
 */
const step = Effect.fnUntraced(function* (webhookId: WebhookId, nudges: Queue.Dequeue<void>) {
  const store = yield* WebhookStore
  const work = yield* store.deliveryState(webhookId)
  if (Option.isNone(work)) return false
  const { isWaiting, next, webhook } = work.value
  if (next !== null && Duration.isZero(next.in)) {
    // Another process may be about to send it.
    if (!(yield* Delivery.deliver(next.messageId))) yield* Effect.sleep(tick)
    return true
  }
  yield* Effect.raceFirst(Queue.take(nudges), isWaiting ? Effect.never : Effect.asVoid(pull(webhook))).pipe(
    Effect.annotateLogs({ webhook: webhook.id, name: webhook.name })
  )
  return true
})

const deliverAll = (webhookId: WebhookId, nudges: Queue.Dequeue<void>) =>
  step(webhookId, nudges).pipe(
    Effect.catchTag("StoreError", ({ message }) =>
      Effect.logWarning(message).pipe(Effect.andThen(Effect.sleep(pause)), Effect.as(true))
    ),
    Effect.repeat({ while: (isActive) => isActive }),
    Effect.asVoid
  )

/** Delivers until it is interrupted. */
export const run: Effect.Effect<never, never, Services> = Effect.gen(function* () {
  const store = yield* WebhookStore
  const fibers = yield* FiberMap.make<WebhookId>()
  const nudges = new Map<WebhookId, Queue.Queue<void>>()

  const dispatch = Effect.gen(function* () {
    const work = yield* store.deliveryStates
    const isDue = new Map(work.map(({ next, webhook }) => [webhook.id, next !== null && Duration.isZero(next.in)]))
    for (const [webhookId, queue] of nudges) {
      if (!(yield* FiberMap.has(fibers, webhookId))) nudges.delete(webhookId)
      // The fiber itself finds out whether a message is due, and whether the webhook has ended.
      else if (isDue.get(webhookId) ?? true) yield* Queue.offer(queue, undefined)
    }
    for (const webhookId of isDue.keys()) {
      if (nudges.has(webhookId)) continue
      const queue = yield* Queue.sliding<void>(1)
      nudges.set(webhookId, queue)
      const fiber = Effect.catchCauseIf(
        deliverAll(webhookId, queue),
        (cause) => !Cause.hasInterruptsOnly(cause),
        (cause) => Effect.logError(`the webhook ${webhookId} failed with a defect, and goes on`, cause)
      )
      yield* FiberMap.run(fibers, webhookId, fiber)
    }
  }).pipe(
    Effect.catchTag("StoreError", ({ message }) => Effect.andThen(Effect.logWarning(message), Effect.sleep(pause)))
  )

  return yield* Effect.forever(Effect.andThen(dispatch, Effect.sleep(tick)))
}).pipe(Effect.scoped, Effect.provide(SecureRandom.layerWebCrypto))

export type Services = WebhookStore | Feed.Feed | Vault | Sender

/** Runs the dispatcher as a cluster singleton, in the process that owns its shard. */
export const layer: Layer.Layer<never, never, Sharding.Sharding | Services> = Layer.unwrap(
  Effect.map(Effect.context<Services>(), (context) => {
    const work = Supervisor.forever(run, { what: "the delivery of webhooks", pause })
    return Singleton.make("idem/Webhooks", Effect.provide(work, context))
  })
)
