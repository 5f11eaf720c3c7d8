/** The MCP server with the official client, over HTTP and over standard input and output. */
import { assert, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Readline from "node:readline"
import { fetch } from "../support/Fetch.ts"
import { token, main, scene, client, call, ask } from "./mcpFixture.ts"

const decodeServing = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ serving: Schema.Struct({ url: Schema.String }) }))
)

/** Returns the URL of a server that ends with the scope. */
const serve = (env: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, [main, "serve", "--json"], { env, stdio: ["ignore", "pipe", "ignore"] })
      const [line] = await once(Readline.createInterface({ input: child.stdout }), "line")
      return { child, url: decodeServing(line).serving.url }
    }),
    ({ child }) =>
      Effect.promise(async () => {
        child.kill("SIGTERM")
        if (child.exitCode === null) await once(child, "exit")
      })
  )

const overHttp = async (url: string, bearer: string) => {
  const connected = client()
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${bearer}` } }
  })
  // The transport's type does not support exact optional properties.
  await connected.connect(transport as Parameters<Client["connect"]>[0])
  return connected
}

const api = (url: string, path: string, bearer: string, options: RequestInit = {}) =>
  fetch(`${url}${path}`, {
    ...options,
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" }
  })

it.live("over HTTP reads within the scope of its token, until that is revoked", () =>
  Effect.gen(function* () {
    const { url } = yield* serve(yield* scene)
    yield* Effect.promise(async () => {
      const body = JSON.stringify({ name: "agent", connections: ["mine"] })
      const made = (await (await api(url, "/tokens", token, { method: "POST", body })).json()) as { token: string }
      const read = made.token
      assert.match(read, /^idem_read_/)

      const all = await overHttp(url, token)
      const { tools } = await all.listTools()
      assert.deepStrictEqual(tools.map(({ name }) => name).toSorted(), ["get", "list", "search", "sources", "thread"])
      assert.isTrue(tools.every(({ annotations }) => annotations?.readOnlyHint === true))
      assert.deepStrictEqual(
        (await ask(all, "sources")).fresh.sources.map(({ connection }) => connection),
        ["mine", "other"]
      )
      await all.close()

      const sessions = await Promise.all(Array.from({ length: 20 }, () => overHttp(url, read)))
      const answers = await Promise.all(sessions.map((one) => ask(one, "list", { from: "eve@example.com" })))
      for (const { fresh, items } of answers) {
        assert.deepStrictEqual(
          items?.map(({ connection, id }) => [connection, id]),
          [
            ["mine", "m2"],
            ["mine", "m1"]
          ]
        )
        assert.deepStrictEqual(fresh, {
          sources: [{ connection: "mine", paused: "by a person" }],
          behind: 0,
          unindexed: 0
        })
      }
      const [one, ...others] = sessions
      assert.isDefined(one)
      const { results = [] } = await ask(one, "search", { query: "instructions" })
      assert.deepStrictEqual(
        results.map(({ connection }) => connection),
        ["mine", "mine"]
      )
      const outside = await call(one, "get", { connection: "other", id: "m1" })
      assert.isTrue(outside.isError)
      assert.include(JSON.stringify(outside.content), "there is no connection")

      for (const [name, args] of [
        ["thread", { connection: "other", id: "m1" }],
        ["list", { connection: "other" }],
        ["search", { query: "instructions", connection: "other" }],
        ["sql", { query: "SELECT 1" }]
      ] as const) {
        const { content, isError } = await call(one, name, args).catch((error: unknown) => ({
          isError: true,
          content: String(error)
        }))
        assert.isTrue(isError, name)
        assert.notInclude(JSON.stringify(content), "did you mean")
      }
      for (const uri of ["idem://content/other/m1", "idem://content/mine/..%2Fother%2Fm1"]) {
        const resource = await one.readResource({ uri }).then(
          (found) => JSON.stringify(found),
          (error: unknown) => String(error)
        )
        assert.notInclude(resource, "many words")
      }
      // Operators in a query's text neither narrow nor widen the search.
      for (const query of ["in:other instructions", "instructions OR from:eve", "is:deleted OR instructions"]) {
        const { results: found = [] } = await ask(one, "search", { query })
        assert.isTrue(found.every(({ connection }) => connection === "mine"))
      }

      const searched = async (query: string, bearer = read) => {
        const answer = await api(url, `/search?${query}`, bearer)
        return { status: answer.status, text: await answer.text() }
      }
      const of = (text: string) =>
        (JSON.parse(text) as { results: ReadonlyArray<{ connection: string }> }).results.map(
          ({ connection }) => connection
        )
      const scoped = await searched("q=instructions")
      assert.strictEqual(scoped.status, 200)
      assert.deepStrictEqual(of(scoped.text), ["mine", "mine"])
      assert.strictEqual(of((await searched("q=instructions", token)).text).length, 4)
      assert.deepStrictEqual(of((await searched("q=instructions&connection=mine&limit=1")).text), ["mine"])
      // Connections that the token may not read are reported as not existing, also in suggestions of names.
      const hidden = await searched("q=instructions&connection=other")
      const absent = await searched("q=instructions&connection=othen")
      assert.deepStrictEqual([hidden.status, absent.status], [404, 404])
      assert.strictEqual(hidden.text.replaceAll("other", "othen"), absent.text)
      const { next } = JSON.parse((await searched("q=instructions&limit=1", token)).text) as { next: string }
      const rest = await searched(`q=instructions&after=${encodeURIComponent(next)}`)
      assert.isTrue(of(rest.text).every((connection) => connection === "mine"))

      for (const path of [
        "/connections",
        "/mirror",
        "/tokens",
        "/metrics",
        "/connections/mine",
        "/connections/mine/contents"
      ]) {
        assert.strictEqual((await api(url, path, read)).status, 403, path)
      }
      const metrics = await (await api(url, "/metrics", token)).text()
      assert.match(metrics, /^idem_derive_lag_seconds 0$/m)
      assert.match(metrics, /^idem_derive_unindexed_contents 0$/m)
      const sqlBody = JSON.stringify({ query: "SELECT 1" })
      assert.strictEqual((await api(url, "/sql", read, { method: "POST", body: sqlBody })).status, 403)
      assert.strictEqual((await api(url, "/mcp", `${read}x`, { method: "POST", body: "{}" })).status, 401)
      assert.strictEqual((await api(url, "/tokens/agent", token, { method: "DELETE" })).status, 204)
      const after = await one.callTool({ name: "sources" }).then(
        () => "answered",
        (error: unknown) => String(error)
      )
      assert.include(after, "revoked")
      assert.strictEqual((await searched("q=instructions")).status, 401)
      await Promise.all([one, ...others].map((each) => each.close()))
    })
  })
)
