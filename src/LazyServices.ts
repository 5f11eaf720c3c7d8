/** Services whose modules are loaded at their first use, so that commands start faster. */
import * as NodeDns from "@effect/platform-node/NodeDns"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import { Deriver, type ProjectionRegistry } from "./derive/Deriver.ts"
import { Search } from "./derive/search/Search.ts"
import { Engine } from "./engine/Engine.ts"
import type { Store } from "./engine/Store.ts"
import type * as LeasedSlice from "./engine/sync/LeasedSlice.ts"
import { Destination } from "./engine/webhooks/Destination.ts"
import { Sender } from "./engine/webhooks/Sender.ts"

/** Loads a service once. `get` and `call` make members that wait for it: effects, and functions that return one. */
const loadOnce = Effect.fnUntraced(function* <Service, R>(load: Effect.Effect<Service, never, R>) {
  const context = yield* Effect.context<R>()
  // Uninterruptible: the interruption of the first request must not be cached as the result.
  const loaded = yield* Effect.cached(Effect.uninterruptible(Effect.provideContext(load, context)))
  return {
    get: <A, E>(member: (service: Service) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.flatMap(loaded, member),
    call:
      <Args extends ReadonlyArray<unknown>, A, E>(
        member: (service: Service) => (...args: Args) => Effect.Effect<A, E>
      ) =>
      (...args: Args): Effect.Effect<A, E> =>
        Effect.flatMap(loaded, (service) => member(service)(...args))
  }
})

export const engine = Layer.effect(
  Engine,
  Effect.gen(function* () {
    const { call } = yield* loadOnce(
      Effect.flatMap(
        Effect.promise(() => import("./engine/sync/SyncEngine.ts")),
        ({ make }): Effect.Effect<Engine["Service"], never, LeasedSlice.Services> => make
      )
    )
    return Engine.of({
      connect: call(({ connect }) => connect),
      sync: call(({ sync }) => sync),
      retry: call(({ retry }) => retry)
    })
  })
)

export const deriver = Layer.effect(
  Deriver,
  Effect.gen(function* () {
    const context = yield* Effect.context<Store | SqlClient | ProjectionRegistry>()
    const { call, get } = yield* loadOnce(
      Effect.flatMap(
        Effect.promise(() => import("./derive/PostgresDeriver.ts")),
        ({ make }) => make
      )
    )
    return {
      catchUp: get(({ catchUp }) => catchUp),
      follow: get(({ follow }) => follow),
      rebuild: get(({ rebuild }) => rebuild),
      setLanguage: call(({ setLanguage }) => setLanguage),
      // `idem status` uses only this method.
      lag: (of) =>
        Effect.flatMap(
          Effect.promise(() => import("./derive/Lag.ts")),
          ({ read }) => Effect.provideContext(read(of), context)
        ),
      query: call(({ query }) => query),
      grant: call(({ grant }) => grant),
      reads: {
        get: call(({ reads }) => reads.get),
        thread: call(({ reads }) => reads.thread)
      },
      tokens: {
        create: call(({ tokens }) => tokens.create),
        list: get(({ tokens }) => tokens.list),
        revoke: call(({ tokens }) => tokens.revoke),
        scopeOf: call(({ tokens }) => tokens.scopeOf)
      }
    }
  })
)

export const search = Layer.effect(
  Search,
  Effect.gen(function* () {
    const { call } = yield* loadOnce(
      Effect.flatMap(
        Effect.promise(() => import("./derive/search/SearchClient.ts")),
        ({ make }) => make
      )
    )
    return { search: call(({ search }) => search) }
  })
)

/** Sends to webhooks, at the addresses that `IDEM_WEBHOOK_ALLOW` allows. For a server, which needs it at once. */
export const eagerSender = Layer.unwrap(
  Effect.map(
    Effect.promise(() =>
      Promise.all([import("./http/webhooks/WebhookSender.ts"), import("./engine/webhooks/Destination.ts")])
    ),
    ([WebhookSender, Destination]) =>
      Layer.provideMerge(WebhookSender.layer, Layer.provide(Destination.layer, NodeDns.layer))
  )
)

/** The same as `eagerSender`, for a command. */
export const sender = Layer.effectContext(
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const { call } = yield* loadOnce(Effect.orDie(Layer.buildWithScope(eagerSender, scope)))
    return Context.make(
      Destination,
      Destination.of({ check: call((built) => Context.get(built, Destination).check) })
    ).pipe(Context.add(Sender, Sender.of({ post: call((built) => Context.get(built, Sender).post) })))
  })
)
