/** Behaviour of the clients' requests that undici keeps from `node-fetch`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { gmail } from "googleapis/build/src/apis/gmail/index.js"
import { execFile } from "node:child_process"
import * as Crypto from "node:crypto"
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import * as Stream from "node:stream"
import { promisify } from "node:util"
import * as Zlib from "node:zlib"
import { direct } from "../../../src/contract/Network.ts"
import type { Response } from "../../../src/integrations/gmail/Response.ts"
import * as Transport from "../../../src/integrations/gmail/Transport.ts"

/** Starts a server with this listener, and returns its URL. */
const serving = (answer: Http.RequestListener) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly server: Http.Server }>((resume) => {
      const server = Http.createServer(answer)
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({ server, url: `http://127.0.0.1:${port}` }))
      })
    }),
    ({ server }) => Effect.sync(() => (server.closeAllConnections(), server.close()))
  )

const json = { "content-type": "application/json; charset=UTF-8" }

const profile = (rootUrl: string) =>
  Effect.promise(() =>
    gmail({ version: "v1", rootUrl, ...Transport.options(direct) }).users.getProfile(
      { userId: "me" },
      { retry: false, headers: { Authorization: "Bearer t0ken" } }
    )
  )

const failure = (rootUrl: string) =>
  Effect.promise(() =>
    gmail({ version: "v1", rootUrl, ...Transport.options(direct) })
      .users.getProfile({ userId: "me" }, { retry: false })
      .then(
        () => assert.fail("it succeeded"),
        (error: { readonly response?: { readonly data: unknown }; readonly cause?: { readonly message: string } }) =>
          error
      )
  )

describe("a request of the clients", () => {
  it.live("asks for gzip, and reads it, in an error too", () =>
    Effect.gen(function* () {
      const asked: Array<string | undefined> = []
      let status = 200
      const { url } = yield* serving((request, response) => {
        asked.push(request.headers["accept-encoding"])
        response.writeHead(status, { ...json, "content-encoding": "gzip" })
        response.end(Zlib.gzipSync(JSON.stringify(status === 200 ? { historyId: "7" } : { error: { code: status } })))
      })
      assert.deepStrictEqual((yield* profile(url)).data, { historyId: "7" })
      status = 403
      assert.deepStrictEqual((yield* failure(url)).response?.data, { error: { code: 403 } })
      assert.deepStrictEqual(asked, ["gzip", "gzip"])
    }).pipe(Effect.scoped)
  )

  it.live("follows a redirect, with its token to the same origin only", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const other = yield* serving((request, response) => {
        seen.push(`other ${request.headers.authorization}`)
        response.writeHead(200, json).end("{}")
      })
      const { url } = yield* serving((request, response) => {
        seen.push(`${request.url} ${request.headers.authorization}`)
        if (request.url === "/same") response.writeHead(307, { location: other.url }).end()
        else response.writeHead(302, { location: "/same" }).end()
      })
      yield* profile(url)
      assert.deepStrictEqual(seen, ["/gmail/v1/users/me/profile Bearer t0ken", "/same Bearer t0ken", "other undefined"])
    }).pipe(Effect.scoped)
  )

  it.live("ends with an error where redirects do not", () =>
    Effect.gen(function* () {
      const { url } = yield* serving((_, response) => response.writeHead(302, { location: "/again" }).end())
      assert.match(String((yield* failure(url)).cause?.message), /redirect/i)
    }).pipe(Effect.scoped)
  )

  it.live("goes through the proxy of the environment, unless NO_PROXY names the host", () =>
    Effect.gen(function* () {
      const proxied: Array<string | undefined> = []
      const proxy = yield* serving((request, response) => {
        proxied.push(request.url)
        response.writeHead(200, json).end(`{"historyId":"8"}`)
      })
      proxy.server.on("connect", (request: Http.IncomingMessage, socket: import("node:net").Socket) => {
        proxied.push(request.url)
        socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n")
      })
      const { url } = yield* serving((_, response) => response.writeHead(200, json).end(`{"historyId":"7"}`))
      // A process reads the environment only once.
      const source = `
        import { gmail } from "googleapis/build/src/apis/gmail/index.js"
        import { direct } from "./src/contract/Network.ts"
        import * as Transport from "./src/integrations/gmail/Transport.ts"
        const options = { version: "v1", ...Transport.options(direct) }
        const ask = (rootUrl) =>
          gmail({ rootUrl, ...options }).users.getProfile({ userId: "me" }, { retry: false })
            .then(({ data }) => data.historyId, () => "failed")
        const signal = new AbortController().signal
        const get = (url) => Transport.get(direct)(new URL(url), { headers: {}, signal }).then(({ status }) => status)
        console.log(await ask(${JSON.stringify(url)}), await ask("http://named.invalid"))
        console.log(await ask("https://secure.invalid"), await get("http://named.invalid/message"))
      `
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, ["--input-type=module", "--eval", source], {
          cwd: Path.join(import.meta.dirname, "../../.."),
          env: { PATH: process.env["PATH"], HTTP_PROXY: proxy.url, NO_PROXY: "127.0.0.1,other.invalid" }
        })
      )
      assert.strictEqual(stdout.trim(), "7 8\nfailed 200")
      assert.sameMembers(
        proxied.map((each) => String(each).replace("http://", "")),
        ["named.invalid/gmail/v1/users/me/profile", "secure.invalid:443", "named.invalid/message"]
      )
    }).pipe(Effect.scoped)
  )
})

