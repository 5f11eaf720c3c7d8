/** An HTTP endpoint on loopback that stores its requests, and responds as a test scripts it. */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"

export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: Http.IncomingHttpHeaders
  readonly body: string
}

export class Receiver {
  readonly received: Array<Received> = []
  /** The number of connections that were ever made to the endpoint. */
  connections = 0
  port = 0
  /** Responds to the nth request, counted from 0. */
  answer: (response: Http.ServerResponse, nth: number) => void = (response) => response.writeHead(204).end()

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`
  }
}

/** Starts an endpoint, which listens until the scope closes. */
export const make = Effect.acquireRelease(
  Effect.callback<readonly [Receiver, Http.Server, Set<Socket>]>((resume) => {
    const receiver = new Receiver()
    const sockets = new Set<Socket>()
    const server = Http.createServer({ keepAliveTimeout: 0 }, (request, response) => {
      let body = ""
      request.setEncoding("utf8")
      request.on("data", (chunk: string) => (body += chunk))
      request.on("end", () => {
        const { headers, method = "", url = "" } = request
        receiver.received.push({ method, path: url, headers, body })
        receiver.answer(response, receiver.received.length - 1)
      })
    })
    server.on("connection", (socket) => {
      receiver.connections += 1
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    server.listen(0, "127.0.0.1", () => {
      receiver.port = (server.address() as AddressInfo).port
      resume(Effect.succeed([receiver, server, sockets]))
    })
  }),
  ([, server, sockets]) =>
    Effect.callback<void>((resume) => {
      for (const socket of sockets) socket.destroy()
      server.close(() => resume(Effect.void))
    })
).pipe(Effect.map(([receiver]) => receiver))
