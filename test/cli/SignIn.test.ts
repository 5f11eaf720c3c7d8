/** Signing in with a browser. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fetch } from "../support/Fetch.ts"
import { freePort } from "../support/FreePort.ts"
import * as Database from "../support/Postgres.ts"
import * as Provider from "../support/Provider.ts"
import * as CommandLine from "./CommandLine.ts"

const app = CommandLine.ofApp()
type Env = Readonly<Record<string, string>>

const run = (args: ReadonlyArray<string>, env: Env) => Effect.runPromise(app(args, { env }))

/** Starts a command that asks a person to sign in. Returns the URL that it prints, and its end. */
const begin = async (args: ReadonlyArray<string>, env: Env) => {
  const url = Promise.withResolvers<string>()
  let said = ""
  const onStderr = (text: string) => {
    said += text
    const [found] = /http\S+/.exec(said) ?? []
    if (found !== undefined && said.includes(`${found}\n`)) url.resolve(found)
  }
  const ended = Effect.runPromise(app(args, { env, onStderr }))
  void ended.then(() => url.reject(new Error(`it named no address: ${said}`)))
  return { url: await url.promise, ended }
}

describe("idem connect, by signing in", () => {
  it.live("waits for the browser, connects the account, and renews its grant", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const callback = `http://127.0.0.1:${port}/callback`
      const rootUrl = yield* Provider.google([callback])
      const { clientId, clientSecret } = Provider.client
      const env = {
        DATABASE_URL: yield* Database.makeUrl,
        IDEM_SECRET_KEY: "00".repeat(31) + "01",
        IDEM_SIGN_IN_PORT: String(port)
      }
      const config = JSON.stringify({ rootUrl })
      const connect = ["connect", "gmail", "--name", "me", "--config", config, "--json"]
      yield* Effect.promise(async () => {
        const credentials = JSON.stringify({ clientId, clientSecret })
        const first = await begin([...connect, "--credentials", credentials], env)
        const agreed = await Provider.agree(first.url, "me@example.com")
        assert.strictEqual(agreed.origin + agreed.pathname, callback)
        // Other requests to this port are ignored.
        const other = new URL(agreed)
        other.searchParams.set("state", "another")
        assert.strictEqual((await fetch(other)).status, 400)
        assert.strictEqual((await fetch(new URL("/", agreed))).status, 404)
        const page = await fetch(agreed)
        assert.include(await page.text(), "Thank you")
        assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/)
        const { code, stderr, stdout } = await first.ended
        assert.strictEqual(code, 0, stderr)
        assert.include(JSON.parse(stdout.toString()), { connection: "me", created: true, account: "me@example.com" })
        for (const secret of [clientSecret, agreed.searchParams.get("code") ?? "?"]) {
          assert.notInclude(stdout.toString() + stderr, secret)
        }

        const settings = { ...env, IDEM_GMAIL_CLIENT_ID: clientId, IDEM_GMAIL_CLIENT_SECRET: clientSecret }
        const renew = ["connect", "gmail", "--name", "me", "--sign-in", "--json"]
        // The connection's own config names the server, which must not receive the client of the settings.
        const refused = await run(renew, settings)
        assert.strictEqual(refused.code, 2, refused.stderr)
        assert.match(refused.stderr, /give clientId and clientSecret.*rootUrl names another/)
        const again = await begin([...renew, "--credentials", credentials], env)
        await fetch(await Provider.agree(again.url, "me@example.com"))
        const renewed = await again.ended
        assert.strictEqual(renewed.code, 0, renewed.stderr)
        assert.include(CommandLine.json(renewed), { connection: "me", created: false })

        const no = await begin([...connect, "--credentials", credentials], env)
        const state = new URL(no.url).searchParams.get("state") ?? ""
        const denied = await fetch(`${callback}?${new URLSearchParams({ state, error: "access_denied" })}`)
        assert.include(await denied.text(), "Not signed in")
        assert.match((await no.ended).stderr, /access was denied at the provider/)
      })
    }).pipe(Effect.scoped)
  )

  it.live("asks nobody where credentials are given, or there is nothing to sign in with", () =>
    Effect.promise(async () => {
      const env = { DATABASE_URL: "postgresql://nobody@127.0.0.1:1/none", IDEM_SECRET_KEY: "00".repeat(32) }
      const ftp = await run(["connect", "ftp", "--name", "f", "--sign-in"], env)
      assert.strictEqual(ftp.code, 2)
      assert.match(ftp.stderr, /ftp has no sign-in with the browser/)
      const both = ["connect", "gmail", "--name", "g", "--sign-in", "--credentials", '{"accessToken":"ya29.secret"}']
      const answer = await run(both, env)
      assert.strictEqual(answer.code, 2)
      assert.match(answer.stderr, /leave out --credentials/)
      assert.notInclude(answer.stderr, "ya29.secret")
    })
  )
})
