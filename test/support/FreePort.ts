import * as Effect from "effect/Effect"
import { randomInt } from "node:crypto"
import { createServer } from "node:net"

/** Systems take ports from here on (Linux) for servers that name none, and for the near ends of connections. */
const ephemeral = 32_768

/** Each worker of a run of the tests has ports of its own: none takes one that another has found free. */
const workers = 16
const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % workers

/**
 * A TCP port of loopback on which nothing listens, for a program that must be told one. It is below those that the
 * system gives away itself, since a test beside this one would soon get such a port again.
 */
export const freePort: Effect.Effect<number> = Effect.callback<number, Error>((resume) => {
  const port = workers * randomInt(10_000 / workers, ephemeral / workers) + worker
  const probe = createServer().once("error", (error) => resume(Effect.fail(error)))
  probe.listen(port, "127.0.0.1", () => probe.close(() => resume(Effect.succeed(port))))
}).pipe(Effect.retry({ times: 100 }), Effect.orDie)
