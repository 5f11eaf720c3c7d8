/**
 * A process that uses the embedded server of a folder, like an `idem` command: prints the server as one line of JSON,
 * and releases it when stdin ends.
 */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Embedded from "../../src/stores/Embedded.ts"

const [folder = "data"] = process.argv.slice(2)

Effect.gen(function* () {
  const { folder: place, pid, socket, started } = yield* Embedded.make({ folder })
  process.stdout.write(`${JSON.stringify({ folder: place, pid, socket, started })}\n`)
  yield* Stream.runDrain(Stream.fromAsyncIterable(process.stdin, (cause) => cause))
}).pipe(
  Effect.scoped,
  Effect.provide(Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])),
  NodeRuntime.runMain
)
