/**
 * The store of webhooks and their messages. Every store passes the same laws (test/stores/lawsOfWebhooks.ts).
 *
 * A message is written before it is sent, in the transaction that moves its webhook's cursor past the changes in it.
 * After any crash a change is therefore in a message, or still ahead of the cursor. A webhook has at most one pending
 * message from the feed, so that messages arrive in order, and later changes cost nothing while they wait in the feed.
 * Messages that a person redelivers are outside that order.
 *
 * A sender claims a message for a limited time first. Without a result by then, the message is due again.
 *
 * Times are by the database's clock.
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ChangeKind } from "../model/Change.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { StoreError } from "../store/StoreError.ts"

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

/** One message: pending, delivered or dead. */
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
  /** The body, the same at every attempt. */
  readonly body: string
}

/** The next step of an active webhook. */
export interface Work {
  readonly webhook: Webhook
  /** The pending message that is due first, and in how long. Messages from the feed precede redelivered ones. */
  readonly next: { readonly messageId: MessageId; readonly in: Duration.Duration } | null
  /** True if a message from the feed is pending: the next one is made after it. */
  readonly isWaiting: boolean
}

/** The result of an attempt. */
export type Attempted =
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

export class WebhookStore extends Context.Service<
  WebhookStore,
  {
    readonly create: (
      webhook: Pick<Webhook, "id" | "name" | "url" | "connectionId" | "changes" | "secret" | "cursor">
    ) => Effect.Effect<Webhook, StoreError>
    readonly webhook: (webhookId: WebhookId) => Effect.Effect<Option.Option<Webhook>, StoreError>
    /** Oldest first, with the numbers of their pending and dead messages. */
    readonly webhooks: Effect.Effect<
      ReadonlyArray<{ readonly webhook: Webhook; readonly pending: number; readonly dead: number }>,
      StoreError
    >
    /**
     * Changes what is given. `state: "active"` begins anew: nothing has failed, and what is pending is due now, at its
     * first attempt; so does another `url`. None where it is gone.
     */
    readonly change: (
      webhookId: WebhookId,
      change: {
        readonly name?: string | undefined
        readonly url?: string | undefined
        readonly changes?: ReadonlyArray<ChangeKind> | null | undefined
        readonly state?: "active" | "paused" | undefined
      }
    ) => Effect.Effect<Option.Option<Webhook>, StoreError>
    /** Removes the webhook and its messages. False if it does not exist. */
    readonly remove: (webhookId: WebhookId) => Effect.Effect<boolean, StoreError>
    /** Replaces this sealed secret by another. False if the stored secret is not this one. */
    readonly replaceSecret: (
      webhookId: WebhookId,
      before: Uint8Array,
      after: Uint8Array
    ) => Effect.Effect<boolean, StoreError>

    // ---- delivering --------------------------------------------------------------------------------------------
    /** The next steps of all active webhooks, in one query. */
    readonly work: Effect.Effect<ReadonlyArray<Work>, StoreError>
    /** The next step of this webhook; none if it is not active. */
    readonly workOf: (webhookId: WebhookId) => Effect.Effect<Option.Option<Work>, StoreError>
    /**
     * Moves the cursor of an active webhook that has no message of the feed pending, and writes the message, due now,
     * of the changes that it moves over (null: none of them concerns it). One transaction. False, and nothing is done,
     * where the cursor is no longer `from`.
     */
    readonly enqueue: (
      webhookId: WebhookId,
      move: {
        readonly from: string | null
        readonly to: string | null
        readonly message: { readonly id: MessageId; readonly body: string; readonly changes: number } | null
      }
    ) => Effect.Effect<boolean, StoreError>
    /** Claims a due message of an active webhook for a time. None if another sender was faster. */
    readonly claim: (
      messageId: MessageId,
      lasting: Duration.Duration
    ) => Effect.Effect<Option.Option<Claimed>, StoreError>
    /** Records the result of an attempt, if the claim still holds. Returns the webhook's state. */
    readonly settle: (claimed: Claimed, result: Attempted) => Effect.Effect<WebhookState, StoreError>
    /** Releases the claim without an attempt, if it still holds. */
    readonly unclaim: (claimed: Claimed) => Effect.Effect<void, StoreError>

    // ---- messages ----------------------------------------------------------------------------------------------
    /** Newest first; `after` is the last message of the previous page. */
    readonly messages: (
      webhookId: WebhookId,
      options: {
        readonly state: MessageState | undefined
        readonly limit: number
        readonly after: MessageId | undefined
      }
    ) => Effect.Effect<ReadonlyArray<Message>, StoreError>
    readonly message: (messageId: MessageId) => Effect.Effect<Option.Option<Message>, StoreError>
    /** Makes dead letters (this one, or all) pending, due now, at their first attempt. Returns their number. */
    readonly redeliver: (webhookId: WebhookId, messageId: MessageId | undefined) => Effect.Effect<number, StoreError>
    /** Removes messages that were delivered or died longer ago than this. Returns their number. */
    readonly prune: (olderThan: {
      readonly delivered: Duration.Duration
      readonly dead: Duration.Duration
    }) => Effect.Effect<number, StoreError>
  }
>()("idem/engine/webhooks/WebhookStore") {}
