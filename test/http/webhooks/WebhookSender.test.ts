import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Dns from "effect/net/Dns"
import * as NetAddress from "effect/net/NetAddress"
import * as TestClock from "effect/testing/TestClock"
import * as Diagnostics from "node:diagnostics_channel"
import { layer as destinationLayer } from "../../../src/engine/webhooks/Destination.ts"
import { Sender } from "../../../src/engine/webhooks/Sender.ts"
import { layer as senderLayer } from "../../../src/http/webhooks/WebhookSender.ts"
import { freePort } from "../../support/FreePort.ts"
import * as Receiver from "../../support/Receiver.ts"

const lookups: Array<string> = []

/** The first look-up of `rebinding.example` returns another address than later ones. */
const dns = Layer.succeed(
  Dns.Dns,
  Dns.make({
    lookup: () => Effect.die(new Error("none of these hosts is listed by its name")),
    resolve: (host, type) =>
      Effect.sync(() => {
        if (type !== "A") return []
        lookups.push(host)
        const isFirst = lookups.filter((name) => name === host).length === 1
        const text = host === "rebinding.example" && isFirst ? "127.0.0.2" : "127.0.0.1"
        const address = NetAddress.ipFromStringUnsafe(text)
        return NetAddress.isIpv4Address(address) ? [Dns.makeRecordUnsafe("A", { address })] : []
      })
  })
)

const sender = (allow: string) =>
  senderLayer.pipe(
    Layer.provide(destinationLayer),
    Layer.provide(dns),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ IDEM_WEBHOOK_ALLOW: allow })))
  )

const post = (url: string, allow = "127.0.0.1") =>
  Sender.use((sender) => sender.post({ url, headers: { "webhook-id": "1" }, body: `{"a":"é"}` })).pipe(
    Effect.provide(sender(allow))
  )

