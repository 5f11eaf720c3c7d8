/**
 * Handles SIGTERM and SIGINT. The first signal interrupts the command: it starts no new work, commits complete items,
 * releases leases and locks, and the last process stops the embedded database. The limit is `IDEM_SHUTDOWN_TIMEOUT`;
 * leases that were not released by then expire. A second signal ends the process at once.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Os from "node:os"
import * as DurationSetting from "../engine/DurationSetting.ts"

/** Ends the process when the limit is reached. */
const deadline = Effect.gen(function* () {
  // A server refuses an invalid setting when it starts; any other command uses the default.
  const limit = yield* Effect.orElseSucceed(DurationSetting.shutdownTimeout, () => Duration.seconds(30))
  yield* Effect.sleep(limit)
  yield* Effect.sync(() => {
    process.stderr.write(
      `idem: not stopped within ${Duration.format(limit)}; leases that are still held expire by themselves\n`
    )
    process.exit(1)
  })
})

/** Runs the command line; `teardown` determines its exit code. */
export const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let stopping = false

  const onSignal = (signal: "SIGINT" | "SIGTERM"): void => {
    if (stopping) process.exit(128 + Os.constants.signals[signal])
    stopping = true
    fiber.interruptUnsafe(fiber.id)
    Effect.runFork(deadline)
  }

  // The listeners stay until the process ends. Without them a second signal would bypass the exit code.
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
