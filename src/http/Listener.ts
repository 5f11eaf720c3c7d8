/**
 * The listening socket: Node's HTTP server with bounds on what a client may take of it, and how it ends. Who waits is
 * answered at once, what is being answered may end within `grace`, and then every connection is closed.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Http from "node:http"
import type * as Net from "node:net"
import { ListenError, Settings } from "./ServerSettings.ts"

/** All headers must have come by then, and the whole request (at most 1 MB) by then; checked every second. */
const headersTimeout = 10_000
const requestTimeout = 60_000

/** A connection on which nothing moves for longer is closed: longer than any answer is waited for. */
const quietTimeout = 120_000

/** Between two requests of one connection. */
const keepAliveTimeout = 5_000

const maxConnections = 1_000

/** Requests that are no HTTP, or too slow, or too long in their headers: they never become a request. */
const refuse = (error: NodeJS.ErrnoException, socket: Net.Socket): void => {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy()
  const [status, title] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? ([431, "The headers are too large"] as const)
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ([408, "The request took too long to come"] as const)
        : ([400, "The request is no HTTP"] as const)
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
        return new ListenError({ message: `HOST ${host} is no address of this machine` })
      default:
        return new ListenError({ message: `${at} can't be listened on (${code})` })
    }
  }

export const layer: Layer.Layer<HttpServer.HttpServer, ListenError, Settings> = Layer.effect(
  HttpServer.HttpServer,
  Effect.gen(function* () {
    const { grace, host, port } = yield* Settings
    const server = Http.createServer({
      headersTimeout,
      requestTimeout,
      keepAliveTimeout,
      connectionsCheckingInterval: 1_000
    })
    server.maxConnections = maxConnections
    server.setTimeout(quietTimeout)
    server.on("clientError", refuse)
    const http = yield* NodeHttpServer.make(() => server, { host, port, gracefulShutdownTimeout: grace }).pipe(
      Effect.mapError(listenError(host, port))
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
    return http
  })
)
