import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import { Engine } from "../../../src/engine/Engine.ts"
import { credentialsContext } from "../../../src/engine/secrets/Vault.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import { integration as slack } from "../../../src/integrations/Slack.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Database from "../../support/Postgres.ts"
import * as Provider from "../../support/Provider.ts"
import { me, redirectUri, layerOver, layer, client, begin, finish } from "./signInFixture.ts"

const stored = Effect.gen(function* () {
  const store = yield* WholeStore
  const vault = yield* Vault.Vault
  const [connection] = yield* store.connections
  assert.isDefined(connection)
  const json = yield* vault.unseal(connection.credentials ?? new Uint8Array(), credentialsContext(connection))
  return { connection, credentials: json as Schema.JsonObject }
})

describe("signing in", () => {
  it.live(
    "at Google: with PKCE, for reading only, to a connection whose grant lasts; again, and with no other account",
    () =>
      Effect.gen(function* () {
        const rootUrl = yield* Provider.google([redirectUri])
        const { url } = yield* begin({ config: { rootUrl } })
        const asked = new URL(url).searchParams
        assert.strictEqual(asked.get("scope"), "https://www.googleapis.com/auth/gmail.readonly")
        assert.strictEqual(asked.get("code_challenge_method"), "S256")
        assert.strictEqual(asked.get("access_type"), "offline")
        const back = yield* Effect.promise(() => Provider.agree(url, me))
        assert.strictEqual(back.origin + back.pathname, redirectUri)
        const { connection, created } = yield* finish(back.searchParams)
        assert.isTrue(created)
        assert.strictEqual(connection.account, "me@example.com")
        const { credentials } = yield* stored
        assert.strictEqual(credentials["clientId"], client.clientId)
        assert.match(String(credentials["refreshToken"]), /^google_refresh_/)
        const engine = yield* Engine
        const task = { force: false, forceIds: [], dryRun: false }
        const { counts } = yield* engine.sync(connection, task, { spec: "", wait: true })
        assert.strictEqual(counts.stored, 1)
        // Signs in again for the existing connection, whose client and config are known.
        const again = yield* begin({ config: undefined, client: undefined })
        const renewed = yield* finish((yield* Effect.promise(() => Provider.agree(again.url, me))).searchParams)
        assert.isFalse(renewed.created)
        const other = yield* begin({ config: undefined, client: undefined })
        const wrong = yield* Effect.flip(
          finish((yield* Effect.promise(() => Provider.agree(other.url, "testuser@"))).searchParams)
        )
        assert.match(wrong.message, /mirrors the account me@example.com/)
        const after = yield* stored
        assert.notStrictEqual(after.credentials["refreshToken"], credentials["refreshToken"])
      }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("at Slack: as the person, in Slack's own words", () =>
    Effect.gen(function* () {
      const url = yield* Provider.slack([redirectUri])
      const began = yield* begin({ domain: "slack", config: { slackApiUrl: `${url}/api/` } })
      const asked = new URL(began.url).searchParams
      assert.isNull(asked.get("scope"))
      // An app with a secret has not switched to PKCE, and Slack refuses it there (nango#4640, centaur#1100).
      assert.isNull(asked.get("code_challenge"))
      const publicClient = { clientId: client.clientId, clientSecret: undefined }
      const withoutSecret = yield* begin({
        domain: "slack",
        config: { slackApiUrl: `${url}/api/` },
        client: publicClient
      })
      assert.strictEqual(new URL(withoutSecret.url).searchParams.get("code_challenge_method"), "S256")
      const scopes = (asked.get("user_scope") ?? "").split(",")
      assert.include(scopes, "channels:history")
      assert.deepStrictEqual(
        scopes.filter((scope) => /write|admin|chat:/.test(scope)),
        []
      )
      const back = yield* Effect.promise(() => Provider.agree(began.url))
      const { connection } = yield* finish(back.searchParams)
      assert.match(connection.account, /^T\w+\/U\w+$/)
      const first = (yield* stored).credentials
      assert.match(String(first["token"]), /^xoxp-/)

      // A sign-in returns no app-level token, so the stored one is kept.
      const connectAs = (credentials: Schema.Json) =>
        Engine.use((engine) =>
          engine.connect({ domain: "slack", name: "me", config: undefined, credentials, every: undefined })
        )
      yield* connectAs({ ...first, appToken: "xapp-1" })
      const again = yield* begin({ domain: "slack", config: undefined })
      yield* finish((yield* Effect.promise(() => Provider.agree(again.url))).searchParams)
      const { credentials } = yield* stored
      assert.notStrictEqual(credentials["token"], first["token"])
      assert.strictEqual(credentials["appToken"], "xapp-1")
      // Credentials that a person provides are not combined with stored ones.
      yield* connectAs(first)
      assert.deepStrictEqual((yield* stored).credentials, first)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.effect("at Slack: the app-level token is kept for the same app only", () =>
    Effect.gen(function* () {
      const { signIn } = slack
      if (signIn === undefined) return assert.fail("Slack has a sign-in")
      const of = (clientId: string) => ({ clientId, refreshToken: `xoxe-${clientId}` })
      const before = { ...of("one"), appToken: "xapp-1" }
      assert.deepStrictEqual(yield* signIn.keep(of("one"), before), before)
      assert.deepStrictEqual(yield* signIn.keep(of("two"), before), of("two"))
      assert.deepStrictEqual(yield* signIn.keep({ token: "xoxp-2" }, before), { token: "xoxp-2", appToken: "xapp-1" })
      assert.deepStrictEqual(yield* signIn.keep({ token: "xoxp-2" }, { token: "xoxp-1" }), { token: "xoxp-2" })
      assert.deepStrictEqual(yield* signIn.keep({ token: "xoxp-2" }, { other: true }), { token: "xoxp-2" })
    })
  )

  // A page that is slow is loaded again, and some browsers and extensions load each page twice (better-auth#7710).
  it.live("is finished although its browser has left, and a redirect that comes again gets the same connection", () =>
    Effect.gen(function* () {
      const server = yield* GmailServer.make({ email: me })
      server.authorize("the code")
      const { url } = yield* begin({ config: { rootUrl: server.url } })
      const state = new URL(url).searchParams.get("state") ?? ""
      const redirect = finish(new URLSearchParams({ state, code: "the code" }))
      const exchanged = yield* Deferred.make<void>()
      server.holds = ({ method }) => method === "oauth2.token"
      server.before("oauth2.token", () => Deferred.doneUnsafe(exchanged, Exit.void))
      const left = yield* Effect.forkChild(redirect)
      yield* Deferred.await(exchanged)
      yield* Fiber.interrupt(left)
      const again = yield* Effect.forkChild(redirect, { startImmediately: true })
      server.release()
      assert.strictEqual((yield* Fiber.join(again)).connection.account, me)
      assert.strictEqual((yield* redirect).connection.account, me)
      assert.strictEqual(server.count("oauth2.token"), 1)
      const other = yield* Effect.flip(finish(new URLSearchParams({ state, code: "the code" }), "another browser"))
      assert.match(other.message, /was completed before/)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("may end in another process than it began in", () =>
    Effect.gen(function* () {
      const rootUrl = yield* Provider.google([redirectUri])
      const shared = yield* Layer.build(Layer.provide(Postgres.layer, Layer.provideMerge(Blobs.layer, Database.layer)))
      const process = Layer.build(Layer.fresh(layerOver(Layer.succeedContext(shared))))
      const [one, other] = [yield* process, yield* process]
      const { url } = yield* Effect.provideContext(begin({ config: { rootUrl } }), one)
      const { searchParams } = yield* Effect.promise(() => Provider.agree(url, me))
      const { connection } = yield* Effect.provideContext(finish(searchParams), other)
      assert.strictEqual(connection.account, me)
      const again = yield* Effect.flip(Effect.provideContext(finish(searchParams), one))
      assert.match(again.message, /was completed before/)
    }).pipe(Effect.scoped)
  )
})
