/** Logins with an access token: by XOAUTH2 and OAUTHBEARER to Dovecot, which asks an endpoint whose the token is. */
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

/** Token introspection (RFC 7662). */
class Provider {
  url = ""
  isDown = false
  readonly users = new Map<string, string>()

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    let body = ""
    request.on("data", (chunk) => (body += String(chunk)))
    request.on("end", () => {
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
              hands: yield* server.client("ann"),
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

            // Dovecot says AUTHENTICATIONFAILED here too. A connection that counts as refused would wait for a person.
            provider.isDown = true
            assert.match(yield* outcome, /^Transient: .*could not check the access token/)
            provider.isDown = false
            provider.users.set(accessToken, "ann")
            yield* append("INBOX", 2)
            assert.strictEqual((yield* poll).stored, 1)
          })
        ),
      // A login that failed for a while is tried again, after seconds.
      { concurrent: true }
    )
  }

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
