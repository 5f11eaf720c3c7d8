#!/usr/bin/env node
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Cli from "./cli/Cli.ts"
import * as Shutdown from "./cli/Shutdown.ts"

// Help, the version and wrong usage need nothing of it.
const app = Layer.unwrap(
  Effect.map(
    Effect.promise(() => import("./App.ts")),
    ({ layer }) => layer
  )
)

Cli.main(app).pipe(
  Effect.provide(NodeServices.layer),
  Shutdown.runMain({ disableErrorReporting: true, teardown: Cli.teardown(process.argv.slice(2)) })
)
