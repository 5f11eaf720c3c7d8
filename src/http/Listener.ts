/**
 * The listening socket: Node's HTTP server, with limits for each client.
 *
 * A slow client occupies one socket for 10 seconds. When connections become scarce, the connection that has waited
 * longest for its client is closed to make room for a new one (like nginx's reuse of connections), so that slow clients
 * never lock others out. On shutdown, waiting readers get a response at once, requests in progress may end within
 * `grace`, and then every connection is closed.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Http from "node:http"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import { ListenError, Settings } from "./ServerSettings.ts"

/** Limits of the server's connections. */
export interface ListenerLimits {
  readonly maxConnections: number
  /** Milliseconds within which a whole request (at most 1 MB) must arrive. Node checks every second. */
  readonly requestTimeout: number
}
export const ListenerLimits = Context.Reference<ListenerLimits>("idem/http/Listener/ListenerLimits", {
  defaultValue: () => ({ maxConnections: 1_000, requestTimeout: 10_000 })
})

/**
 * The share of connections that stays free for new clients. When the others are in use, each new connection closes a
 * waiting one.
 */
const reserve = 0.1

/** A connection without traffic is closed after this many milliseconds: longer than any response takes. */
const quietTimeout = 120_000

/** The most milliseconds between two requests of one connection. */
const keepAliveTimeout = 5_000

/** How long a refused client has to read the reason. */
const refusalTimeout = Duration.seconds(1)

/**
 * The exchange of each open connection, in the order in which the connections were opened; undefined before its
 * request.
 */
type Exchanges = Map<Net.Socket, Http.ServerResponse | undefined>

/**
 * Returns true while the connection waits for its client: for a request, for the rest of one, or for the client to read
 * a complete response.
 */
const waitsForClient = (exchange: Http.ServerResponse | undefined): boolean =>
  exchange === undefined || !exchange.req.complete || exchange.writableEnded

/** Closes the oldest connections that wait for their client, if more than `most` are open. */
const makeRoom = (exchanges: Exchanges, newest: Net.Socket, most: number): void => {
  let excess = exchanges.size - most
  for (const [socket, exchange] of exchanges) {
    if (excess <= 0) return
    if (socket === newest || !waitsForClient(exchange)) continue
    excess--
    exchanges.delete(socket)
    socket.destroy()
  }
}

/** Tracks the server's connections, and makes room for new ones. */
const track = (server: Http.Server, most: number): Exchanges => {
  const exchanges: Exchanges = new Map()
  server.on("connection", (socket) => {
    exchanges.set(socket, undefined)
    socket.once("close", () => exchanges.delete(socket))
    makeRoom(exchanges, socket, most)
  })
  server.on("request", (request, response) => {
    const { socket } = request
    if (!exchanges.has(socket)) return
    exchanges.set(socket, response)
    response.once("close", () => {
      if (exchanges.get(socket) !== response) return
      // The connection is now idle. It moves to the end, because connections that were idle for longer are closed
      // first.
      exchanges.delete(socket)
      exchanges.set(socket, undefined)
    })
  })
  return exchanges
}

/** Answers requests that are not HTTP, arrive too slowly, or have too long headers. They never reach a handler. */
const refuse = (error: NodeJS.ErrnoException, socket: Duplex, hasAnswer: boolean): void => {
  if (error.code === "ECONNRESET" || !socket.writable || hasAnswer) return void socket.destroy()
  const [status, title] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? ([431, "The headers are too large"] as const)
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ([408, "The request took too long to come"] as const)
        : ([400, "The request is not valid HTTP"] as const)
  const body = JSON.stringify({ type: "about:blank", status, title })
  socket.end(
    [
      `HTTP/1.1 ${status} ${Http.STATUS_CODES[status]}`,
      "Content-Type: application/problem+json",
      `Content-Length: ${Buffer.byteLength(body)}`,
      "X-Content-Type-Options: nosniff",
      "Connection: close",
      "",
      body
    ].join("\r\n")
  )
}

const listenError =
  (host: string, port: number) =>
  ({ cause }: ServeError): ListenError => {
    const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : "unknown"
    const at = `${host.includes(":") ? `[${host}]` : host}:${port}`
    switch (code) {
      case "EADDRINUSE":
        return new ListenError({ message: `${at} is taken by another program: set PORT to another port` })
      case "EACCES":
        return new ListenError({ message: `${at} may not be listened on by this user: set PORT to one above 1023` })
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        return new ListenError({ setting: "HOST", message: `HOST ${host} is not an address of this machine` })
      default:
        return new ListenError({ message: `${at} can't be listened on (${code})` })
    }
  }

export const layer: Layer.Layer<HttpServer.HttpServer, ListenError, Settings> = Layer.effect(
  HttpServer.HttpServer,
  Effect.gen(function* () {
    const { grace, host, port } = yield* Settings
    const { maxConnections, requestTimeout } = yield* ListenerLimits
    const fork = yield* FiberSet.makeRuntime()
    const server = Http.createServer({
      headersTimeout: requestTimeout,
      requestTimeout,
      keepAliveTimeout,
      connectionsCheckingInterval: 1_000
    })
    server.maxConnections = maxConnections
    server.setTimeout(quietTimeout)
    const exchanges = track(server, Math.floor(maxConnections * (1 - reserve)))
    server.on("clientError", (error, socket) => {
      refuse(error, socket, socket instanceof Net.Socket && exchanges.get(socket)?.headersSent === true)
      // A client that neither reads nor closes would keep the connection open after the response.
      fork(
        Effect.andThen(
          Effect.sleep(refusalTimeout),
          Effect.sync(() => socket.destroy())
        )
      )
    })
    const http = yield* NodeHttpServer.make(() => server, { host, port, gracefulShutdownTimeout: grace }).pipe(
      Effect.mapError(listenError(host, port))
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
    return http
  })
)
