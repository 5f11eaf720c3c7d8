import * as Effect from "effect/Effect"
import { randomInt } from "node:crypto"
import { createServer } from "node:net"

/** The first port of the range from which Linux assigns ports to servers that request none, and to clients. */
const ephemeral = 32_768

/**
 * The number of port ranges. Each worker of a test run uses its own range, so that no worker takes a port that another
 * has found free.
 */
const workers = 16
const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % workers

/**
 * Returns a TCP port of loopback on which nothing listens, for a program that needs a port number. The port is below
 * the range from which the system assigns ports, because a concurrent test might soon be assigned a port in that range.
 */
export const freePort: Effect.Effect<number> = Effect.callback<number, Error>((resume) => {
  const port = workers * randomInt(10_000 / workers, ephemeral / workers) + worker
  const probe = createServer().once("error", (error) => resume(Effect.fail(error)))
  probe.listen(port, "127.0.0.1", () => probe.close(() => resume(Effect.succeed(port))))
}).pipe(Effect.retry({ times: 100 }), Effect.orDie)
