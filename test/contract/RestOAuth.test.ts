/** OAuth 2 of REST sources: the token of each request, and the responses of token endpoints. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Idem from "@idem-sync/idem/contract"
import type * as Http from "node:http"
import { serve } from "../support/LoopbackServer.ts"

/** Serves items to the bearer of the newest token, and issues tokens. */
class Protected {
  url = ""
  accepted = "first"
  answer: { status: number; json: unknown } = { status: 200, json: { access_token: "second", expires_in: 60 } }
  readonly log: Array<string> = []
  readonly forms: Array<string> = []

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const send = (status: number, json: unknown) => void response.writeHead(status).end(JSON.stringify(json))
    if (request.url === "/token") {
      // GitHub answers with a form unless JSON is asked for (Authorizing OAuth apps, "Users are redirected back").
      if (request.headers.accept !== "application/json") return send(200, "access_token=second")
      let body = ""
      request.on("data", (chunk) => (body += chunk))
      request.on("end", () => {
        this.forms.push(body)
        send(this.answer.status, this.answer.json)
      })
      return
    }
    this.log.push(request.headers.authorization ?? "")
    if (request.headers.authorization !== `Bearer ${this.accepted}`) return send(401, {})
    send(200, [{ id: 1 }, { id: 2 }])
  }
}

type Standardize = (answer: Schema.Json) => Schema.Json

const source = (standardize?: Standardize) =>
  Idem.rest({
    domain: "protected",
    config: Schema.Struct({ url: Schema.String }),
    scope: [],
    address: ["url"],
    quota: () => ({ unitsPerMinute: 1_000_000_000 }),
    baseUrl: ({ url }) => url,
    auth: {
      type: "oauth2",
      publicClients: true,
      standardize,
      provider: ({ url }) => ({
        issuer: url,
        authorizationUrl: `${url}/authorize`,
        tokenUrl: `${url}/token`,
        parameters: { scope: "read" }
      })
    },
    resources: () => ({
      // The whole list is a single response, so absence proves a deletion without paging.
      items: Idem.restResource({
        kind: "item",
        path: "items",
        item: Schema.Struct({ id: Schema.Int }),
        id: ({ id }) => id,
        itemPath: (id) => `items/${id}`,
        absentIsDeleted: true,
        content: () => ({ body: "" })
      })
    })
  })

/** Lists with these credentials. */
const list = Effect.fnUntraced(
  function* (url: string, credentials: Record<string, string>, standardize?: Standardize) {
    const saved: Array<unknown> = []
    const calls: Array<string> = []
    const session = yield* source(standardize).open({
      config: { url },
      credentials,
      call: (method, _units, request) => (calls.push(method), request),
      saveCredentials: (next) => Effect.sync(() => void saved.push(next))
    })
    const pages = yield* Stream.runCollect(session.list(Idem.poll, Option.none(), Idem.noParts))
    return { pages, saved, calls }
  },
  Effect.provide(Idem.ContentExistenceChecker.layerTest([]))
)

const grant = { clientId: "app", clientSecret: "s3cret", refreshToken: "r3fresh", accessToken: "first" }

