/**
 * What webhooks need of a database. Every store passes the same laws (test/stores/lawsOfWebhooks.ts).
 *
 * A message is written in the same transaction that moves its webhook's cursor over the changes that it holds, before it
 * is sent: whatever crashes, a change is in a message, or still ahead of the cursor. A webhook has one message of the feed
 * at a time that waits to be delivered, so that they arrive in order and what waits behind it costs nothing: it is still in
 * the feed. Messages that a person had sent again are beside that order.
 *
 * Whoever sends a message claims it first, for a while: it comes up again when that is over without a result.
 *
 * Time is the database's.
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ChangeKind } from "../model/Change.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { StoreError } from "../Store.ts"

export const WebhookId = Schema.String.pipe(Schema.brand("WebhookId"))
export type WebhookId = typeof WebhookId.Type
/** What `webhook-id` says: the same however often the message is sent. */
export const MessageId = Schema.String.pipe(Schema.brand("MessageId"))
export type MessageId = typeof MessageId.Type

/** `paused` by a person; `disabled` because its endpoint said that it is gone, or failed for days. */
export const WebhookState = Schema.Literals(["active", "paused", "disabled"])
export type WebhookState = typeof WebhookState.Type

/** `dead`: given up after its last attempt, kept for a person. */
export const MessageState = Schema.Literals(["pending", "delivered", "dead"])
export type MessageState = typeof MessageState.Type

/** Where changes are sent to. */
export interface Webhook {
  readonly id: WebhookId
  readonly name: string
  readonly url: string
  /** Only changes of this connection; null: of all. It never changes, since the cursor belongs to it. */
  readonly connectionId: ConnectionId | null
  /** Only changes of these kinds; null: all. */
  readonly changes: ReadonlyArray<ChangeKind> | null
  /** Sealed. */
  readonly secret: Uint8Array
  readonly state: WebhookState
  /** Why it is disabled, in words. */
  readonly reason: string | null
  /** Where it goes on in the feed; null: at the beginning. */
  readonly cursor: string | null
  /** Since when every attempt failed; null where the last one did not. */
  readonly failingSince: DateTime.Utc | null
  readonly createdAt: DateTime.Utc
}

/** One POST, or what is left of one. */
export interface Message {
  readonly id: MessageId
  readonly webhookId: WebhookId
  readonly state: MessageState
  /** How many changes it holds. */
  readonly changes: number
  /** Attempts that came to an end. A message that is sent again by hand begins anew. */
  readonly attempts: number
  /** For `pending` only. While it is being sent, when it comes up again if no result is told. */
  readonly nextAttemptAt: DateTime.Utc | null
  /** Of the last attempt: the status that was answered, if one was. */
  readonly status: number | null
  /** Of the last attempt: why it failed. */
  readonly error: string | null
  /** Of the last attempt that failed: how its answer began. */
  readonly answer: string | null
  readonly createdAt: DateTime.Utc
  readonly attemptedAt: DateTime.Utc | null
}

/** A message that is ours to send now. `claim` tells our claim from a later one. */
export interface Claimed {
  readonly webhook: Webhook
  readonly message: Message
  readonly claim: number
  /** What is sent, the same at each attempt. */
  readonly body: string
}

/** What there is to do for an active webhook. */
export interface Work {
  readonly webhook: Webhook
  /** The pending message that is due first (one of the feed before one that is sent again), and in how long. */
  readonly next: { readonly messageId: MessageId; readonly in: Duration.Duration } | null
  /** A message of the feed is pending: the next one is made after it. */
  readonly isWaiting: boolean
}

/** How an attempt ended. */
export type Attempted =
  | { readonly _tag: "Delivered"; readonly status: number }
  | {
      readonly _tag: "Failed"
      readonly status: number | null
      readonly error: string
      readonly answer: string | null
      /** When to try again; undefined: it is dead. */
      readonly retryIn: Duration.Duration | undefined
      /** Disables the webhook, for this reason; its message stays pending. */
      readonly disable: string | undefined
      /** Disables it where every attempt has failed for this long. */
      readonly disableAfter: Duration.Duration
    }

