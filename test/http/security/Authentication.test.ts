import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Sessions from "../../../src/http/security/Sessions.ts"
import { ask, layer, TestServer, token } from "../../support/HttpServer.ts"

const live = { excludeTestServices: true } as const

/** Returns the cookie that a response sets, as a browser would send it back, and its attributes. */
const cookieOf = (headers: { readonly "set-cookie"?: ReadonlyArray<string> | undefined }) => {
  const [cookie = "", ...attributes] = (headers["set-cookie"]?.[0] ?? "").split("; ")
  return { cookie, attributes: attributes.map((attribute) => attribute.toLowerCase()) }
}

const signIn = Effect.fnUntraced(function* (url: string, headers: Record<string, string> = {}) {
  const answer = yield* ask(`${url}/session`, { method: "POST", headers, body: { token } })
  return { answer, ...cookieOf(answer.headers) }
})

it.layer(layer({ env: { IDEM_API_TOKEN: token } }), live)("with a token", (it) => {
  it.effect("what is stored is told with the token, and not without it or with another", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const tell = (headers: Record<string, string>) =>
        Effect.map(ask(`${url}/connections`, { headers }), ({ status }) => status)
      assert.strictEqual(yield* tell({ authorization: `Bearer ${token}` }), 200)
      assert.strictEqual(yield* tell({ authorization: `bearer   ${token}` }), 200)
      assert.strictEqual(yield* tell({}), 401)
      assert.strictEqual(yield* tell({ authorization: `Bearer ${token}x` }), 401)
      assert.strictEqual(yield* tell({ authorization: `Bearer ${token.slice(1)}` }), 401)
      assert.strictEqual(yield* tell({ authorization: `Basic ${btoa(`a:${token}`)}` }), 401)
      assert.strictEqual(yield* tell({ authorization: token }), 401)
      assert.strictEqual(yield* tell({ cookie: `idem-session=${token}` }), 401)
    })
  )

  it.effect("health, readiness and the session are told to anybody, and nothing else is", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      for (const path of ["/health", "/ready", "/session"]) {
        assert.strictEqual((yield* ask(`${url}${path}`)).status, 200, path)
      }
      const closed = [
        "/connections",
        "/connections/a",
        "/connections/a/content/body?externalId=x",
        "/changes",
        "/integrations",
        "/metrics",
        "/openapi.json",
        "/reference",
        "/reference/script.js",
        // Other spellings of the path of a public route, and of a protected one.
        "//connections",
        "/connections/",
        "/connections;/health",
        "/connections?/health"
      ]
      for (const path of closed) {
        const { json, status, text } = yield* ask(`${url}${path}`)

        assert.deepStrictEqual(
          [status, (json as { type: string }).type],
          [401, "urn:idem:problem:unauthorized"],
          `${path}: ${text}`
        )
      }
    })
  )

  it.effect("a session tells its version and process to who may ask, and to nobody else", () =>
    Effect.gen(function* () {
      const { ask: trusted, url } = yield* TestServer
      const stranger = (yield* ask(`${url}/session`)).json
      assert.deepStrictEqual(stranger, { authenticated: false, tokenRequired: true, version: null, process: null })
      const friend = (yield* trusted("/session")).json as Record<string, unknown>
      assert.strictEqual(friend["authenticated"], true)
      assert.include(String(friend["process"]), String(process.pid))
    })
  )

  it.effect("the right token makes a session, whose cookie no script and no other site can use", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const { answer, attributes, cookie } = yield* signIn(url)
      assert.strictEqual(answer.status, 200)
      assert.includeMembers(attributes, ["httponly", "samesite=strict", "path=/", "max-age=604800"])
      assert.notInclude(attributes, "secure")
      assert.notInclude(cookie, token)
      assert.strictEqual((yield* ask(`${url}/connections`, { headers: { cookie } })).status, 200)
      const session = (yield* ask(`${url}/session`, { headers: { cookie } })).json as Record<string, unknown>
      assert.strictEqual(session["authenticated"], true)
      for (const forged of [
        cookie.slice(0, -1),
        `${cookie.slice(0, -1)}${cookie.endsWith("A") ? "B" : "A"}`,
        cookie.replace(/=\d/, (digit) => `=${9 - Number(digit[1])}`),
        cookie.replace("idem-session", "__Host-idem-session")
      ]) {
        assert.strictEqual((yield* ask(`${url}/connections`, { headers: { cookie: forged } })).status, 401, forged)
      }
      const out = yield* ask(`${url}/session`, { method: "DELETE", headers: { cookie } })
      assert.strictEqual(out.status, 204)
      assert.match(out.headers["set-cookie"]?.[0] ?? "", /^idem-session=; Max-Age=0;/)
    })
  )

  it.effect("signing out ends that session on the server, and no other", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const [{ cookie }, { cookie: other }] = [yield* signIn(url), yield* signIn(url)]
      const status = (cookie: string) => Effect.map(ask(`${url}/connections`, { headers: { cookie } }), (a) => a.status)
      assert.strictEqual(yield* status(cookie), 200)
      const out = (cookie: string) => ask(`${url}/session`, { method: "DELETE", headers: { cookie } })
      assert.strictEqual((yield* out(cookie)).status, 204)
      assert.strictEqual(yield* status(cookie), 401)
      assert.strictEqual(yield* status(other), 200)
      // Signing out with a cookie that belongs to no session writes nothing to the database.
      assert.strictEqual((yield* out(cookie.replace(/\w$/, "_"))).status, 204)
      assert.strictEqual((yield* out(cookie)).status, 204)
    })
  )

  it.effect("a session may change things from our own pages, and from no other", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const { cookie } = yield* signIn(url)
      const pause = (headers: Record<string, string>) =>
        Effect.map(
          ask(`${url}/connections/none/pause`, { method: "POST", headers: { cookie, ...headers } }),
          ({ status }) => status
        )
      assert.strictEqual(yield* pause({}), 404)
      assert.strictEqual(yield* pause({ "sec-fetch-site": "same-origin", origin: url }), 404)
      assert.strictEqual(yield* pause({ "sec-fetch-site": "none" }), 404)
      assert.strictEqual(yield* pause({ origin: url }), 404)
      assert.strictEqual(yield* pause({ "sec-fetch-site": "cross-site" }), 403)
      assert.strictEqual(yield* pause({ "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate" }), 403)
      assert.strictEqual(yield* pause({ origin: "http://localhost:1" }), 403)
      assert.strictEqual(yield* pause({ origin: "null" }), 403)
      const form = yield* ask(`${url}/connections/none/tasks`, {
        method: "POST",
        headers: { cookie, "content-type": "application/x-www-form-urlencoded" },
        body: "force=true"
      })
      assert.strictEqual(form.status, 415)
      const simple = yield* ask(`${url}/connections/none/tasks`, {
        method: "POST",
        headers: { cookie, "content-type": "text/plain" },
        body: "{}"
      })
      assert.strictEqual(simple.status, 415)
    })
  )

  it.effect("another site's page can't read with a session either, but a link may be followed", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const { cookie } = yield* signIn(url)
      const read = (headers: Record<string, string>) =>
        Effect.map(ask(`${url}/connections`, { headers: { cookie, ...headers } }), ({ status }) => status)
      assert.strictEqual(yield* read({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" }), 403)
      assert.strictEqual(yield* read({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" }), 200)
    })
  )

  it.effect("a program with the token may come from wherever it likes", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const { status } = yield* ask("/connections/none/pause", {
        method: "POST",
        headers: { origin: "https://elsewhere.example", "sec-fetch-site": "cross-site" }
      })
      assert.strictEqual(status, 404)
    })
  )
})