describe("sending to a webhook", () => {
  it.live("posts the body as it is, with its headers and no others that tell of us", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make
      const answer = yield* Effect.withSpan(post(`${receiver.url}?token=t`), "a run")
      assert.deepStrictEqual(answer, { status: 204, retryAfter: undefined, text: null })
      const [received] = receiver.received
      const { body, method, path } = received ?? {}
      assert.deepStrictEqual([method, path, body], ["POST", "/hook?token=t", `{"a":"é"}`])
      assert.deepStrictEqual(Object.keys(received?.headers ?? {}).toSorted(), [
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "webhook-id"
      ])
      assert.strictEqual(received?.headers["content-type"], "application/json")
    }).pipe(Effect.scoped)
  )

  it.live("sends nothing to an address that is not allowed, however it is written", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make
      const hosts = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "a-name.example"
      ]
      for (const scheme of ["http", "https"]) {
        for (const host of hosts) {
          const error = yield* Effect.flip(post(`${scheme}://${host}:${receiver.port}/`, ""))
          assert.include(error.message, "IDEM_WEBHOOK_ALLOW")
        }
      }
      assert.strictEqual(receiver.connections, 0)
    }).pipe(Effect.scoped)
  )

  it.live("connects to the address that was checked, whatever its name means later", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make
      lookups.length = 0
      const url = `http://rebinding.example:${receiver.port}/`
      // Only the first address is allowed, and the receiver listens at the second.
      assert.strictEqual((yield* Effect.flip(post(url, "127.0.0.2"))).message, "nothing listens there")
      assert.deepStrictEqual(lookups, ["rebinding.example"])
      assert.include((yield* Effect.flip(post(url, "127.0.0.2"))).message, "IDEM_WEBHOOK_ALLOW")
      assert.strictEqual(receiver.connections, 0)
    }).pipe(Effect.scoped)
  )

  it.live("takes a redirect as an answer, and follows none", () =>
    Effect.gen(function* () {
      const [receiver, other] = [yield* Receiver.make, yield* Receiver.make]
      for (const status of [301, 302, 303, 307, 308]) {
        receiver.answer = (response) => response.writeHead(status, { location: other.url }).end()
        assert.strictEqual((yield* post(receiver.url)).status, status)
      }
      assert.strictEqual(other.connections, 0)
    }).pipe(Effect.scoped)
  )

  it.live("asks no proxy", () =>
    Effect.gen(function* () {
      const [receiver, proxy] = [yield* Receiver.make, yield* Receiver.make]
      for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY"]) {
        const before = process.env[name]
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            if (before === undefined) delete process.env[name]
            else process.env[name] = before
          })
        )
        process.env[name] = `http://127.0.0.1:${proxy.port}`
      }
      assert.strictEqual((yield* post(receiver.url)).status, 204)
      assert.strictEqual(proxy.connections, 0)
    }).pipe(Effect.scoped)
  )

  it.effect("keeps the beginning of an answer, safe to show, and hears Retry-After", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make
      receiver.answer = (response) => response.writeHead(503, { "retry-after": "120" }).end("busy\n\u001b[31m")
      assert.deepStrictEqual(yield* post(receiver.url), {
        status: 503,
        retryAfter: Duration.seconds(120),
        text: "busy\\n\\u{1b}[31m"
      })
      // The clock of this test is at the beginning of 1970.
      receiver.answer = (response) => response.writeHead(429, { "retry-after": "Thu, 01 Jan 1970 00:01:00 GMT" }).end()
      assert.deepStrictEqual((yield* post(receiver.url)).retryAfter, Duration.seconds(60))
      receiver.answer = (response) => response.writeHead(503, { "retry-after": "soon" }).end("\u{1F4EC}".repeat(2000))
      const answer = yield* post(receiver.url)
      assert.deepStrictEqual([answer.retryAfter, answer.text], [undefined, "\u{1F4EC}".repeat(1000)])
    }).pipe(Effect.scoped)
  )

  it.live("reads 64 kB of an answer that never ends, and hangs up", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make
      const closed = yield* Deferred.make<void>()
      receiver.answer = (response) => {
        const more = (): void => {
          while (response.write("a".repeat(16_384)));
        }
        response.on("drain", more)
        response.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
        response.writeHead(200)
        more()
      }
      const answer = yield* post(receiver.url)
      assert.deepStrictEqual([answer.status, answer.text?.length], [200, 1000])
      yield* Deferred.await(closed)
    }).pipe(Effect.scoped)
  )

  it.effect("gives up an endpoint that does not answer, and lets one go whose body does not end", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make
      const asked = yield* Deferred.make<void>()
      receiver.answer = (response, nth) => {
        if (nth === 0) return Deferred.doneUnsafe(asked, Effect.void)
        response.writeHead(200)
        response.write("half")
        return undefined
      }
      const silent = yield* Effect.forkChild(Effect.flip(post(receiver.url)))
      yield* Deferred.await(asked)
      yield* TestClock.adjust("16 seconds")
      assert.strictEqual((yield* Fiber.join(silent)).message, "no answer within 15s")
      const headers = yield* Deferred.make<void>()
      const arrived = (): void => void Deferred.doneUnsafe(headers, Effect.void)
      yield* Effect.acquireRelease(
        Effect.sync(() => Diagnostics.subscribe("undici:request:headers", arrived)),
        () => Effect.sync(() => Diagnostics.unsubscribe("undici:request:headers", arrived))
      )
      const half = yield* Effect.forkChild(post(receiver.url))
      yield* Deferred.await(headers)
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(yield* Fiber.join(half), { status: 200, retryAfter: undefined, text: "half" })
    }).pipe(Effect.scoped)
  )

  it.live("says what is wrong with an endpoint that can't be asked", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.make
      const { port } = receiver
      receiver.answer = (response) => response.destroy()
      assert.strictEqual((yield* Effect.flip(post(receiver.url))).message, "it closed the connection")
      assert.match((yield* Effect.flip(post(`https://127.0.0.1:${port}/`))).message, /SSL|TLS|wrong version/i)
      const closed = yield* Effect.flip(post(`http://127.0.0.1:${yield* freePort}/`))
      assert.strictEqual(closed.message, "nothing listens there")
    }).pipe(Effect.scoped)
  )
})
