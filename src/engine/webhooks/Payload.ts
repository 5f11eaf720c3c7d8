/** The JSON bodies that are sent to webhooks. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Change } from "../feed/ChangeDocument.ts"
import { WebhookId } from "../model/Webhook.ts"

const Time = Schema.DateTimeUtcFromString

/** The body of a message. `GET /changes` continues at `cursor` after these changes. */
const ContentChanged = Schema.Struct({
  type: Schema.Literal("content.changed"),
  timestamp: Time,
  data: Schema.Struct({ changes: Schema.Array(Change), cursor: Schema.String })
})

const encode = Schema.encodeEffect(Schema.fromJsonString(ContentChanged))

/** The text of a message, which is stored and sent. */
export const text = (body: typeof ContentChanged.Type): Effect.Effect<string> => Effect.orDie(encode(body))

/** The body of a test message. */
export const Ping = Schema.Struct({
  type: Schema.Literal("webhook.ping"),
  timestamp: Time,
  data: Schema.Struct({ webhook: WebhookId })
})
