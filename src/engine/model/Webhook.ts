/** The model of webhooks and their messages in the stores. */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { ChangeKind } from "./Change.ts"
import type { ConnectionId } from "./Connection.ts"

export const WebhookId = Schema.String.pipe(Schema.brand("WebhookId"))
export type WebhookId = typeof WebhookId.Type
/** The value of the `webhook-id` header, the same at every attempt. */
export const MessageId = Schema.String.pipe(Schema.brand("MessageId"))
export type MessageId = typeof MessageId.Type

/** `paused`: by a person. `disabled`: after the endpoint answered 410, or failed for days. */
export const WebhookState = Schema.Literals(["active", "paused", "disabled"])
export type WebhookState = typeof WebhookState.Type

/** `dead`: a dead letter, given up after the last attempt and kept for a person. */
export const MessageState = Schema.Literals(["pending", "delivered", "dead"])
export type MessageState = typeof MessageState.Type

/** The most webhooks of a database: each uses a fiber, and up to one request in flight, of the delivering process. */
export const maxWebhooks = 100

/** A subscription to changes. */
export interface Webhook {
  readonly id: WebhookId
  readonly name: string
  readonly url: string
  /** Sends only changes of this connection; null: of all. It never changes, because the cursor depends on it. */
  readonly connectionId: ConnectionId | null
  /** Sends only changes of these kinds; null: all. */
  readonly changes: ReadonlyArray<ChangeKind> | null
  /** The sealed signing secret. */
  readonly secret: Uint8Array
  readonly state: WebhookState
  /** Why the webhook is disabled. */
  readonly reason: string | null
  /** The webhook's position in the feed; null: the beginning. */
  readonly cursor: string | null
  /** The time since which every attempt has failed; null if the last one succeeded. */
  readonly failingSince: DateTime.Utc | null
  readonly createdAt: DateTime.Utc
}

/** A message: pending, delivered or dead. */
export interface Message {
  readonly id: MessageId
  readonly webhookId: WebhookId
  readonly state: MessageState
  /** The number of changes in the message. */
  readonly changes: number
  /** The number of finished attempts. Redelivery by a person resets it. */
  readonly attempts: number
  /**
   * When the message is due, for `pending` only. While it is being sent, the time at which it is due again if no result
   * is recorded.
   */
  readonly nextAttemptAt: DateTime.Utc | null
  /** The status of the last response, if there was one. */
  readonly status: number | null
  /** Why the last attempt failed. */
  readonly error: string | null
  /** The beginning of the response to the last failed attempt. */
  readonly answer: string | null
  readonly createdAt: DateTime.Utc
  readonly attemptedAt: DateTime.Utc | null
}

/** A claimed message. `claim` distinguishes this claim from later ones. */
export interface Claimed {
  readonly webhook: Webhook
  readonly message: Message
  readonly claim: number
  /** The body. It is the same at every attempt, except for parts that were purged or disconnected meanwhile. */
  readonly body: string
}

/** The next message of an active webhook. */
export interface DeliveryState {
  readonly webhook: Webhook
  /**
   * The pending message that is due first, and the time until then. Messages from the feed precede redelivered ones.
   */
  readonly next: { readonly messageId: MessageId; readonly in: Duration.Duration } | null
  /** True if a message from the feed is pending: no other message is made before it is delivered or dead. */
  readonly isWaiting: boolean
}

/** The result of an attempt. */
export type AttemptResult =
  | { readonly _tag: "Delivered"; readonly status: number }
  | {
      readonly _tag: "Failed"
      readonly status: number | null
      readonly error: string
      readonly answer: string | null
      /** The delay before the next attempt; undefined: the message is dead. */
      readonly retryIn: Duration.Duration | undefined
      /** Disables the webhook for this reason. Its message stays pending. */
      readonly disable: string | undefined
      /** Disables the webhook if every attempt has failed for this long. */
      readonly disableAfter: Duration.Duration
    }

/** The reason of a webhook that is disabled because its deliveries failed for too long. */
export const failedTooLong = "every attempt to deliver has failed for too long"

/** A change of a webhook. An undefined field keeps its value. */
export interface WebhookChange {
  readonly name?: string | undefined
  readonly url?: string | undefined
  readonly changes?: ReadonlyArray<ChangeKind> | null | undefined
  readonly state?: "active" | "paused" | undefined
}

/** Returns true for an activation and for a new URL, which reset the count of failures. */
export const resetsFailures = (webhook: Webhook, change: WebhookChange): boolean =>
  change.state === "active" || (change.url !== undefined && change.url !== webhook.url)
