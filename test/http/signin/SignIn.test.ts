import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Http from "node:http"
import { Gauges } from "../../../src/engine/telemetry/Gauges.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { Ready } from "../../../src/http/system/Readiness.ts"
import * as Server from "../../../src/http/Server.ts"
import { Settings } from "../../../src/http/ServerSettings.ts"
import { integration as gmail } from "../../../src/integrations/Gmail.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { fetch } from "../../support/Fetch.ts"
import * as Provider from "../../support/Provider.ts"
import * as TestEngine from "../../support/TestEngine.ts"

const token = "a-token-of-some-length"

const serverLayer = (env: Record<string, string>) =>
  Server.layer.pipe(
    Layer.provide(Layer.mergeAll(Layer.provide(Ready.layer, TestEngine.polling), Gauges.layer, Settings.layer)),
    Layer.provideMerge(TestEngine.engineOver(Memory.layer, gmail)),
    Layer.provide(NodeServices.layer),
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error")),
    Layer.provide(
      ConfigProvider.layer(
        ConfigProvider.fromEnv({ env: { PORT: "0", IDEM_SOURCE_ALLOW: "127.0.0.1,localhost", ...env } })
      )
    )
  )

const request = (url: string, init: RequestInit = {}) =>
  Effect.promise(() => fetch(url, { redirect: "manual", ...init }))

/** Begins a sign-in as a page does, with these headers. Returns the provider's URL, and the cookie that was set. */
const begin = Effect.fnUntraced(function* (
  server: string,
  body: object,
  headers: Record<string, string> = { authorization: `Bearer ${token}` }
) {
  const answer = yield* request(`${server}/sign-in`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ domain: "gmail", name: "me & you", ...Provider.client, ...body })
  })
  const json = (yield* Effect.promise(() => answer.json())) as { readonly url?: string; readonly detail?: string }
  const set = answer.headers.get("set-cookie") ?? ""
  return { status: answer.status, url: json.url ?? "", detail: json.detail ?? "", set, cookie: set.split(";")[0] ?? "" }
})

/**
 * Sends the browser to the URL to which the provider redirected it, with this cookie. (`fetch` declares that it is not
 * a navigation.)
 */
const back = (url: URL, cookie: string) =>
  Effect.callback<{ readonly status: number; readonly location: string; readonly referrer: unknown }>((resume) => {
    const headers = { cookie, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }
    Http.get(url, { headers, agent: false }, (answer) => {
      answer.resume()
      const { location = "", "referrer-policy": referrer } = answer.headers
      resume(Effect.succeed({ status: answer.statusCode ?? 0, location, referrer }))
    }).on("error", (error) => resume(Effect.die(error)))
  })

describe("signing in over HTTP", () => {
  it.live("leads to the provider and back to the connection, in the browser that began", () =>
    Effect.gen(function* () {
      const server = yield* Server.url
      const callback = `${server}/sign-in/callback`
      const rootUrl = yield* Provider.google([callback])
      const config = { rootUrl }
      const began = yield* begin(server, { config })
      assert.strictEqual(began.status, 200, began.detail)
      assert.strictEqual(new URL(began.url).searchParams.get("redirect_uri"), callback)
      assert.match(began.set, /HttpOnly/)
      assert.match(began.set, /SameSite=Lax/)
      assert.match(began.set, /Path=\/sign-in/)
      const agreed = yield* Effect.promise(() => Provider.agree(began.url, "me@example.com"))
      // A person who has the link, but uses another browser, gets nothing, and the link becomes invalid.
      const stolen = yield* back(agreed, "")
      assert.strictEqual(stolen.status, 302)
      assert.match(stolen.location, /^\/#\/sign-in-failed\?message=.*another\+browser/)
      assert.match((yield* back(agreed, began.cookie)).location, /sign-in-failed.*before/)
      const store = yield* WholeStore
      assert.deepStrictEqual(yield* store.connections, [])

      const again = yield* begin(server, { config }, { authorization: `Bearer ${token}`, cookie: began.cookie })
      assert.strictEqual(again.cookie, began.cookie)
      const done = yield* back(yield* Effect.promise(() => Provider.agree(again.url, "me@example.com")), again.cookie)
      assert.deepStrictEqual(done, { status: 302, location: "/#/connections/me%20%26%20you", referrer: "no-referrer" })
      assert.strictEqual((yield* store.connections)[0]?.account, "me@example.com")

      // The same code again, and a person who refuses.
      const denied = yield* begin(server, { config, name: "other" })
      const no = new URL(callback)
      no.searchParams.set("state", new URL(denied.url).searchParams.get("state") ?? "")
      no.searchParams.set("error", "access_denied")
      assert.match((yield* back(no, denied.cookie)).location, /sign-in-failed\?message=.*access\+was\+denied/)
    }).pipe(Effect.scoped, Effect.provide(serverLayer({ IDEM_API_TOKEN: token })))
  )

  it.live("needs the token, and says what can't be begun", () =>
    Effect.gen(function* () {
      const server = yield* Server.url
      assert.strictEqual((yield* begin(server, {}, {})).status, 401)
      const none = yield* begin(server, { clientId: undefined, clientSecret: undefined })
      assert.strictEqual(none.status, 422)
      assert.match(none.detail, /IDEM_GMAIL_CLIENT_ID/)
      assert.strictEqual((yield* begin(server, { domain: "nothing" })).status, 422)
      assert.strictEqual((yield* begin(server, { scope: "all" })).status, 400)
      const strange = yield* back(new URL(`${server}/sign-in/callback?state=made-up&code=c&scope=x`), "")
      assert.match(strange.location, /^\/#\/sign-in-failed/)
      const page = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", origin: "https://evil.example" }
      assert.notStrictEqual((yield* begin(server, {}, page)).status, 200)
    }).pipe(Effect.provide(serverLayer({ IDEM_API_TOKEN: token })))
  )

  it.live("is sent back to where IDEM_PUBLIC_URL says, and begins only on a page of that host", () =>
    Effect.gen(function* () {
      const server = yield* Server.url
      const { url } = yield* begin(server, {}, {})
      const asked = new URL(url).searchParams
      assert.strictEqual(asked.get("redirect_uri"), "https://idem.example/mail/sign-in/callback")
      // The callback would come without the cookie, which the browser keeps for the other host.
      const elsewhere = yield* begin(server, {}, { origin: server, "sec-fetch-site": "same-origin" })
      assert.strictEqual(elsewhere.status, 422)
      assert.match(elsewhere.detail, /^open this page at https:\/\/idem\.example\/mail\/ to sign in/)
    }).pipe(Effect.provide(serverLayer({ IDEM_PUBLIC_URL: "https://idem.example/mail/" })))
  )
})
