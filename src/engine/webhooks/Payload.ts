/** The bodies that webhooks are sent, as JSON. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Change, contentRow } from "../feed/ChangeDocument.ts"
import type { ConnectionId } from "../model/Connection.ts"
import { WebhookId } from "../model/Webhook.ts"
import { ContentStore } from "../store/ContentStore.ts"

const Time = Schema.DateTimeUtcFromString

/** The body of a message. `GET /changes` continues at `cursor` after these changes. */
const ContentChanged = Schema.Struct({
  type: Schema.Literal("content.changed"),
  timestamp: Time,
  data: Schema.Struct({ changes: Schema.Array(Change), cursor: Schema.String })
})

const Text = Schema.fromJsonString(ContentChanged)
const encode = Schema.encodeEffect(Text)
const decode = Schema.decodeUnknownEffect(Text)

/** Nothing that a purge removes. */
const withheld = { revision: null, hash: null, size: 0, title: null, occurredAt: null }

/** The text of a message as it is stored: without what the source wrote, so that no purge has to look into it. */
export const toStored = (body: typeof ContentChanged.Type): Effect.Effect<string> =>
  Effect.orDie(
    encode({
      ...body,
      data: {
        ...body.data,
        changes: body.data.changes.map((change) => ({ ...change, content: { ...change.content, ...withheld } }))
      }
    })
  )

/**
 * The text to send: the changes of a stored message, with the contents as they are now. Removed contents are left out.
 */
export const toSend = Effect.fnUntraced(function* (stored: string) {
  const { contentsById } = yield* ContentStore
  const body = yield* Effect.orDie(decode(stored))
  const ids = new Map<ConnectionId, Array<string>>()
  for (const { connection, content } of body.data.changes) {
    ids.set(connection, [...(ids.get(connection) ?? []), content.externalId])
  }
  const found = new Map(
    yield* Effect.forEach(ids, ([connection, ids]) =>
      Effect.map(contentsById(connection, ids), (rows) => [connection, rows] as const)
    )
  )
  const changes = body.data.changes.flatMap((change) => {
    const row = found.get(change.connection)?.get(change.content.externalId)
    return row === undefined ? [] : [{ ...change, content: { ...contentRow(row), state: change.content.state } }]
  })
  return yield* Effect.orDie(encode({ ...body, data: { ...body.data, changes } }))
})

/** The body of a test message. */
export const Ping = Schema.Struct({
  type: Schema.Literal("webhook.ping"),
  timestamp: Time,
  data: Schema.Struct({ webhook: WebhookId })
})
