/** A proxy on loopback that damages responses: sent slowly, cut short, reset, or stalled in the middle. */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Tally } from "./Tally.ts"

type Spoil =
  /** Sends a few bytes at a time. */
  | "slow"
  /** Sends half of the next bytes, then ends the connection. */
  | "cut"
  /** Sends half of the next bytes, then resets the connection. */
  | "reset"
  /** Sends half of the next bytes, and then nothing. */
  | "stall"

export interface Proxy {
  readonly port: number
  /** Damages the next response. */
  readonly spoil: (how: Spoil) => void
  readonly heal: () => void
  /** Returns the number of damaged responses. */
  readonly spoilt: () => number
}

/** Sends these bytes in eight parts, ten milliseconds apart. */
const trickle = (bytes: Buffer, to: Net.Socket, done: () => void): void => {
  const part = Math.max(1, Math.ceil(bytes.length / 8))
  const send = (from: number) => {
    if (from >= bytes.length || to.destroyed) return done()
    to.write(bytes.subarray(from, from + part), () => setTimeout(send, 10, from + part))
  }
  send(0)
}

/**
 * Starts the proxy. With `names`, it replaces the server's address in responses with its own, whose port has as many
 * digits.
 */
export const run = (
  port: number,
  options: { readonly tally: Tally; readonly names?: boolean }
): Effect.Effect<Proxy, never, Scope.Scope> => {
  let ours = port
  const named = (bytes: Buffer) =>
    options.names === true && bytes.includes(`127.0.0.1:${port}`)
      ? Buffer.from(bytes.toString("latin1").replaceAll(`127.0.0.1:${port}`, `127.0.0.1:${ours}`), "latin1")
      : bytes
  const waiting: Array<Spoil> = []
  const sockets = new Set<Net.Socket>()
  let spoilt = 0

  const serve = (client: Net.Socket) => {
    const server = Net.connect(port, "127.0.0.1")
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on("error", () => socket.destroy())
      socket.on("close", () => sockets.delete(socket))
    }
    client.on("data", (bytes) => server.write(bytes))
    client.on("close", () => server.destroy())
    server.on("close", () => client.end())
    server.on("data", (chunk: Buffer) => {
      const bytes = named(chunk)
      const how = waiting.shift()
      if (how === undefined) return void client.write(bytes)
      spoilt += 1
      options.tally.meet(`${how} bytes`)
      if (how === "slow") {
        server.pause()
        return trickle(bytes, client, () => server.resume())
      }
      client.write(bytes.subarray(0, bytes.length / 2), () => {
        if (how === "stall") server.pause()
        else if (how === "cut") client.end()
        else client.resetAndDestroy()
      })
    })
  }

  return Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const listener = Net.createServer(serve)
      listener.listen(0, "127.0.0.1", () => resume(Effect.succeed(listener)))
    }),
    (listener) =>
      Effect.callback<void>((resume) => {
        listener.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  ).pipe(
    Effect.map((listener) => {
      const address = listener.address()
      ours = typeof address === "object" && address !== null ? address.port : 0
      return {
        port: ours,
        spoil: (how) => {
          options.tally.order(`${how} bytes`)
          waiting.push(how)
        },
        heal: () => void waiting.splice(0),
        spoilt: () => spoilt
      }
    })
  )
}
