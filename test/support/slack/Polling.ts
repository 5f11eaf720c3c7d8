/** A connection to the stand-in, polled by the real poller in real time, over a store in memory. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import type * as Schema from "effect/Schema"
import { Engine } from "../../../src/engine/Engine.ts"
import * as Scheduler from "../../../src/engine/schedule/Scheduler.ts"
import * as Slack from "../../../src/integrations/Slack.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { engineOver } from "../TestEngine.ts"

export const layer = Scheduler.layer.pipe(
  Layer.provideMerge(engineOver(Memory.layer, Slack.integration)),
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error"))
)

/** Creates a connection that is polled every 5 minutes, and waits until its first poll has ended. */
export const connect = Effect.fnUntraced(function* (slackApiUrl: string, credentials: Schema.Json) {
  const { connection } = yield* (yield* Engine).connect({
    domain: "slack",
    name: "slack",
    config: { slackApiUrl, quota: { unitsPerMinute: 1_000_000_000 } },
    credentials,
    every: undefined
  })
  const store = yield* WholeStore
  const polled = Effect.flatMap(store.connection(connection.id), Effect.fromOption)
  yield* Effect.repeat(Effect.delay(polled, "50 millis"), {
    until: ({ lastCheckedAt, lease }) => lastCheckedAt !== null && lease === null
  })
  return connection
})

/** Returns the stored text of a message; undefined if the message is not stored. */
export const textOf = Effect.fnUntraced(function* (
  connectionId: Effect.Success<ReturnType<typeof connect>>["id"],
  externalId: string
) {
  const store = yield* WholeStore
  const row = yield* store.content(connectionId, externalId)
  return row._tag === "Some" && row.value.state === "stored" ? (row.value.title ?? undefined) : undefined
})
