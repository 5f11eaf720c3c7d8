import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Local from "../../src/engine/Local.ts"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import * as Blobs from "../../src/stores/blobs/Postgres.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { integration, MemorySource } from "../support/MemorySource.ts"
import * as Database from "../support/Postgres.ts"
import * as TestEngine from "../support/TestEngine.ts"
import { Scripted, suite } from "./lawsOfControl.ts"

const store = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provide(Database.layer))

suite(
  "Local over Postgres",
  Layer.unwrap(
    Effect.sync(() => {
      const source = new MemorySource()
      return Layer.mergeAll(Local.layer, Scheduler.layer, Layer.succeed(Scripted, { source })).pipe(
        Layer.provide(TestEngine.engineOver(store, integration(source))),
        Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
      )
    })
  )
)