export class WebhookStore extends Context.Service<
  WebhookStore,
  {
    readonly create: (
      webhook: Pick<Webhook, "id" | "name" | "url" | "connectionId" | "changes" | "secret" | "cursor">
    ) => Effect.Effect<Webhook, StoreError>
    readonly webhook: (webhookId: WebhookId) => Effect.Effect<Option.Option<Webhook>, StoreError>
    /** Oldest first, with how many of their messages are pending and dead. */
    readonly webhooks: Effect.Effect<
      ReadonlyArray<{ readonly webhook: Webhook; readonly pending: number; readonly dead: number }>,
      StoreError
    >
    /**
     * Changes what is given. `state: "active"` begins anew: nothing has failed, and what is pending is due now, at its first
     * attempt; so does another `url`. None where it is gone.
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
    /** With its messages. False where it is gone. */
    readonly remove: (webhookId: WebhookId) => Effect.Effect<boolean, StoreError>
    /** Puts another sealed secret in the place of this one. False where it is no longer there. */
    readonly replaceSecret: (
      webhookId: WebhookId,
      before: Uint8Array,
      after: Uint8Array
    ) => Effect.Effect<boolean, StoreError>

    // ---- delivering --------------------------------------------------------------------------------------------
    /** Of all active webhooks. One query. */
    readonly work: Effect.Effect<ReadonlyArray<Work>, StoreError>
    /** Of this one; none where it is not active. */
    readonly workOf: (webhookId: WebhookId) => Effect.Effect<Option.Option<Work>, StoreError>
    /**
     * Moves the cursor of an active webhook that has no message of the feed pending, and writes the message, due now, of
     * the changes that it moves over (null: none of them concerns it). One transaction. False, and nothing is done, where
     * the cursor is no longer `from`.
     */
    readonly enqueue: (
      webhookId: WebhookId,
      move: {
        readonly from: string | null
        readonly to: string | null
        readonly message: { readonly id: MessageId; readonly body: string; readonly changes: number } | null
      }
    ) => Effect.Effect<boolean, StoreError>
    /** Takes a pending message that is due, of an active webhook, for so long. None where another was faster. */
    readonly claim: (
      messageId: MessageId,
      lasting: Duration.Duration
    ) => Effect.Effect<Option.Option<Claimed>, StoreError>
    /** Writes how the attempt went, if the claim still holds, and says in which state the webhook is now. */
    readonly settle: (claimed: Claimed, result: Attempted) => Effect.Effect<WebhookState, StoreError>
    /** Gives the claim back, if it still holds: there was no attempt. */
    readonly unclaim: (claimed: Claimed) => Effect.Effect<void, StoreError>

    // ---- messages ----------------------------------------------------------------------------------------------
    /** The last made first; `after` is the last message of the page before. */
    readonly messages: (
      webhookId: WebhookId,
      options: {
        readonly state: MessageState | undefined
        readonly limit: number
        readonly after: MessageId | undefined
      }
    ) => Effect.Effect<ReadonlyArray<Message>, StoreError>
    readonly message: (messageId: MessageId) => Effect.Effect<Option.Option<Message>, StoreError>
    /** Makes dead messages (this one, or all) pending, due now, at their first attempt. Says how many. */
    readonly redeliver: (webhookId: WebhookId, messageId: MessageId | undefined) => Effect.Effect<number, StoreError>
    /** Removes messages that were delivered or died longer ago than this. Says how many. */
    readonly prune: (olderThan: {
      readonly delivered: Duration.Duration
      readonly dead: Duration.Duration
    }) => Effect.Effect<number, StoreError>
  }
>()("idem/engine/webhooks/WebhookStore") {}
