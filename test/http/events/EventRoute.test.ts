import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createHmac } from "node:crypto"
import { HintRouter, type Target } from "../../../src/engine/schedule/HintRouter.ts"
import { Integrations } from "../../../src/engine/source/Integrations.ts"
import * as Slack from "../../../src/integrations/Slack.ts"
import { ask, layer as serving, TestServer, token } from "../../support/HttpServer.ts"
import { callbackOf } from "../../support/slack/SocketMode.ts"

const secrets = ["first-app-secret", "second-app-secret"]
const integrations = Integrations.layer({ slack: Effect.succeed(Slack.integration) })

const offered: Array<readonly [Target, string | undefined]> = []
const router = Layer.succeed(HintRouter, {
  offer: (target, part) => Effect.sync(() => void offered.push([target, part]))
})

const layer = (env: Readonly<Record<string, string>>) =>
  serving({ env: { IDEM_API_TOKEN: token, ...env }, beside: Layer.merge(integrations, router) })

const signed = (body: string, options: { secret?: string; at?: number } = {}) => {
  const at = String(Math.floor((options.at ?? Date.now()) / 1000))
  const hash = createHmac("sha256", options.secret ?? secrets[0] ?? "")
    .update(`v0:${at}:${body}`)
    .digest("hex")
  return {
    "content-type": "application/json",
    "x-slack-request-timestamp": at,
    "x-slack-signature": `v0=${hash}`
  }
}

const event = JSON.stringify(callbackOf({ type: "message", channel: "C1", ts: "1.1" }))

describe("POST /events/slack", () => {
  it.layer(layer({ IDEM_SLACK_SIGNING_SECRET: secrets.join(", ") }), { excludeTestServices: true })((it) => {
    /** Posts without the API's token, as Slack does. */
    const post = (body: string, headers: Record<string, string>, path = "/events/slack") =>
      Effect.flatMap(TestServer, ({ url }) => ask(`${url}${path}`, { method: "POST", body, headers }))

    it.effect("passes on the hints of an event that Slack has signed, as often as it comes", () =>
      Effect.gen(function* () {
        offered.length = 0
        for (const secret of secrets) assert.strictEqual((yield* post(event, signed(event, { secret }))).status, 200)
        const again = yield* post(event, {
          ...signed(event),
          "x-slack-retry-num": "1",
          "x-slack-retry-reason": "http_timeout"
        })
        assert.deepStrictEqual([again.status, again.text], [200, ""])
        const hint = [{ domain: "slack", account: "T00000001" }, "C1"] as const
        assert.deepStrictEqual(offered, [hint, hint, hint])
      })
    )

    it.effect("answers Slack's challenge", () =>
      Effect.gen(function* () {
        const body = JSON.stringify({ token: "old", challenge: "3eZbrw1aB", type: "url_verification" })
        assert.deepStrictEqual((yield* post(body, signed(body))).json, { challenge: "3eZbrw1aB" })
        assert.strictEqual((yield* post(body, signed(body, { secret: "wrong" }))).status, 401)
      })
    )

    it.effect("refuses what is not signed, not signed just now, or not signed as it is", () =>
      Effect.gen(function* () {
        offered.length = 0
        const right = signed(event)
        const old = Date.now() - 301_000
        const refused = [
          { "content-type": "application/json" },
          { ...right, "x-slack-signature": "" },
          { ...right, "x-slack-signature": right["x-slack-signature"].slice(0, -1) },
          { ...right, "x-slack-signature": right["x-slack-signature"].replace("v0=", "v1=") },
          { ...right, "x-slack-request-timestamp": String(Number(right["x-slack-request-timestamp"]) - 1) },
          { ...right, "x-slack-request-timestamp": "now" },
          signed(event, { secret: "another" }),
          signed(event, { secret: "" }),
          signed(event, { at: old }),
          signed(event, { at: Date.now() + 400_000 }),
          signed(`${event} `)
        ]
        for (const headers of refused) {
          const answer = yield* post(event, headers)
          assert.strictEqual(answer.status, 401, JSON.stringify(headers))
          for (const secret of secrets) assert.notInclude(answer.text, secret)
        }
        assert.strictEqual((yield* post(event, signed(event, { at: Date.now() - 200_000 }))).status, 200)
        assert.strictEqual(offered.length, 1)
      })
    )

    it.effect("takes a body of 1 MB at most, and of any shape", () =>
      Effect.gen(function* () {
        const large = `"${"x".repeat(1_000_001)}"`
        assert.strictEqual((yield* post(large, signed(large))).status, 413)
        const { "content-type": _, ...bare } = signed(large)
        assert.strictEqual((yield* post(large, bare)).status, 413)
        for (const body of ["null", "[]", "{}", "", "not JSON"]) {
          const { "content-type": _, ...headers } = signed(body)
          assert.strictEqual((yield* post(body, headers)).status, 200, body)
        }
      })
    )

    it.effect("is the only thing there: other sources receive nothing", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* post(event, signed(event), "/events/gmail")).status, 404)
        assert.strictEqual((yield* post(event, signed(event), "/events/slack/more")).status, 404)
        const { url } = yield* TestServer
        assert.strictEqual((yield* ask(`${url}/events/slack`)).status, 405)
      })
    )
  })

  it.layer(layer({}), { excludeTestServices: true })((it) => {
    it.effect("does not exist without a signing secret", () =>
      Effect.gen(function* () {
        const { url } = yield* TestServer
        const answer = yield* ask(`${url}/events/slack`, {
          method: "POST",
          body: event,
          headers: signed(event, { secret: "" })
        })
        assert.strictEqual(answer.status, 404)
      })
    )
  })
})
