#!/usr/bin/env node
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as App from "./App.ts"
import * as Cli from "./cli/Cli.ts"
import * as Shutdown from "./cli/Shutdown.ts"

Cli.main.pipe(
  Effect.provide(Layer.provideMerge(App.layer, NodeServices.layer)),
  Shutdown.runMain({ disableErrorReporting: true, teardown: Cli.teardown(process.argv.slice(2)) })
)
