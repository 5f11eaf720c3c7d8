import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Local from "../../src/engine/Local.ts"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import { MemorySource } from "../support/MemorySource.ts"
import * as TestEngine from "../support/TestEngine.ts"
import { Scripted, suite } from "./lawsOfControl.ts"

suite(
  "Local over Memory",
  Layer.unwrap(
    Effect.sync(() => {
      const source = new MemorySource()
      return Layer.mergeAll(Local.layer, Scheduler.layer, Layer.succeed(Scripted, { source })).pipe(
        Layer.provide(TestEngine.layer(source)),
        Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
      )
    })
  )
)
