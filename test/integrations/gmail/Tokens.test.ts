import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { IntegrationError, Transient } from "../../../src/contract/IntegrationError.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Mirror from "./Mirror.ts"

const grant = { clientId: "client", clientSecret: "client-secret", refreshToken: "refresh-secret" }

const begin = Effect.fnUntraced(function* (options?: Omit<Parameters<typeof Mirror.open>[0], "url">) {
  const server = yield* GmailServer.make()
  const mirror = yield* Mirror.open({ url: server.url, ...options })
  return { server, mailbox: server.mailbox, mirror }
})

describe("tokens", () => {
  it.live("a grant's token is made once, however many ask, and saved before it is used", () =>
    Effect.gen(function* () {
      const server = yield* GmailServer.make()
      server.grant("refresh-secret")
      const ids = server.mailbox.fill(8)
      let callsAtSave = -1
      const mirror = yield* Mirror.open({
        url: server.url,
        credentials: grant,
        onSave: () => Effect.sync(() => void (callsAtSave = server.count("messages.get")))
      })
      yield* Effect.forEach(ids, (externalId) => mirror.session.download({ externalId }), { concurrency: "unbounded" })
      assert.strictEqual(server.count("oauth2.token"), 1)
      assert.strictEqual(callsAtSave, 0)
      assert.strictEqual(mirror.saved.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("a token that Google refuses is refreshed once for all, and the requests are made again", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin({ credentials: grant })
      server.grant("refresh-secret")
      server.rotate = true
      const ids = mailbox.fill(6)
      yield* mirror.session.account
      server.expireAccessTokens()
      yield* Effect.forEach(ids, (externalId) => mirror.session.download({ externalId }), { concurrency: "unbounded" })
      assert.strictEqual(server.count("oauth2.token"), 2)
      // The last saved credentials open a session without another refresh: they have the rotated grant and its token.
      const again = yield* Mirror.open({ url: server.url, credentials: mirror.saved.at(-1) as Schema.JsonObject })
      assert.strictEqual(yield* again.session.account, "me@example.com")
      assert.strictEqual(server.count("oauth2.token"), 2)
      server.expireAccessTokens()
      assert.strictEqual(yield* again.session.account, "me@example.com")
    }).pipe(Effect.scoped)
  )

  it.live("a token about to end is refreshed before it is used", () =>
    Effect.gen(function* () {
      const { server, mirror } = yield* begin({ credentials: grant })
      server.grant("refresh-secret")
      server.expiresIn = 30
      yield* mirror.session.account
      yield* mirror.session.account
      assert.strictEqual(server.count("oauth2.token"), 2)
    }).pipe(Effect.scoped)
  )

  it.live("a token that can't be saved is not used", () =>
    Effect.gen(function* () {
      const failure = new IntegrationError({ reason: new Transient({ message: "the database is away" }) })
      const { server, mirror } = yield* begin({ credentials: grant, onSave: () => Effect.fail(failure) })
      server.grant("refresh-secret")
      assert.strictEqual(yield* Effect.flip(mirror.session.account), failure)
      assert.strictEqual(server.count("getProfile"), 0)
    }).pipe(Effect.scoped)
  )

  it.live("a revoked grant is Unauthorized, whichever token it was", () =>
    Effect.gen(function* () {
      for (const credentials of [grant, { accessToken: "token" }]) {
        const { server, mirror } = yield* begin({ credentials })
        server.grant("refresh-secret")
        yield* mirror.session.account
        server.revoke()
        const error = yield* Effect.flip(Mirror.sync(mirror))
        assert.strictEqual("reason" in error && error.reason._tag, "Unauthorized")
        assert.notInclude(error.message, "secret")
        // At most two requests: one with the old token, and one for a new token.
        assert.isAtMost(server.count("getProfile") + server.count("oauth2.token"), 4)
      }
    }).pipe(Effect.scoped)
  )

  it.live("a token endpoint that is down is transient", () =>
    Effect.gen(function* () {
      const { server, mirror } = yield* begin({ credentials: grant })
      server.grant("refresh-secret")
      server.fault("oauth2.token", GmailServer.status(503))
      server.fault("oauth2.token", { _tag: "Reset" })
      server.fault("oauth2.token", { _tag: "Change", change: () => "not JSON" })
      for (let round = 0; round < 3; round++) {
        assert.strictEqual((yield* Effect.flip(mirror.session.account)).reason._tag, "Transient")
      }
      assert.strictEqual(yield* mirror.session.account, "me@example.com")
    }).pipe(Effect.scoped)
  )

  it.live("another account's token says whose it is", () =>
    Effect.gen(function* () {
      const { server } = yield* begin()
      server.allow("hers", "her@example.com")
      const mirror = yield* Mirror.open({ url: server.url, credentials: { accessToken: "hers" } })
      assert.strictEqual(yield* mirror.session.account, "her@example.com")
    }).pipe(Effect.scoped)
  )
})
