import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as LocalApi from "../../src/http/client/LocalApi.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Memory from "../../src/stores/Memory.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import type { Store } from "../../src/engine/Store.ts"
import { integration, MemorySource } from "../support/MemorySource.ts"
import * as Database from "../support/Postgres.ts"
import * as TestEngine from "../support/TestEngine.ts"
import { Scripted } from "./ApiFixture.ts"
import { scheduler, suite } from "./lawsOfApi.ts"

/** The API over this store, in process, with a scheduler. */
const over = <E>(store: Layer.Layer<Store, E>) =>
  Layer.unwrap(
    Effect.sync(() => {
      const source = new MemorySource()
      const api = LocalApi.layer.pipe(Layer.provide(NodeServices.layer))
      return Layer.mergeAll(api, scheduler, Layer.succeed(Scripted, { source })).pipe(
        Layer.provide(TestEngine.engineOver(store, integration(source))),
        Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
      )
    })
  )

suite("in process over memory", over(Memory.layer))

suite(
  "in process over PostgreSQL",
  over(Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provide(Database.layer)))
)
