/** The path from an event at Slack to the store, through the poller. The next scheduled poll is minutes away. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createHmac } from "node:crypto"
import { Gauges } from "../../../src/engine/telemetry/Gauges.ts"
import * as Server from "../../../src/http/Server.ts"
import { Settings } from "../../../src/http/ServerSettings.ts"
import { Ready } from "../../../src/http/system/Readiness.ts"
import { ask, token } from "../../support/HttpServer.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import * as Polling from "../../support/slack/Polling.ts"
import * as SocketMode from "../../support/slack/SocketMode.ts"

const secret = "the-app's-signing-secret"

/** The HTTP server and the poller in one process, as in `idem serve`. */
const serving = Server.layer.pipe(
  Layer.provide(Layer.mergeAll(Ready.layer, Gauges.layer, Settings.layer)),
  Layer.provideMerge(Polling.layer),
  Layer.provide(
    ConfigProvider.layer(
      ConfigProvider.fromEnv({ env: { PORT: "0", IDEM_API_TOKEN: token, IDEM_SLACK_SIGNING_SECRET: secret } })
    )
  )
)

/** Signs a callback as Slack does (https://docs.slack.dev/authentication/verifying-requests-from-slack). */
const signed = (body: string) => {
  const at = String(Math.floor(Date.now() / 1000))
  const hash = createHmac("sha256", secret).update(`v0:${at}:${body}`).digest("hex")
  const headers = { "x-slack-request-timestamp": at, "x-slack-signature": `v0=${hash}` }
  return { method: "POST", body, headers: { "content-type": "application/json", ...headers } }
}

describe("an event", () => {
  it.live("that Slack posts and signs brings a message, an edit and a late reply to the store", () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make({ now: 1_690_000_000 })
      const { workspace } = server
      const general = workspace.addChannel("general")
      const old = workspace.post(general, "old", { ts: "1600000000.000100" })
      const { id } = yield* Polling.connect(server.url, { token: server.token })
      const until = (externalId: string, text: string) =>
        Effect.repeat(Effect.delay(Polling.textOf(id, externalId), "20 millis"), { until: (found) => found === text })
      yield* until(`${general}/${old}`, "old")
      const bodies: Array<string> = []
      workspace.onEvent = (event) => void bodies.push(JSON.stringify(SocketMode.callbackOf(event)))
      const fresh = workspace.post(general, "fresh")
      const late = workspace.post(general, "late", { thread: old })
      workspace.edit(general, old, "old, edited")
      assert.strictEqual(bodies.length, 3)
      const url = `${yield* Server.url}/events/slack`
      for (const body of bodies) assert.strictEqual((yield* ask(url, signed(body))).status, 200)
      yield* until(`${general}/${fresh}`, "fresh")
      yield* until(`${general}/${late}`, "late")
      yield* until(`${general}/${old}`, "old, edited")
    }).pipe(Effect.scoped, Effect.provide(serving))
  )

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
