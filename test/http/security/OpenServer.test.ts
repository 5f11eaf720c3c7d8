import { assert, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Deriver } from "../../../src/derive/Deriver.ts"
import { Settings } from "../../../src/http/ServerSettings.ts"
import { ask, layer, TestServer, token } from "../../support/HttpServer.ts"

const live = { excludeTestServices: true } as const

const readers = Layer.effect(
  Deriver,
  Effect.map(Deriver, (deriver) => ({
    ...deriver,
    tokens: { ...deriver.tokens, scopeOf: () => Effect.succeedSome([]) }
  }))
)

it.layer(layer(), live)("without a token, on this machine", (it) => {
  it.effect("programs of this machine may ask, by its names", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const port = new URL(url).port
      const read = (host: string) =>
        Effect.map(ask(`${url}/connections`, { headers: { host } }), ({ status }) => status)
      for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, "localhost", `[::1]:${port}`, "127.1.2.3"]) {
        assert.strictEqual(yield* read(host), 200, host)
      }
    })
  )

  it.effect("a read token that was revoked, or is not of this server, opens nothing", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      for (const path of ["/connections", "/search?q=a"]) {
        const { json, status } = yield* ask(`${url}${path}`, { headers: { authorization: "Bearer idem_read_no" } })
        assert.strictEqual(status, 401, path)
        assert.include((json as { readonly detail: string }).detail, "revoked")
      }
    })
  )

  it.effect("a name of somebody else's that points here (DNS rebinding) is refused, whatever is asked", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      for (const host of [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1"
      ]) {
        for (const path of ["/connections", "/session", "/health", "/openapi.json", "/metrics"]) {
          for (const more of [{}, { "x-forwarded-host": "localhost", "x-forwarded-for": "127.0.0.1" }]) {
            const refused = yield* ask(`${url}${path}`, { headers: { host, ...more } })
            assert.strictEqual(refused.status, 403, `${host} ${path}`)
          }
        }
      }
    })
  )

  it.effect("what a proxy says that it passed on is refused, though it asks by a name of this machine", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      for (const header of ["x-forwarded-for", "forwarded", "via"]) {
        const { json, status } = yield* ask(`${url}/connections`, { headers: { [header]: "1.1 proxy" } })
        assert.strictEqual(status, 403, header)
        assert.include((json as { readonly detail: string }).detail, "set IDEM_API_TOKEN")
      }
    })
  )

  it.effect("pages of other sites may not ask, not even for a session", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const post = (path: string, headers: Record<string, string>) =>
        Effect.map(ask(`${url}${path}`, { method: "POST", headers, body: {} }), ({ status }) => status)
      assert.strictEqual(yield* post("/connections/none/pause", { origin: "https://evil.example" }), 403)
      assert.strictEqual(yield* post("/connections/none/pause", { "sec-fetch-site": "cross-site" }), 403)
      assert.strictEqual(yield* post("/connections/none/pause", { origin: url }), 404)
      const read = yield* ask(`${url}/connections`, { headers: { "sec-fetch-site": "cross-site" } })
      assert.strictEqual(read.status, 403)
      assert.isUndefined(read.headers["access-control-allow-origin"])
    })
  )

  it.effect("a session says that no token is needed", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const session = (yield* ask("/session")).json as Record<string, unknown>
      assert.strictEqual(session["tokenRequired"], false)
      assert.strictEqual(session["authenticated"], true)
      const signedIn = yield* ask("/session", { method: "POST", body: { token: "any" } })
      assert.strictEqual(signedIn.status, 200)
      assert.isUndefined(signedIn.headers["set-cookie"])
    })
  )
})

it.layer(Layer.provide(layer(), readers), live)("without a token, for agents", (it) => {
  it.effect("a read token opens what it may read, and nothing else", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const read = (headers: Record<string, string>) =>
        Effect.map(ask(`${url}/connections`, { headers }), ({ status }) => status)
      assert.strictEqual(yield* read({ authorization: "Bearer idem_read_yes" }), 403)
      assert.strictEqual(yield* read({ authorization: "Bearer another" }), 200)
      assert.strictEqual(yield* read({}), 200)
    })
  )
})

it.effect("settings that would open the server to others are refused, and say what to do", () =>
  Effect.gen(function* () {
    const settings = (env: Record<string, string>) =>
      Effect.scoped(Layer.build(Settings.layer)).pipe(
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
        Effect.as("fine"),
        Effect.catch(({ message }) => Effect.succeed(message))
      )
    for (const HOST of ["0.0.0.0", "::", "192.168.1.2", "example.com"]) {
      assert.match(yield* settings({ HOST }), /IDEM_API_TOKEN.*make one with/)
      assert.strictEqual(yield* settings({ HOST, IDEM_API_TOKEN: token }), "fine")
      assert.match(yield* settings({ HOST, IDEM_API_TOKEN: "" }), /IDEM_API_TOKEN/)
    }
    for (const HOST of ["127.0.0.1", "127.3.4.5", "::1", "localhost"]) {
      assert.strictEqual(yield* settings({ HOST }), "fine")
    }
    assert.match(yield* settings({ IDEM_API_TOKEN: "short" }), /at least 16/)
    assert.notInclude(yield* settings({ IDEM_API_TOKEN: "short" }), "short")
    assert.match(yield* settings({ IDEM_API_TOKEN: "of more words than one" }), /header/)
    assert.match(yield* settings({ IDEM_TRUSTED_PROXIES: "10.0.0.0/8, proxy" }), /"proxy"/)
    assert.strictEqual(yield* settings({ IDEM_TRUSTED_PROXIES: "10.0.0.0/8, ::1,192.0.2.1" }), "fine")
    assert.match(yield* settings({ PORT: "70000" }), /PORT/)
  })
)
