/**
 * How the process ends. The first SIGINT or SIGTERM interrupts the command: no new work is begun, what is whole is
 * committed, leases and locks are given back, and the database that Idem started is stopped by the last to leave. That
 * may take `IDEM_SHUTDOWN_TIMEOUT`; what is not done by then expires by itself. A second signal ends it at once.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Os from "node:os"

/** `IDEM_SHUTDOWN_TIMEOUT`: 30 seconds unless it is set. */
export const timeout: Config.Config<Duration.Duration> = Config.Duration("IDEM_SHUTDOWN_TIMEOUT").pipe(
  Config.withDefault(Duration.seconds(30))
)

/** Ends the process once the time is over. */
const deadline = Effect.gen(function* () {
  // A setting that can't be read was refused when the service started.
  const limit = yield* Effect.orElseSucceed(timeout, () => Duration.seconds(30))
  yield* Effect.sleep(limit)
  yield* Effect.sync(() => {
    process.stderr.write(`idem: not stopped within ${Duration.format(limit)}; what is open expires by itself\n`)
    process.exit(1)
  })
})

/** Runs the command line; `teardown` gives its exit code. */
export const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let stopping = false

  const onSignal = (signal: "SIGINT" | "SIGTERM"): void => {
    if (stopping) process.exit(128 + Os.constants.signals[signal])
    stopping = true
    fiber.interruptUnsafe(fiber.id)
    Effect.runFork(deadline)
  }

  // They stay until the process has ended: without them a second signal would end it with no code of ours.
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  fiber.addObserver((exit) => {
    teardown(exit, (code) => {
      if (stopping || code !== 0) process.exit(code)
      process.removeListener("SIGINT", onSignal)
      process.removeListener("SIGTERM", onSignal)
    })
  })
})