describe("a REST source with OAuth 2", () => {
  it.live("sends its token, and after a refusal a refreshed one, which is stored before it is used", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => new Protected())
      const first = yield* list(server.url, grant)
      assert.deepStrictEqual([first.calls, first.saved], [["items.list"], []])
      assert.deepStrictEqual(first.pages.at(-1)?.covers, [{ prefix: "items/" }])
      server.accepted = "second"
      const second = yield* list(server.url, grant)
      assert.deepStrictEqual(second.calls, ["items.list", "oauth2.token", "items.list"])
      const [saved] = second.saved as ReadonlyArray<Record<string, string>>
      assert.deepInclude(saved, { ...grant, accessToken: "second" })
      assert.deepStrictEqual(server.forms, [
        "grant_type=refresh_token&refresh_token=r3fresh&client_id=app&client_secret=s3cret"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("asks to sign in again where its grant has ended, and is tried again where the endpoint is busy", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => new Protected())
      server.accepted = "another"
      for (const [status, json, tag] of [
        [400, { error: "invalid_grant", error_description: "r3fresh is revoked" }, "Unauthorized"],
        [401, { error: "invalid_client" }, "Unauthorized"],
        [404, "r3fresh", "Unauthorized"],
        [429, {}, "RateLimited"],
        [408, {}, "Transient"],
        [500, {}, "Transient"],
        [503, {}, "Transient"],
        [200, { token: "r3fresh" }, "Transient"],
        // GitHub refuses with status 200 (getsentry/junior#620, dam-agents/dam#216).
        [200, { error: "bad_refresh_token", error_description: "r3fresh is revoked" }, "Unauthorized"],
        [200, { error: "temporarily_unavailable" }, "Transient"],
        [200, { error: "server_error" }, "Transient"],
        [200, { error: "slow_down" }, "Transient"],
        [200, { access_token: "second" }, "Unauthorized"]
      ] as const) {
        server.answer = { status, json }
        const error = yield* Effect.flip(list(server.url, grant))
        assert(error._tag === "IntegrationError")
        assert.strictEqual(error.reason._tag, tag, `${status} ${JSON.stringify(json)}`)
        assert.notMatch(error.message, /s3cret|r3fresh|second/)
      }
      // A response that `standardize` can't read contains no token.
      server.answer = { status: 200, json: null }
      const unread = yield* Effect.flip(list(server.url, grant, (answer) => Object(answer).data.token))
      assert.strictEqual(unread._tag === "IntegrationError" && unread.reason._tag, "Transient")
      // The credentials can't be refreshed.
      const asked = server.forms.length
      const error = yield* Effect.flip(list(server.url, { accessToken: "first" }))
      assert.strictEqual(error._tag === "IntegrationError" && error.reason._tag, "Unauthorized")
      assert.strictEqual(server.forms.length, asked)
    }).pipe(Effect.scoped)
  )

  it.live("keeps the rotated refresh token, whatever the lifetime in the answer looks like", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => new Protected())
      const now = 1_700_000_000_000
      yield* TestClock.setTime(now)
      server.accepted = "second"
      for (const [lifetime, seconds] of [
        [60, 60],
        // NetSuite (modelcontextprotocol/typescript-sdk#1120), Azure AD B2C and Naver (panva/oauth4webapi#112).
        ["3600", 3600],
        [0, 0],
        ["never", undefined],
        ["", undefined],
        [" ", undefined],
        // A hundred years, and more.
        [3_153_600_000, 3_153_600_000],
        [3_153_600_001, undefined],
        [-1, undefined],
        [null, undefined],
        [{}, undefined]
      ] as const) {
        server.answer = {
          status: 200,
          json: { access_token: "second", refresh_token: "r0tated", expires_in: lifetime }
        }
        const { saved } = yield* list(server.url, grant)
        const [first] = saved as ReadonlyArray<Record<string, string>>
        assert.strictEqual(first?.["refreshToken"], "r0tated")
        const expected = seconds === undefined ? undefined : new Date(now + seconds * 1000).toISOString()
        assert.strictEqual(first?.["expiresAt"], expected, JSON.stringify(lifetime))
      }
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))
  )

  it.live("uses no token in its last minute, and keeps of the grant only what the answer does not replace", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => new Protected())
      yield* TestClock.setTime(1_700_000_000_000)
      const ending = (seconds: number) => ({
        ...grant,
        expiresAt: new Date(1_700_000_000_000 + seconds * 1000).toISOString()
      })
      const before = yield* list(server.url, ending(61))
      assert.deepStrictEqual([before.calls, before.saved], [["items.list"], []])
      server.accepted = "second"
      for (const kept of [null, ""]) {
        server.answer = { status: 200, json: { access_token: "second", refresh_token: kept, error: "" } }
        const { calls, saved } = yield* list(server.url, ending(60))
        assert.deepStrictEqual(calls, ["oauth2.token", "items.list"])
        assert.deepStrictEqual(saved, [{ ...grant, accessToken: "second" }])
      }
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))
  )

  it.live("of a public client sends no secret", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => new Protected())
      server.accepted = "second"
      yield* list(server.url, { clientId: "app", refreshToken: "r3fresh" })
      assert.deepStrictEqual(server.forms, ["grant_type=refresh_token&refresh_token=r3fresh&client_id=app"])
    }).pipe(Effect.scoped)
  )
})
