import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import type { Call } from "../../../src/contract/Integration.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { Model, open } from "../../support/slack/Model.ts"
import { setup, bytes } from "./downloads.ts"

describe("an app with token rotation", () => {
  const rotating = { refreshToken: "xoxe-1-first", clientId: "1.2", clientSecret: "s3cret" }
  const scene = Effect.fnUntraced(function* (credentials: Record<string, string>) {
    const { general, server, slack } = yield* setup
    slack.post(general, "hello")
    const saved: Array<Schema.Json> = []
    const save = (next: Schema.Json) => Effect.sync(() => void saved.push(next))
    return { server, saved, session: yield* open(server, {}, undefined, credentials, save) }
  })

  it.live("refreshes its token once, stores both tokens, and again when Slack says that it expired", () =>
    Effect.gen(function* () {
      const { saved, server, session } = yield* scene(rotating)
      const model = new Model()
      yield* model.run(session)
      assert.deepStrictEqual(server.rotation.refreshes, ["xoxe-1-first"])
      assert.deepInclude(saved.at(-1) as Schema.JsonObject, {
        token: "xoxe.xoxp-1-access-1",
        refreshToken: "xoxe-1-refresh-1",
        clientId: "1.2"
      })
      server.expireTokens()
      yield* model.run(session)
      assert.deepStrictEqual(server.rotation.refreshes, ["xoxe-1-first", "xoxe-1-refresh-1"])
    })
  )

  it.live("refreshes a token that has expired before it is used, and keeps one that has not", () =>
    Effect.gen(function* () {
      const expiresAt = (hours: number) => DateTime.formatIso(DateTime.addDuration(DateTime.nowUnsafe(), { hours }))
      const old = yield* scene({ ...rotating, token: "xoxe.xoxp-1-old", expiresAt: expiresAt(-1) })
      yield* old.session.account
      assert.strictEqual(old.server.count("auth.test"), 1)
      assert.strictEqual(old.server.rotation.refreshes.length, 1)
      const fresh = yield* scene({ ...rotating, token: old.server.token, expiresAt: expiresAt(12) })
      yield* fresh.session.account
      assert.deepStrictEqual(fresh.server.rotation.refreshes, [])
    })
  )

  it.live("needs no secret where it has PKCE, and a refused refresh is Unauthorized", () =>
    Effect.gen(function* () {
      const { clientSecret: _, ...withoutSecret } = rotating
      const open = yield* scene(withoutSecret)
      open.server.rotation.clientSecret = undefined
      yield* open.session.account
      const refused = yield* scene({ ...rotating, refreshToken: "xoxe-1-used" })
      const error = yield* Effect.flip(refused.session.account)
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.notInclude(JSON.stringify(error), "xoxe-1-used")
      assert.notInclude(JSON.stringify(error), "s3cret")
    })
  )

  it.live("without rotation a token that Slack refuses is not tried again", () =>
    Effect.gen(function* () {
      const { server, session } = yield* scene({ token: "xoxb-wrong" })
      const error = yield* Effect.flip(session.account)
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.strictEqual(server.count(), 1)
    })
  )
})

