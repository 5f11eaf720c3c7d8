/** The program that `src/main.ts` starts: the commands over the real services, run until a signal or their end. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Cli from "./Cli.ts"
import * as Shutdown from "./Shutdown.ts"

// Loaded on demand: help, the version and wrong usage do not need the application.
const app = Layer.unwrap(
  Effect.map(
    Effect.promise(() => import("../App.ts")),
    ({ layer }) => layer
  )
)

Cli.main(app).pipe(
  Effect.provide(NodeServices.layer),
  Shutdown.runMain({ disableErrorReporting: true, teardown: Cli.teardown(process.argv.slice(2)) })
)