describe("a request without a client", () => {
  const asked = (rootUrl: string, signal = new AbortController().signal) =>
    Transport.get(direct)(new URL("/first", rootUrl), { headers: { Authorization: "Bearer t0ken" }, signal })

  const got = (rootUrl: string) => Effect.promise(() => asked(rootUrl))

  const text = (rootUrl: string) => Effect.map(got(rootUrl), ({ chunks }) => Buffer.concat(chunks).toString())

  const problem = (rootUrl: string) =>
    Effect.promise(() =>
      asked(rootUrl).then(
        () => assert.fail("it succeeded"),
        (error: Error) => error
      )
    )

  /** Returns all bytes of a response, including those after its first part. */
  const bytes = ({ chunks, rest }: Response) =>
    Effect.promise(async () => {
      const all = [...chunks]
      for (let next = await rest?.next(); next?.done === false; next = await rest?.next()) all.push(next.value)
      return Buffer.concat(all)
    })

  it.live("asks for gzip in both of the headers that Google wants it in, and reads it", () =>
    Effect.gen(function* () {
      const { url } = yield* serving(({ headers }, response) => {
        const isAsked = headers["accept-encoding"] === "gzip" && headers["user-agent"]?.includes("gzip")
        response.writeHead(200, { ...json, ...(isAsked ? { "content-encoding": "gzip" } : {}) })
        response.end(isAsked ? Zlib.gzipSync("unpacked") : "never packed")
      })
      assert.strictEqual(yield* text(url), "unpacked")
    }).pipe(Effect.scoped)
  )

  it.live("follows a redirect to another origin without its token", () =>
    Effect.gen(function* () {
      const other = yield* serving(({ headers }, response) => response.end(`came with ${headers.authorization}`))
      const { url } = yield* serving((_, response) => response.writeHead(307, { location: other.url }).end())
      assert.strictEqual(yield* text(url), "came with undefined")
    }).pipe(Effect.scoped)
  )

  it.live("ends with an error where redirects do not", () =>
    Effect.gen(function* () {
      const { url } = yield* serving((_, response) => response.writeHead(302, { location: "/again" }).end())
      assert.match(String(yield* problem(url)), /redirect/i)
    }).pipe(Effect.scoped)
  )

  it.live("fails where a small body breaks off, unless it is that of a refusal", () =>
    Effect.gen(function* () {
      let status = 200
      const { url } = yield* serving((_, response) => {
        response.writeHead(status, { ...json, "content-length": 100 })
        response.write("half", () => response.destroy())
      })
      assert.match(String(yield* problem(url)), /closed|aborted/i)
      status = 429
      const refused = yield* got(url)
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(Buffer.concat(refused.chunks).toString(), "half")
    }).pipe(Effect.scoped)
  )

  for (const encoding of ["identity", "gzip"]) {
    it.live(`reads a large body as it is asked for, and all of it (${encoding})`, () =>
      Effect.gen(function* () {
        const sent = Crypto.randomBytes(20_000_000)
        let written = 0
        const { url } = yield* serving((_, response) => {
          response.writeHead(200, { ...json, ...(encoding === "gzip" ? { "content-encoding": encoding } : {}) })
          const counted = async function* () {
            for (; written < sent.length; written += 50_000) yield sent.subarray(written, written + 50_000)
          }
          if (encoding === "gzip") Stream.pipeline(counted, Zlib.createGzip({ level: 1 }), response, () => {})
          else Stream.pipeline(counted, response, () => {})
        })
        const response = yield* got(url)
        assert.isDefined(response.rest)
        // The buffers of both ends fill up, and then no more is written.
        let before = -1
        while (before !== written) {
          before = written
          yield* Effect.sleep("300 millis")
        }
        assert.isBelow(written, sent.length)
        assert.isTrue(sent.equals(yield* bytes(response)))
      }).pipe(Effect.scoped)
    )
  }

  it.live("is closed at the server when it is aborted, and when the rest of a large body is not wanted", () =>
    Effect.gen(function* () {
      const closed: Array<Effect.Effect<void>> = []
      let begin: (response: Http.ServerResponse) => void = () => {}
      const { url } = yield* serving((_, response) => {
        closed.push(Effect.promise(() => once(response, "close")))
        begin(response)
      })
      const controller = new AbortController()
      const aborted = asked(url, controller.signal).then(
        () => "it succeeded",
        (error: Error) => error.message
      )
      while (closed.length < 1) yield* Effect.sleep("5 millis")
      controller.abort(new Error("not wanted"))
      assert.strictEqual(yield* Effect.promise(() => aborted), "not wanted")
      yield* closed[0] ?? Effect.die("never asked")
      begin = (response) => void response.write(Buffer.alloc(1_000_000))
      const { rest } = yield* got(url)
      rest?.close()
      yield* closed[1] ?? Effect.die("never asked")
    }).pipe(Effect.scoped)
  )

  it.live("fails the next read of a large body that broke off or was aborted before", () =>
    Effect.gen(function* () {
      let isBroken = true
      const { url } = yield* serving((_, response) => {
        response.write(Buffer.alloc(1_000_000), () => void (isBroken && response.destroy()))
      })
      const broken = yield* got(url)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(bytes(broken))))
      isBroken = false
      const controller = new AbortController()
      const aborted = yield* Effect.promise(() => asked(url, controller.signal))
      controller.abort(new Error("not wanted"))
      // The error occurs while no reader is waiting.
      yield* Effect.sleep("10 millis")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(bytes(aborted))))
    }).pipe(Effect.scoped)
  )
})
