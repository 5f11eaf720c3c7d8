/**
 * The store of webhooks and their messages. Every store passes the same laws (test/stores/lawsOfWebhooks.ts).
 *
 * A message is written before it is sent, in the transaction that moves its webhook's cursor past the changes in it. So
 * after any crash, a change is either in a message or still ahead of the cursor. A webhook has at most one pending
 * message from the feed, so that messages arrive in order, and later changes cost nothing while they wait in the feed.
 * Messages that a person redelivers are outside that order.
 *
 * A sender claims a message for a limited time before it sends it. If no result is recorded by then, the message is due
 * again.
 *
 * Times are by the database's clock.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { ConnectionId } from "../model/Connection.ts"
import type {
  AttemptResult,
  Claimed,
  DeliveryState,
  Message,
  MessageId,
  MessageState,
  Webhook,
  WebhookChange,
  WebhookId,
  WebhookState
} from "../model/Webhook.ts"
import type { StoreError } from "./StoreError.ts"

/** A change in a message. `hash` is null if the change has no body. */
export interface MessageChange {
  readonly connection: ConnectionId
  readonly content: { readonly externalId: string; readonly hash: string | null }
}

export class WebhookStore extends Context.Service<
  WebhookStore,
  {
    /** Creates a webhook. Returns `Option.none` if `most` webhooks exist, also if several are created at once. */
    readonly create: (
      webhook: Pick<Webhook, "id" | "name" | "url" | "connectionId" | "changes" | "secret" | "cursor">,
      most: number
    ) => Effect.Effect<Option.Option<Webhook>, StoreError>
    readonly webhook: (webhookId: WebhookId) => Effect.Effect<Option.Option<Webhook>, StoreError>
    /** All webhooks, oldest first, with the numbers of their pending and dead messages. */
    readonly webhooks: Effect.Effect<
      ReadonlyArray<{ readonly webhook: Webhook; readonly pending: number; readonly dead: number }>,
      StoreError
    >
    /**
     * Changes the given fields. An activation or a new URL (`Webhook.resetsFailures`) also resets the failures: the
     * pending messages are due now, at their first attempt. Returns `Option.none` if the webhook does not exist.
     */
    readonly update: (webhookId: WebhookId, change: WebhookChange) => Effect.Effect<Option.Option<Webhook>, StoreError>
    /** Removes the webhook and its messages. Returns false if it does not exist. */
    readonly remove: (webhookId: WebhookId) => Effect.Effect<boolean, StoreError>
    /** Replaces this sealed secret by another. Returns false if another secret is stored. */
    readonly replaceSecret: (
      webhookId: WebhookId,
      before: Uint8Array,
      after: Uint8Array
    ) => Effect.Effect<boolean, StoreError>

    // ---- delivering --------------------------------------------------------------------------------------------
    /** Returns the next messages of all active webhooks, in one query. */
    readonly deliveryStates: Effect.Effect<ReadonlyArray<DeliveryState>, StoreError>
    /** Returns the next message of this webhook. Returns `Option.none` if the webhook is not active. */
    readonly deliveryState: (webhookId: WebhookId) => Effect.Effect<Option.Option<DeliveryState>, StoreError>
    /**
     * Moves the cursor of an active webhook that has no pending message from the feed, and writes a message with the
     * changes that the cursor passes, due now (null if none of them matches the webhook). All in one transaction.
     * Returns false, and changes nothing, if the cursor or the filter is no longer that of `seen`, if the database was
     * restored or failed over since the epoch began, or if a purge or a disconnection has since removed the content of
     * a change.
     */
    readonly enqueue: (
      seen: Pick<Webhook, "id" | "cursor" | "changes">,
      move: {
        readonly to: string | null
        readonly message: {
          readonly id: MessageId
          readonly body: string
          readonly changes: ReadonlyArray<MessageChange>
        } | null
      }
    ) => Effect.Effect<boolean, StoreError>
    /** Claims a due message of an active webhook for a time. Returns `Option.none` if another sender has claimed it. */
    readonly claim: (
      messageId: MessageId,
      lasting: Duration.Duration
    ) => Effect.Effect<Option.Option<Claimed>, StoreError>
    /** Records the result of an attempt, if the claim still holds. Returns the webhook's state. */
    readonly recordAttempt: (claimed: Claimed, result: AttemptResult) => Effect.Effect<WebhookState, StoreError>
    /** Releases the claim without an attempt, if it still holds. */
    readonly releaseClaim: (claimed: Claimed) => Effect.Effect<void, StoreError>

    // ---- messages ----------------------------------------------------------------------------------------------
    /** Returns messages, newest first. `after` is the last message of the previous page. */
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
    /** Removes messages that were delivered, or became dead, longer ago than this. Returns their number. */
    readonly prune: (olderThan: {
      readonly delivered: Duration.Duration
      readonly dead: Duration.Duration
    }) => Effect.Effect<number, StoreError>
  }
>()("idem/engine/store/WebhookStore") {}
