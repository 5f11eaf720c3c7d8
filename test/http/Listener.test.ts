/** The server's limits for clients, with clients that are slow, half open, or early. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Net from "node:net"
import { ListenerLimits } from "../../src/http/Listener.ts"
import { freePort } from "../support/FreePort.ts"
import { ask, layer, TestServer, token } from "../support/HttpServer.ts"

const portOf = (url: string): number => Number(new URL(url).port)

/** Sends this text once the port is open, with retries, and returns the first response. */
const firstAnswer = (port: number, text: string): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    let ended = false
    const attempt = () => {
      const socket = Net.connect(port, "127.0.0.1", () => socket.write(text))
      socket.on("data", (data) => {
        socket.destroy()
        resume(Effect.succeed(data.toString()))
      })
      socket.on("error", () => {
        if (!ended) setImmediate(attempt)
      })
    }
    attempt()
    return Effect.sync(() => {
      ended = true
    })
  })

const health = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

it.live("a request that comes the moment the port is open is answered", () =>
  Effect.gen(function* () {
    const port = yield* freePort
    const early = yield* Effect.forkChild(firstAnswer(port, health))
    yield* TestServer.use(() =>
      Effect.map(Fiber.join(early), (answer) => assert.match(answer, /^HTTP\/1.1 200 /))
    ).pipe(Effect.provide(layer({ env: { PORT: String(port), IDEM_API_TOKEN: token } })))
  })
)

/**
 * A client that sends this text, then a byte at intervals, and never closes its side. Ends after the server has closed
 * the connection.
 */
const slow = (port: number, text: string) => {
  const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => socket.write(text))
  const gone = new Promise<void>((resolve) => {
    const drip = setInterval(() => socket.write("x"), 100)
    socket.on("error", () => undefined)
    socket.on("close", () => {
      clearInterval(drip)
      resolve()
    })
  })
  const open = new Promise<void>((resolve) => {
    socket.once("connect", resolve)
    socket.once("close", () => resolve())
  })
  return { socket, open, gone }
}

const halfHeader = "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
const halfBody =
  "POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"

/** Opens clients of both kinds, half of each, which are closed with the scope. */
const clients = (url: string, count: number) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      Array.from({ length: count }, (_, index) => slow(portOf(url), index % 2 === 0 ? halfHeader : halfBody))
    ),
    (all) => Effect.sync(() => all.forEach(({ socket }) => socket.destroy()))
  ).pipe(Effect.tap((all) => Effect.promise(() => Promise.all(all.map(({ open }) => open)))))

const limited = (limits: ListenerLimits) =>
  Effect.provide(Layer.provide(layer({ env: { IDEM_API_TOKEN: token } }), Layer.succeed(ListenerLimits, limits)))

it.live("more slow clients than the server takes lock nobody out", () =>
  Effect.gen(function* () {
    const { url } = yield* TestServer
    // No time-out helps here: a client gets a connection only when another one ends.
    yield* clients(url, 300)
    for (let times = 0; times < 20; times++) assert.strictEqual((yield* ask(`${url}/health`)).status, 200)
  }).pipe(Effect.scoped, limited({ maxConnections: 200, requestTimeout: 600_000 }))
)

it.live("a slow client loses its socket, also one that never closes its side", () =>
  Effect.gen(function* () {
    const { url } = yield* TestServer
    const all = yield* clients(url, 200)
    yield* Effect.promise(() => Promise.all(all.map(({ gone }) => gone)))
    // On a busy machine, this client too may exceed its time limit.
    yield* Effect.repeat(firstAnswer(portOf(url), health), { until: (answer) => /^HTTP\/1.1 200 /.test(answer) })
  }).pipe(Effect.scoped, limited({ maxConnections: 1_000, requestTimeout: 500 }))
)
