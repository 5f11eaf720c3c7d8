/** `Control` here, in this process: over the store and the engine. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Connections from "./control/Connections.ts"
import * as Contents from "./control/Contents.ts"
import * as Tasks from "./control/Tasks.ts"
import { Control } from "./Control.ts"
import { Engine } from "./Engine.ts"
import * as Feed from "./Feed.ts"
import { Limits } from "./Limits.ts"
import { Store } from "./Store.ts"

/** With this feed of changes, which a process has one of. */
export const layerNoDeps: Layer.Layer<Control, never, Store | Engine | Feed.Feed> = Layer.effect(
  Control,
  Effect.gen(function* () {
    const context = yield* Effect.context<Store | Engine | Feed.Feed>()
    const store = Context.get(context, Store)
    const engine = Context.get(context, Engine)
    const feed = Context.get(context, Feed.Feed)
    return {
      ...Connections.make(store, engine),
      ...Tasks.make(store, engine, yield* Limits),
      ...Contents.make(store, feed)
    }
  })
)

export const layer: Layer.Layer<Control, never, Store | Engine> = Layer.provide(layerNoDeps, Feed.layer)
