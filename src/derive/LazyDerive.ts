/**
 * The deriver and the search, loaded when they are first used: the start of a command that needs neither would pay for
 * their modules.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import type { Store } from "../engine/Store.ts"
import { Deriver, type ProjectionRegistry } from "./Deriver.ts"
import { Search } from "./search/Search.ts"

/** The deriver. */
export const deriver = Layer.effect(
  Deriver,
  Effect.gen(function* () {
    const context = yield* Effect.context<Store | SqlClient | ProjectionRegistry>()
    const load = Effect.flatMap(
      Effect.promise(() => import("./PostgresDeriver.ts")),
      ({ make }) => Effect.provideContext(make, context)
    )
    const loaded = yield* Effect.cached(Effect.uninterruptible(load))
    return {
      catchUp: Effect.flatMap(loaded, ({ catchUp }) => catchUp),
      follow: Effect.flatMap(loaded, ({ follow }) => follow),
      rebuild: Effect.flatMap(loaded, ({ rebuild }) => rebuild),
      setLanguage: (...of) => Effect.flatMap(loaded, ({ setLanguage }) => setLanguage(...of)),
      // `idem status` asks for it, and for nothing else.
      lag: (of) =>
        Effect.flatMap(
          Effect.promise(() => import("./Lag.ts")),
          ({ read }) => Effect.provideContext(read(of), context)
        ),
      isolated: Effect.flatMap(loaded, ({ isolated }) => isolated),
      query: (query) => Effect.flatMap(loaded, (deriver) => deriver.query(query)),
      grant: (...role) => Effect.flatMap(loaded, (deriver) => deriver.grant(...role)),
      reads: {
        list: (...args) => Effect.flatMap(loaded, ({ reads }) => reads.list(...args)),
        get: (...args) => Effect.flatMap(loaded, ({ reads }) => reads.get(...args)),
        thread: (...args) => Effect.flatMap(loaded, ({ reads }) => reads.thread(...args))
      },
      tokens: {
        create: (...args) => Effect.flatMap(loaded, ({ tokens }) => tokens.create(...args)),
        list: Effect.flatMap(loaded, ({ tokens }) => tokens.list),
        revoke: (name) => Effect.flatMap(loaded, ({ tokens }) => tokens.revoke(name)),
        scopeOf: (token) => Effect.flatMap(loaded, ({ tokens }) => tokens.scopeOf(token))
      }
    }
  })
)

/** The search. */
export const search = Layer.effect(
  Search,
  Effect.gen(function* () {
    const context = yield* Effect.context<SqlClient>()
    const load = Effect.flatMap(
      Effect.promise(() => import("./search/SearchClient.ts")),
      ({ make }) => Effect.provideContext(make, context)
    )
    const loaded = yield* Effect.cached(Effect.uninterruptible(load))
    return { search: (query) => Effect.flatMap(loaded, ({ search }) => search(query)) }
  })
)
