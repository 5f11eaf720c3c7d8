/** The columns and rows of webhooks and their messages. */
import * as Schema from "effect/Schema"
import { ChangeKind } from "../../engine/model/Change.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { MessageId, MessageState, WebhookId, WebhookState } from "../../engine/model/Webhook.ts"
import { allRows } from "./RowDecoders.ts"

const Time = Schema.DateTimeUtcFromDate

export const webhookColumns = `w.id, w.name, w.url, w.connection_id AS "connectionId", w.changes, w.secret, w.state, w.reason, w.cursor,
  w.failing_since AS "failingSince", w.created_at AS "createdAt"`

const webhookFields = {
  id: WebhookId,
  name: Schema.String,
  url: Schema.String,
  connectionId: Schema.NullOr(ConnectionId),
  changes: Schema.NullOr(Schema.Array(ChangeKind)),
  secret: Schema.Uint8Array,
  state: WebhookState,
  reason: Schema.NullOr(Schema.String),
  cursor: Schema.NullOr(Schema.String),
  failingSince: Schema.NullOr(Time),
  createdAt: Time
}

export const messageColumns = `m.id, m.webhook_id AS "webhookId", m.state, m.changes, m.attempts, m.next_attempt_at AS "nextAttemptAt",
  m.status, m.error, m.answer, m.created_at AS "createdAt", m.attempted_at AS "attemptedAt"`

const MessageRow = Schema.Struct({
  id: MessageId,
  webhookId: WebhookId,
  state: MessageState,
  changes: Schema.Int,
  attempts: Schema.Int,
  nextAttemptAt: Schema.NullOr(Time),
  status: Schema.NullOr(Schema.Int),
  error: Schema.NullOr(Schema.String),
  answer: Schema.NullOr(Schema.String),
  createdAt: Time,
  attemptedAt: Schema.NullOr(Time)
})

export const decodeWebhooks = allRows(Schema.Struct(webhookFields))
export const decodeCounted = allRows(Schema.Struct({ ...webhookFields, pending: Schema.Int, dead: Schema.Int }))
export const decodeDeliveryStates = allRows(
  Schema.Struct({
    ...webhookFields,
    messageId: Schema.NullOr(MessageId),
    dueIn: Schema.NullOr(Schema.Finite),
    isWaiting: Schema.Boolean
  })
)
export const decodeMessages = allRows(MessageRow)
export const decodeClaims = allRows(Schema.Struct({ ...MessageRow.fields, claim: Schema.BigInt, body: Schema.String }))
export const decodeStates = allRows(Schema.Struct({ state: WebhookState }))