it.layer(layer({ env: { IDEM_API_TOKEN: token, IDEM_TRUSTED_PROXIES: "127.0.0.0/8" } }), live)(
  "behind a proxy",
  (it) => {
    const from = (address: string, proto = "http") => ({
      "x-forwarded-for": address,
      "x-forwarded-proto": proto,
      "x-forwarded-host": "idem.example"
    })

    it.effect("over https the cookie is the host's own, and stays on https", () =>
      Effect.gen(function* () {
        const { url } = yield* TestServer
        const { answer, attributes, cookie } = yield* signIn(url, {
          ...from("192.0.2.1", "https"),
          origin: "https://idem.example"
        })
        assert.strictEqual(answer.status, 200)
        assert.match(cookie, /^__Host-idem-session=/)
        assert.include(attributes, "secure")
        const read = (headers: Record<string, string>) =>
          Effect.map(ask(`${url}/connections`, { headers: { cookie, ...headers } }), ({ status }) => status)
        assert.strictEqual(yield* read(from("192.0.2.1", "https")), 200)
        assert.strictEqual(yield* read(from("192.0.2.1")), 401)
      })
    )

    it.effect("who gives too many wrong tokens must wait, even with the right one; others go on", () =>
      Effect.gen(function* () {
        const { url } = yield* TestServer
        const guess = (given: string, address: string) =>
          ask(`${url}/connections`, { headers: { ...from(address), authorization: `Bearer ${given}` } })
        const statuses: Array<number> = []
        for (let n = 0; n < 12; n += 1) statuses.push((yield* guess(`wrong-${n}`, "198.51.100.7")).status)
        assert.deepStrictEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429, 429])
        const locked = yield* guess(token, "198.51.100.7")
        assert.strictEqual(locked.status, 429)
        const seconds = Number(locked.headers["retry-after"])
        assert.isTrue(seconds >= 1 && seconds <= 60, `${seconds} seconds`)
        assert.strictEqual((locked.json as { retryAfter: number }).retryAfter, seconds)
        assert.strictEqual((yield* guess(token, "198.51.100.8")).status, 200)
        const session = yield* ask(`${url}/session`, {
          method: "POST",
          headers: from("198.51.100.7"),
          body: { token }
        })
        assert.strictEqual(session.status, 429)
        assert.isDefined(session.headers["retry-after"])
      })
    )

    it.effect("signing in with a wrong token counts as well, and one network of IPv6 counts as one", () =>
      Effect.gen(function* () {
        const { url } = yield* TestServer
        const statuses: Array<number> = []
        for (let n = 0; n < 11; n += 1) {
          const answer = yield* ask(`${url}/session`, {
            method: "POST",
            headers: from(`2001:db8:1:2::${n}`),
            body: { token: `wrong-${n}` }
          })
          statuses.push(answer.status)
          assert.isUndefined(answer.headers["set-cookie"])
        }
        assert.deepStrictEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429])
      })
    )

    it.effect("an old session's cookie, sent again and again, locks nobody out", () =>
      Effect.gen(function* () {
        const { url } = yield* TestServer
        const cookie = `idem-session=1.${"A".repeat(43)}`
        for (let n = 0; n < 12; n += 1) {
          assert.strictEqual(
            (yield* ask(`${url}/connections`, { headers: { ...from("198.51.100.9"), cookie } })).status,
            401
          )
        }
        const right = { ...from("198.51.100.9"), authorization: `Bearer ${token}` }
        assert.strictEqual((yield* ask(`${url}/connections`, { headers: right })).status, 200)
      })
    )
  }
)

it.effect("a session lasts seven days, through restarts and in every process of its token, and no other", () =>
  Effect.gen(function* () {
    const store = yield* WholeStore
    const made = yield* Sessions.make(Redacted.make(token), store)
    const other = yield* Sessions.make(Redacted.make(token), store)
    const another = yield* Sessions.make(Redacted.make(`${token}x`), store)
    const cookie = yield* made.make
    assert.isTrue(yield* made.isValid(cookie))
    assert.isTrue(yield* other.isValid(cookie))
    assert.isFalse(yield* another.isValid(cookie))
    yield* TestClock.adjust("167 hours")
    assert.isTrue(yield* other.isValid(cookie))
    yield* TestClock.adjust("1 hour")
    assert.isFalse(yield* other.isValid(cookie))
    const ended = yield* made.make
    yield* made.end(ended)
    assert.isFalse(yield* other.isValid(ended))
  }).pipe(Effect.provide(Memory.layer))
)
