/** `Control` here, in this process: over the store and the engine. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Connections from "./control/Connections.ts"
import * as Contents from "./control/Contents.ts"
import * as Tasks from "./control/Tasks.ts"
import { Control } from "./Control.ts"
import { Engine } from "./Engine.ts"
import * as Feed from "./feed/Feed.ts"
import { Limits } from "./Limits.ts"
import { Store } from "./Store.ts"

export const layer: Layer.Layer<Control, never, Store | Engine> = Layer.effect(
  Control,
  Effect.gen(function* () {
    const store = yield* Store
    const engine = yield* Engine
    return {
      ...Connections.make(store, engine),
      ...Tasks.make(store, engine, yield* Limits),
      ...Contents.make(store, yield* Feed.Feed)
    }
  })
).pipe(Layer.provide(Feed.layer))
