/** From an event at Slack to the store, through the poller. The next scheduled poll is minutes away. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SlackServer from "../../support/SlackServer.ts"
import * as Polling from "../../support/slack/Polling.ts"
import * as SocketMode from "../../support/slack/SocketMode.ts"

describe("an event", () => {
  it.live("brings a message, a late reply, an edit and a deletion to the store, also after a reconnect", () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make({ now: 1_690_000_000 })
      const mode = yield* SocketMode.make(server)
      const { workspace } = server
      const general = workspace.addChannel("general")
      const old = workspace.post(general, "old", { ts: "1600000000.000100" })
      const edited = workspace.post(general, "edited", { ts: "1600000001.000100" })
      const goes = workspace.post(general, "goes")
      for (let index = 0; index < 250; index++) workspace.post(general, `message ${index}`)
      const { id } = yield* Polling.connect(mode.url, { token: server.token, appToken: SocketMode.appToken })
      const until = (externalId: string, text: string | undefined) =>
        Effect.repeat(Effect.delay(Polling.textOf(id, externalId), "20 millis"), { until: (found) => found === text })
      const listening = Effect.repeat(
        Effect.delay(
          Effect.sync(() => mode.sockets.size),
          "20 millis"
        ),
        {
          until: (sockets) => sockets === 1
        }
      )
      yield* listening
      yield* until(`${general}/${old}`, "old")

      const fresh = workspace.post(general, "fresh")
      const late = workspace.post(general, "late", { thread: old })
      workspace.edit(general, edited, "edited again")
      workspace.delete(general, goes)
      yield* until(`${general}/${fresh}`, "fresh")
      yield* until(`${general}/${late}`, "late")
      yield* until(`${general}/${edited}`, "edited again")
      yield* until(`${general}/${goes}`, undefined)

      mode.refresh()
      yield* Effect.repeat(
        Effect.delay(
          Effect.sync(() => mode.opened()),
          "20 millis"
        ),
        { until: (count) => count >= 2 }
      )
      yield* listening
      const again = workspace.post(general, "after the reconnect")
      yield* until(`${general}/${again}`, "after the reconnect")
      assert.isTrue(mode.acknowledged.length >= 5)
    }).pipe(Effect.scoped, Effect.provide(Polling.layer))
  )
})
