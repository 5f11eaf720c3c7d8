/** The bodies that webhooks are sent, as JSON. */
import * as Schema from "effect/Schema"
import { Change } from "../feed/ChangeDocument.ts"
import { WebhookId } from "../model/Webhook.ts"

const Time = Schema.DateTimeUtcFromString

/** The body of a message. `GET /changes` continues at `cursor` after these changes. */
export const ContentChanged = Schema.Struct({
  type: Schema.Literal("content.changed"),
  timestamp: Time,
  data: Schema.Struct({ changes: Schema.Array(Change), cursor: Schema.String })
})

/** The body of a test message. */
export const Ping = Schema.Struct({
  type: Schema.Literal("webhook.ping"),
  timestamp: Time,
  data: Schema.Struct({ webhook: WebhookId })
})
