/** Webhooks and their messages, as a store keeps them. */
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

/** `paused` by a person; `disabled` after its endpoint answered 410, or failed for days. */
export const WebhookState = Schema.Literals(["active", "paused", "disabled"])
export type WebhookState = typeof WebhookState.Type

/** `dead`: a dead letter, given up after the last attempt and kept for a person. */
export const MessageState = Schema.Literals(["pending", "delivered", "dead"])
export type MessageState = typeof MessageState.Type

/** A subscription to changes. */
export interface Webhook {
  readonly id: WebhookId
  readonly name: string
  readonly url: string
  /** Only changes of this connection; null: of all. It never changes, since the cursor belongs to it. */
  readonly connectionId: ConnectionId | null
  /** Sends only changes of these kinds; null: all. */
  readonly changes: ReadonlyArray<ChangeKind> | null
  /** Sealed. */
  readonly secret: Uint8Array
  readonly state: WebhookState
  /** Why it is disabled. */
  readonly reason: string | null
  /** Its position in the feed; null: the beginning. */
  readonly cursor: string | null
  /** Since when every attempt has failed; null if the last one succeeded. */
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
  /** Finished attempts. Redelivery by a person resets them. */
  readonly attempts: number
  /** For `pending` only. While the message is being sent: when it is due again without a result. */
  readonly nextAttemptAt: DateTime.Utc | null
  /** The status of the last answer, if there was one. */
  readonly status: number | null
  /** Why the last attempt failed. */
  readonly error: string | null
  /** The beginning of the answer to the last failed attempt. */
  readonly answer: string | null
  readonly createdAt: DateTime.Utc
  readonly attemptedAt: DateTime.Utc | null
}

/** A claimed message. `claim` distinguishes this claim from later ones. */
export interface Claimed {
  readonly webhook: Webhook
  readonly message: Message
  readonly claim: number
  /** The body: the same at every attempt, but for what was purged or disconnected meanwhile. */
  readonly body: string
}

/** The next message of an active webhook. */
export interface DeliveryState {
  readonly webhook: Webhook
  /** The pending message that is due first, and in how long. Messages from the feed precede redelivered ones. */
  readonly next: { readonly messageId: MessageId; readonly in: Duration.Duration } | null
  /** True if a message from the feed is pending: the next one is made after it. */
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

/** True for an activation and for another URL: the failures so far no longer count. */
export const resetsFailures = (webhook: Webhook, change: WebhookChange): boolean =>
  change.state === "active" || (change.url !== undefined && change.url !== webhook.url)
