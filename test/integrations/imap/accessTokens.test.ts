/**
 * Logins with an access token, by XOAUTH2 and OAUTHBEARER, to Dovecot, which looks up the token's user at an endpoint.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Harness from "../../../src/testing/Harness.ts"
import * as Servers from "../../support/ImapServers.ts"
import * as Loopback from "../../support/LoopbackServer.ts"
import { skips } from "../../support/Requirement.ts"
import * as Account from "../../support/imap/ImapAccount.ts"
import * as StandIn from "../../support/imap/ImapStandIn.ts"

/**
 * Serves token introspection (RFC 7662) and, at `/token`, refreshes of a grant (RFC 6749, section 6) whose refresh
 * token is replaced with each use (RFC 9700, 4.14.2).
 */
class Provider {
  url = ""
  isDown = false
  readonly users = new Map<string, string>()
  /** The lifetime of the next access token, in seconds. */
  expiresIn = 3600
  refreshToken = "refresh-0"
  refreshes = 0

  refresh(form: URLSearchParams, response: Http.ServerResponse): void {
    const { client_id, client_secret, grant_type, refresh_token } = Object.fromEntries(form)
    response.setHeader("content-type", "application/json")
    const isKnown = client_id === "app" && client_secret === "app-secret" && grant_type === "refresh_token"
    if (!isKnown || refresh_token !== this.refreshToken) {
      response.writeHead(400).end(JSON.stringify({ error: "invalid_grant", error_description: refresh_token }))
      return
    }
    this.refreshes += 1
    this.refreshToken = `refresh-${this.refreshes}`
    const token = `access-${this.refreshes}`
    this.users.clear()
    this.users.set(token, "ann")
    const answer = { access_token: token, refresh_token: this.refreshToken, expires_in: this.expiresIn }
    response.end(JSON.stringify(answer))
  }

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    let body = ""
    request.on("data", (chunk) => (body += String(chunk)))
    request.on("end", () => {
      if (request.url === "/token") return this.refresh(new URLSearchParams(body), response)
      const username = this.users.get(new URLSearchParams(body).get("token") ?? "")
      response.writeHead(this.isDown ? 503 : 200, { "content-type": "application/json" })
      response.end(JSON.stringify(username === undefined ? { active: false } : { active: true, username }))
    })
  }
}

describe.skipIf(skips("the tests of IMAP with access tokens", Servers.missing()))("IMAP with an access token", () => {
  for (const mechanism of ["xoauth2", "oauthbearer"] as const) {
    it.live(
      `logs in by ${mechanism}, and says of a refused token that it is refused`,
      () =>
        Effect.scoped(
          Effect.gen(function* () {
            const provider = yield* Loopback.serve(() => new Provider())
            const server = yield* Servers.run({ tokens: { mechanism, introspection: provider.url } })
            const accessToken = "ya29.a-token-of-ann"
            provider.users.set(accessToken, "ann")
            const { append, poll, process } = yield* Account.make({
              connect: server.client("ann"),
              credentials: { username: "ann", accessToken },
              config: server.config()
            })
            yield* append("INBOX", 1)
            assert.strictEqual((yield* poll).stored, 1)

            const outcome = Effect.map(process.sync(), ({ error }) => `${error?.reason}: ${error?.message}`)
            provider.users.clear()
            const refused = yield* outcome
            assert.match(refused, /^Unauthorized: .*\(status (401|invalid_token)\).*refuses the access token.*expired/)
            assert.notInclude(refused, accessToken)
            provider.users.set(accessToken, "bob")
            assert.match(yield* outcome, /^Unauthorized: .*another account/)

            // Dovecot also returns AUTHENTICATIONFAILED in this case. If that counted as a refusal, the connection
            // would wait for a person.
            provider.isDown = true
            assert.match(yield* outcome, /^Transient: .*could not check the access token/)
            provider.isDown = false
            provider.users.set(accessToken, "ann")
            yield* append("INBOX", 2)
            assert.strictEqual((yield* poll).stored, 1)
          })
        ),
      // A login that failed temporarily is retried after seconds.
      { concurrent: true }
    )
  }

  it.live(
    "renews an access token that expires, or that the server refuses, and keeps the new grant",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const provider = yield* Loopback.serve(() => new Provider())
          const server = yield* Servers.run({ tokens: { mechanism: "xoauth2", introspection: provider.url } })
          const app = { clientId: "app", clientSecret: "app-secret", tokenUrl: `${provider.url}/token` }
          const { append, poll, process } = yield* Account.make({
            connect: server.client("ann"),
            credentials: { username: "ann", refreshToken: "refresh-0", ...app },
            config: server.config()
          })
          yield* append("INBOX", 1)
          assert.strictEqual((yield* poll).stored, 1)
          assert.strictEqual(provider.refreshes, 1)
          yield* append("INBOX", 2)
          assert.strictEqual((yield* poll).stored, 1)
          // The token of the first login is valid for an hour.
          assert.strictEqual(provider.refreshes, 1)

          provider.users.clear()
          yield* append("INBOX", 3)
          assert.strictEqual((yield* poll).stored, 1)
          assert.strictEqual(provider.refreshes, 2)
          // A token with less than a minute left is not used.
          provider.users.clear()
          provider.expiresIn = 30
          yield* append("INBOX", 4)
          assert.strictEqual((yield* poll).stored, 1)
          const before = provider.refreshes
          yield* append("INBOX", 5)
          assert.strictEqual((yield* poll).stored, 1)
          assert.isAbove(provider.refreshes, before)

          provider.refreshToken = "revoked"
          const { error } = yield* process.sync()
          const { host } = new URL(provider.url)
          assert.deepStrictEqual(error, {
            reason: "Unauthorized",
            message: `${host} refuses the refresh token (400): sign in again`
          })
        })
      ),
    { concurrent: true }
  )

  it.live("a refresh token needs a token endpoint, which the provider or the credentials name", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const grant = { username: "ann", refreshToken: "refresh-0", clientId: "app" }
        const open = (config: object, more: object = {}) =>
          integration.open({
            config,
            credentials: { ...grant, ...more },
            call: (_method, _units, request) => request,
            saveCredentials: () => Effect.void
          })
        const unnamed = yield* Effect.flip(open({ host: "imap.example.com" }))
        assert.include(unnamed.message, `needs a "tokenUrl" in the credentials`)
        yield* open({ provider: "outlook" })
        yield* open({ host: "imap.example.com" }, { tokenUrl: "https://login.example.com/token" })
        const clear = yield* Effect.flip(open({ host: "imap.example.com" }, { tokenUrl: "http://login.example.com/" }))
        assert.notInclude(clear.message, "refresh-0")
      })
    )
  )

  it.live("a server without access tokens says so", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const standIn = yield* StandIn.run()
        const store = yield* Harness.makeStore
        const credentials = { username: "ann", accessToken: "ya29.a-token-of-ann" }
        const process = yield* Harness.start({ integration, credentials, store, watch: Harness.watcher() })
        const connect = Effect.catchDefect(process.connect(standIn.config), Effect.fail)
        assert.match(String(yield* Effect.flip(connect)), /login: .*takes no access token/)
      })
    )
  )
})
