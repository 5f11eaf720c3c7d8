/**
 * Counts the statements that a PostgreSQL receives, with a proxy that reads the client's messages of the protocol
 * (https://www.postgresql.org/docs/current/protocol-message-formats.html) and forwards everything.
 */
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as Path from "node:path"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"

/** Reads the frames of one direction. The first frame has no type byte. */
const reader = (onFrame: (type: string) => void) => {
  let pending: Buffer = Buffer.alloc(0)
  let started = false
  let skip = 0
  return (chunk: Buffer): void => {
    let rest = chunk
    if (skip > 0) {
      const passed = Math.min(skip, rest.length)
      skip -= passed
      rest = rest.subarray(passed)
    }
    pending = pending.length === 0 ? rest : Buffer.concat([pending, rest])
    while (true) {
      const head = started ? 5 : 4
      if (pending.length < head) return
      const length = pending.readUInt32BE(started ? 1 : 0) + (started ? 1 : 0)
      if (started) onFrame(String.fromCharCode(pending[0] ?? 0))
      started = true
      if (pending.length < length) {
        skip = length - pending.length
        pending = Buffer.alloc(0)
        return
      }
      pending = pending.subarray(length)
    }
  }
}

/**
 * Starts the proxy. `socket` is its path, and `count` the number of statements executed through it, including BEGIN and
 * COMMIT.
 */
export const counting = (target: string) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(Path.join(tmpdir(), "idem-count-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
    )
    const socket = Path.join(folder, Path.basename(target))
    let count = 0
    const open = new Set<Net.Socket>()
    yield* Effect.acquireRelease(
      Effect.callback<Net.Server>((resume) => {
        const server = Net.createServer((client) => {
          const database = Net.connect(target)
          const read = reader((type) => {
            // Execute in the extended protocol, Query in the simple protocol.
            if (type === "E" || type === "Q") count += 1
          })
          for (const one of [client, database]) {
            open.add(one)
            one.on("error", () => one.destroy())
            one.on("close", () => open.delete(one))
          }
          client.on("data", read)
          client.pipe(database)
          database.pipe(client)
        }).listen(socket, () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          for (const one of open) one.destroy()
          server.close(() => resume(Effect.void))
        })
    )
    return { socket, count: () => count }
  })