describe("what Slack answers", () => {
  const cases: ReadonlyArray<readonly [string, SlackServer.Fault, string]> = [
    ["a 429 with Retry-After", { status: 429, retryAfter: "30" }, "RateLimited"],
    ["a 429 without", { status: 429 }, "RateLimited"],
    ["ratelimited in an answer", { error: "ratelimited" }, "RateLimited"],
    ["a 500", { status: 500 }, "Transient"],
    ["a connection that breaks", "reset", "Transient"],
    ["half a JSON", "not JSON", "Transient"],
    ["internal_error", { error: "internal_error" }, "Transient"],
    ["invalid_auth", { error: "invalid_auth" }, "Unauthorized"],
    ["token_revoked", { error: "token_revoked" }, "Unauthorized"],
    ["account_inactive", { error: "account_inactive" }, "Unauthorized"],
    ["an error nobody knows", { error: "something_new" }, "Malformed"]
  ]
  for (const [name, fault, reason] of cases) {
    it.live(`${name} is ${reason}, from one request and one call`, () =>
      Effect.gen(function* () {
        const { general, server, slack } = yield* setup
        const ts = slack.post(general, "hello")
        let calls = 0
        const counting: Call = (_method, _units, effect) => Effect.suspend(() => (calls++, effect))
        const session = yield* open(server, {}, counting)
        server.fail("conversations.history", fault)
        const error = yield* Effect.flip(session.download({ externalId: `${general}/${ts}` }))
        assert.strictEqual(error.reason._tag, reason)
        if (error.reason._tag === "RateLimited" && typeof fault === "object" && "retryAfter" in fault) {
          assert.strictEqual(error.reason.retryAfter?.toString(), "30000 millis")
        }
        assert.deepStrictEqual([server.count(), calls], [1, 1])
        assert.notInclude(JSON.stringify(error), server.token)
      })
    )
  }

  it.live("a revoked token ends a listing as Unauthorized, a server that is away as Transient", () =>
    Effect.gen(function* () {
      const { server } = yield* setup
      const session = yield* open(server)
      server.refuseAll = "token_revoked"
      const revoked = yield* Effect.flip(new Model().run(session))
      assert.include(JSON.stringify(revoked), "Unauthorized")
      const away = yield* open({ url: "http://127.0.0.1:1/api/", token: server.token })
      assert.include(JSON.stringify(yield* Effect.flip(new Model().run(away))), "Transient")
    })
  )

  it.live("tells who we are, when it is asked and not before", () =>
    Effect.gen(function* () {
      const { server } = yield* setup
      const session = yield* open(server)
      assert.strictEqual(server.count(), 0)
      assert.strictEqual(yield* session.account, "T00000001/U00000001")
    })
  )

  it.live("may fail at any request: the next poll goes on, and nothing is lost or stored twice", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const file = slack.addFile("notes.txt", bytes("the notes"))
      for (let index = 0; index < 90; index++) {
        const ts = slack.post(general, `message ${index}`, { files: index % 40 === 0 ? [file] : [] })
        if (index % 9 === 0) slack.post(general, "reply", { thread: ts })
      }
      server.maxLimit = 20
      yield* new Model().run(yield* open(server))
      const methods = server.requests.map((request) => request.method).filter((method) => !method.startsWith("files."))
      for (const [index] of methods.entries()) {
        const model = new Model()
        let seen = 0
        server.onRequest = ({ method }) => {
          if (!method.startsWith("files.") && seen++ === index) server.fail(method, "reset")
        }
        yield* Effect.exit(model.run(yield* open(server)))
        server.onRequest = () => {}
        yield* model.run(yield* open(server))
        yield* model.run(yield* open(server))
        assert.strictEqual(model.ids(`${general}/`).length, 100)
        assert.isTrue(Array.from(model.rows.values()).every((row) => row.writes === 1))
      }
    })
  )

  it.live("is not waited for once nobody wants it: the request is given up", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const ts = slack.post(general, "hello")
      const [asked, abandoned] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      server.onRequest = () => Deferred.doneUnsafe(asked, Exit.void)
      server.onAbandoned = () => Deferred.doneUnsafe(abandoned, Exit.void)
      server.fail("conversations.history", "no answer")
      const { token, url } = server
      // By sockets alone, so that the server has the request when it is given up.
      const session = yield* open({ token, url })
      const fiber = yield* Effect.forkChild(session.download({ externalId: `${general}/${ts}` }))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(abandoned)
    })
  )
})

it.live("a listing asks for nothing before it is pulled, and stops when it is not pulled any more", () =>
  Effect.gen(function* () {
    const { general, server, slack } = yield* setup
    for (let index = 0; index < 100; index++) slack.post(general, `message ${index}`)
    server.maxLimit = 10
    const model = new Model()
    const session = yield* open(server)
    yield* model.run(session, { pages: 3 })
    assert.isAtMost(server.count(), 4)
  })
)
