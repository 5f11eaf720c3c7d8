#!/usr/bin/env -S node --max-semi-space-size=16
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as App from "./App.ts"
import * as Cli from "./cli/Cli.ts"

Cli.main.pipe(
  Effect.provide(Layer.provideMerge(App.layer, NodeServices.layer)),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: Cli.teardown(process.argv.slice(2)) })
)
