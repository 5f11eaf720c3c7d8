/** Totals of one connection, and of the whole database. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ConnectionId } from "../model/Connection.ts"
import type { Overview, Totals } from "../model/Overview.ts"
import type { StoreError } from "./StoreError.ts"

export class OverviewStore extends Context.Service<
  OverviewStore,
  {
    readonly totals: (connectionId: ConnectionId) => Effect.Effect<Totals, StoreError>
    /** Returns the totals. The time is proportional to the number of connections, and independent of their contents. */
    readonly overview: Effect.Effect<Overview, StoreError>
  }
>()("idem/engine/store/OverviewStore") {}
