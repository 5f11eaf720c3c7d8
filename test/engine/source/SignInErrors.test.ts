import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type * as Schema from "effect/Schema"
import { Engine } from "../../../src/engine/Engine.ts"
import * as SignIn from "../../../src/engine/source/SignIn.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Provider from "../../support/Provider.ts"
import { me, redirectUri, layer, begin, finish } from "./signInFixture.ts"

describe("signing in", () => {
  it.live("sends only a given client to another address, never the one of the settings", () =>
    Effect.gen(function* () {
      const rootUrl = yield* Provider.google([redirectUri])
      const endpoint = yield* Provider.tokenEndpoint
      const settings = ConfigProvider.fromEnv({
        env: {
          IDEM_GMAIL_CLIENT_ID: "from settings",
          IDEM_GMAIL_CLIENT_SECRET: "s",
          IDEM_SLACK_CLIENT_ID: "from settings"
        }
      })
      const refused = Effect.fnUntraced(function* (input: Partial<SignIn.BeginInput>, field: string) {
        const error = yield* Effect.flip(
          begin({ client: undefined, ...input }).pipe(Effect.provide(ConfigProvider.layer(settings)))
        )
        assert.match(error.message, new RegExp(`client id is missing: give clientId.*${field} names another`))
      })
      yield* refused({ config: { rootUrl: endpoint.url } }, "rootUrl")
      yield* refused({ domain: "slack", config: { slackApiUrl: endpoint.url } }, "slackApiUrl")

      const { url } = yield* begin({ config: { rootUrl } })
      yield* finish((yield* Effect.promise(() => Provider.agree(url, me))).searchParams)
      // The stored client is used only at the server for which it was given.
      const again = yield* begin({ config: undefined, client: undefined })
      yield* refused({ config: { rootUrl: endpoint.url } }, "rootUrl")
      const elsewhere = yield* Effect.flip(begin({ config: {}, client: undefined }))
      assert.match(elsewhere.message, /client id is missing/)

      // A sign-in that is under way does not follow a connection whose server is changed meanwhile.
      const { searchParams } = yield* Effect.promise(() => Provider.agree(again.url, me))
      const theirs = yield* GmailServer.make({ email: me })
      yield* Engine.use((engine) =>
        engine.connect({
          domain: "gmail",
          name: "me",
          config: { rootUrl: theirs.url },
          credentials: { accessToken: "token" },
          every: undefined
        })
      )
      const moved = yield* Effect.flip(finish(searchParams))
      assert.match(moved.message, /^rootUrl of "me" was changed meanwhile: start again/)
      assert.notInclude(
        theirs.seen.map(({ method }) => method),
        "oauth2.token"
      )
      assert.deepStrictEqual(endpoint.forms, [])
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("a state works once, in the browser that began", () =>
    Effect.gen(function* () {
      const rootUrl = yield* Provider.google([redirectUri])
      const start = () =>
        Effect.gen(function* () {
          const { url } = yield* begin({ config: { rootUrl } })
          return (yield* Effect.promise(() => Provider.agree(url, me))).searchParams
        })
      const first = yield* start()
      const elsewhere = yield* Effect.flip(finish(first, "another browser"))
      assert.match(elsewhere.message, /started in another browser/)
      // The first caller has consumed the state.
      assert.match((yield* Effect.flip(finish(first))).message, /was completed before/)
      const second = yield* start()
      yield* finish(second)
      second.set("code", "another code")
      assert.match((yield* Effect.flip(finish(second))).message, /was completed before/)
      // The code of one sign-in does not match the state of another.
      const [third, fourth] = [yield* start(), yield* start()]
      third.set("code", fourth.get("code") ?? "")
      const swapped = yield* Effect.flip(finish(third))
      assert.match(swapped.message, /did not give tokens for the code \(invalid_grant\)/)
      const strange = new URLSearchParams({ state: "made up", code: "c" })
      assert.match((yield* Effect.flip(finish(strange))).message, /sign-in is unknown/)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("what a token endpoint does wrong is said without a secret", () =>
    Effect.gen(function* () {
      const endpoint = yield* Provider.tokenEndpoint
      const scope = "https://www.googleapis.com/auth/gmail.readonly"
      const secret = "ya29.a-secret"
      const json = (status: number, body: Schema.Json) => ({ status, body: JSON.stringify(body) })
      const cases = [
        [json(400, { error: "invalid_client", error_description: secret }), /\(invalid_client\)/],
        [json(400, { error: secret }), /did not give tokens/],
        [json(500, { error: "internal_failure" }), /provider/],
        [{ status: 200, body: `<html>${secret}` }, /does not follow OAuth 2/],
        [json(200, { token_type: "Bearer" }), /does not follow OAuth 2/],
        [json(200, { access_token: secret, token_type: "mac" }), /does not follow OAuth 2/],
        [json(200, { access_token: secret, token_type: "Bearer", scope }), /no refresh token/],
        [
          json(200, { access_token: secret, token_type: "Bearer", refresh_token: "r", scope: "openid" }),
          /reading the mail was not allowed/
        ]
      ] as const
      for (const [answer, expected] of cases) {
        endpoint.answer = answer
        const { url } = yield* begin({ config: { rootUrl: endpoint.url } })
        const state = new URL(url).searchParams.get("state") ?? ""
        const error = yield* Effect.flip(finish(new URLSearchParams({ state, code: "4/code" })))
        assert.match(error.message, expected)
        for (const hidden of [secret, "4/code", Provider.client.clientSecret, state]) {
          assert.notInclude(JSON.stringify(error), hidden)
        }
      }
      const form = endpoint.forms.at(-1)
      assert.match(form?.get("code_verifier") ?? "", /^[\w-]{43,}$/)
      const [denied, foreign] = [yield* begin({ config: { rootUrl: endpoint.url } }), yield* begin({})]
      const stateOf = (url: string) => new URL(url).searchParams.get("state") ?? ""
      const asked = endpoint.forms.length
      const no = new URLSearchParams({ state: stateOf(denied.url), error: "access_denied" })
      assert.match((yield* Effect.flip(finish(no))).message, /access was denied/)
      // A code from one provider's server is not sent to another provider.
      const mixed = new URLSearchParams({ state: stateOf(foreign.url), code: "c", iss: "https://evil.example" })
      assert.match((yield* Effect.flip(finish(mixed))).message, /does not follow OAuth 2/)
      assert.strictEqual(endpoint.forms.length, asked)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.effect("a token endpoint that does not answer is given up, and a sign-in ends after 10 minutes", () =>
    Effect.gen(function* () {
      const endpoint = yield* Provider.tokenEndpoint
      endpoint.answer = "hang"
      const config = { rootUrl: endpoint.url }
      const state = Effect.map(begin({ config }), ({ url }) => new URL(url).searchParams.get("state") ?? "")
      const slow = yield* Effect.forkChild(Effect.flip(finish(new URLSearchParams({ state: yield* state, code: "c" }))))
      yield* endpoint.asked
      yield* TestClock.adjust("31 seconds")
      assert.match((yield* Fiber.join(slow)).message, /gave no answer/)
      const late = new URLSearchParams({ state: yield* state, code: "c" })
      yield* TestClock.adjust("11 minutes")
      assert.match((yield* Effect.flip(finish(late))).message, /longer than 10 minutes/)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.effect("what can't be begun is said: no client, no such sign-in, a name of another kind", () =>
    Effect.gen(function* () {
      const none = yield* Effect.flip(begin({ client: undefined }))
      assert.match(none.message, /client id is missing.*IDEM_GMAIL_CLIENT_ID and IDEM_GMAIL_CLIENT_SECRET/)
      const half = yield* Effect.flip(begin({ client: { clientId: "c", clientSecret: undefined } }))
      assert.match(half.message, /client secret is missing/)
      assert.match((yield* Effect.flip(begin({ domain: "nothing" }))).message, /there is no integration/)
      assert.match((yield* Effect.flip(begin({ config: { rootUrl: "ftp://x" } }))).message, /rootUrl/)
      const settings = ConfigProvider.fromEnv({
        env: { IDEM_GMAIL_CLIENT_ID: "from settings", IDEM_GMAIL_CLIENT_SECRET: "s" }
      })
      const { url } = yield* begin({ client: undefined }).pipe(Effect.provide(ConfigProvider.layer(settings)))
      assert.strictEqual(new URL(url).searchParams.get("client_id"), "from settings")
    }).pipe(Effect.provide(layer))
  )
})
