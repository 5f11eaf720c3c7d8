/** Webhooks and their messages as API documents. */
import * as Schema from "effect/Schema"
import { ChangeKind } from "../../engine/model/Change.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { MessageId, MessageState, WebhookId, WebhookState } from "../../engine/model/Webhook.ts"
import type { Message as MessageRow, Webhook as WebhookRow } from "../../engine/model/Webhook.ts"

const Time = Schema.DateTimeUtcFromString

export const Webhook = Schema.Struct({
  id: WebhookId,
  name: Schema.String,
  url: Schema.String,
  /** Sends only this connection's changes; null: all. */
  connection: Schema.NullOr(ConnectionId),
  /** Sends only changes of these kinds; null: all. */
  changes: Schema.NullOr(Schema.Array(ChangeKind)),
  state: WebhookState,
  /** Why the webhook is disabled. */
  reason: Schema.NullOr(Schema.String),
  failingSince: Schema.NullOr(Time),
  /** The numbers of pending messages and of dead letters. */
  pending: Schema.Int,
  dead: Schema.Int,
  createdAt: Time
})
export type Webhook = typeof Webhook.Type

export const Message = Schema.Struct({
  id: MessageId,
  state: MessageState,
  /** The number of changes in the message. */
  changes: Schema.Int,
  attempts: Schema.Int,
  nextAttemptAt: Schema.NullOr(Time),
  attemptedAt: Schema.NullOr(Time),
  /** The status of the last response. */
  status: Schema.NullOr(Schema.Int),
  /** Why the last attempt failed, with the beginning of the response. */
  error: Schema.NullOr(Schema.String),
  answer: Schema.NullOr(Schema.String),
  createdAt: Time
})
export type Message = typeof Message.Type

/** The result of a test message. */
export const Pinged = Schema.Struct({
  delivered: Schema.Boolean,
  message: Schema.String,
  status: Schema.NullOr(Schema.Int),
  error: Schema.NullOr(Schema.String),
  durationMs: Schema.Finite
})
export type Pinged = typeof Pinged.Type

export const webhook = (row: WebhookRow, counts: { readonly pending: number; readonly dead: number }): Webhook => ({
  id: row.id,
  name: row.name,
  url: row.url,
  connection: row.connectionId,
  changes: row.changes,
  state: row.state,
  reason: row.reason,
  failingSince: row.failingSince,
  pending: counts.pending,
  dead: counts.dead,
  createdAt: row.createdAt
})

export const message = (row: MessageRow): Message => {
  const { webhookId: _, ...rest } = row
  return rest
}
