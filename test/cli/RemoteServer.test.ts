import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import * as Net from "node:net"
import packageJson from "../../package.json" with { type: "json" }
import { freePort } from "../support/FreePort.ts"
import { MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

/** Starts a server that gives this response to every request, and records the requests. */
const answering = Effect.fnUntraced(function* (
  answer: (request: Http.IncomingMessage, response: Http.ServerResponse) => void
) {
  const server = Http.createServer(answer)
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.sync(() => server.close())
  )
  return `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`
})

/** A server of another protocol than HTTP. */
const greeting = Effect.gen(function* () {
  const server = Net.createServer((socket) => {
    socket.on("error", () => undefined)
    socket.end("SSH-2.0-OpenSSH_10.0\r\n")
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.sync(() => server.close())
  )
  return `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`
})

const json = (status: number, body: object) => (_: Http.IncomingMessage, response: Http.ServerResponse) =>
  void response
    .writeHead(status, { "content-type": status < 400 ? "application/json" : "application/problem+json" })
    .end(JSON.stringify(body))

const session = { authenticated: true, tokenRequired: true, version: packageJson.version, process: "a process" }

const unauthorized = {
  type: "urn:idem:problem:unauthorized",
  status: 401,
  title: "A token is needed",
  detail: "the token is wrong"
}

describe("a command with IDEM_URL", () => {
  it.live("says in one line what is wrong with the server, naming IDEM_URL and what to do", () =>
    Effect.gen(function* () {
      const { run, started } = yield* CommandLine.make(new MemorySource())
      const page = (_: Http.IncomingMessage, response: Http.ServerResponse) =>
        void response.writeHead(200, { "content-type": "text/html" }).end("<h1>Welcome</h1>")
      const moved = (_: Http.IncomingMessage, response: Http.ServerResponse) =>
        void response.writeHead(302, { location: "https://login.example/" }).end()
      const gone = `http://127.0.0.1:${yield* freePort}`
      const cases: ReadonlyArray<readonly [string, string, string]> = [
        [gone, "Unreachable", "connection refused"],
        [(yield* answering(page)).replace("http:", "https:"), "Unreachable", "does not speak https: is it http?"],
        [yield* greeting, "Unreachable", "does not speak http: is it https?"],
        [yield* answering(page), "NotIdem", "is not Idem, or another version"],
        [yield* answering(moved), "NotIdem", "is not Idem, or another version"],
        [yield* answering(json(200, { hello: "world" })), "NotIdem", "is not Idem, or another version"],
        [yield* answering(json(404, { error: "not found" })), "NotIdem", "is not Idem, or another version"],
        [yield* answering(json(200, { ...session, version: "99.1.0" })), "OtherVersion", "is Idem 99.1.0, this is"],
        [yield* answering(json(401, unauthorized)), "Unauthorized", "does not take this token: set IDEM_API_TOKEN"],
        [
          yield* answering(json(200, { ...session, authenticated: false, version: null, process: null })),
          "Unauthorized",
          "set IDEM_API_TOKEN"
        ]
      ]
      for (const [url, reason, said] of cases) {
        const env = { IDEM_URL: url, IDEM_API_TOKEN: "t0ken-of-the-server" }
        const ended = yield* run(["connections", "--json"], { env })
        assert.strictEqual(ended.code, 1, said)
        const { error } = CommandLine.json(ended)
        assert.strictEqual(error.reason, reason)
        assert.include(error.message, said)
        assert.include(error.message, `IDEM_URL (${url})`)
        assert.strictEqual(ended.stderr.trimEnd().split("\n").length, 1, ended.stderr)
        assert.notInclude(ended.stderr + ended.stdout.toString(), "t0ken-of-the-server")
      }
      assert.strictEqual(started.count, 0)
    }).pipe(Effect.scoped)
  )

  it.effect(
    "ends with 2 where its form is wrong, repeating nothing of it, and where a command needs the database",
    () =>
      Effect.gen(function* () {
        const { run, started } = yield* CommandLine.make(new MemorySource())
        for (const url of [
          "127.0.0.1:3000",
          "ftp://x",
          "http://me:hunter2@x.example",
          "http://x/?token=hunter2",
          "/api"
        ]) {
          const ended = yield* run(["status"], { env: { IDEM_URL: url } })
          assert.strictEqual(ended.code, 2, url)
          assert.match(ended.stderr, /^idem: IDEM_URL [^\n]*\n$/)
          assert.notInclude(ended.stderr, "hunter2")
        }
        for (const args of [["serve"], ["migrate"], ["copy", "--from", "data"]]) {
          const ended = yield* run(args, { env: { IDEM_URL: "http://127.0.0.1:1" } })
          assert.strictEqual(ended.code, 2, args[0])
          assert.include(ended.stderr, `idem ${args[0]} works on the database itself`)
        }
        const token = '{"token": "t0ps3cret"}'
        const inClear = yield* run(["connect", "memory", "--name", "w", "--credentials", token], {
          env: { IDEM_URL: "http://idem.example:3000" }
        })
        assert.strictEqual(inClear.code, 2)
        assert.include(inClear.stderr, "credentials are not sent over http to another machine")
        assert.strictEqual(started.count, 0)
      })
  )

  it.live("ends with 2 if the server asks for a token, and IDEM_API_TOKEN is not set", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const url = yield* answering(json(200, { ...session, authenticated: false, version: null, process: null }))
      const ended = yield* run(["connections", "--json"], { env: { IDEM_URL: url } })
      assert.deepStrictEqual([ended.code, CommandLine.json(ended)["error"].reason], [2, "Unauthorized"])
      assert.include(ended.stderr, "asks for a token: set IDEM_API_TOKEN")
    }).pipe(Effect.scoped)
  )

  it.effect("is the local command where IDEM_URL is empty", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      assert.deepStrictEqual(CommandLine.json(yield* run(["connections", "--json"], { env: { IDEM_URL: " " } })), {
        connections: []
      })
    })
  )
})
