/** Derives the schema `mirror` from the change feed: all at once, or as changes come. PostgreSQL only. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { UsageError } from "../engine/Engine.ts"
import type { StoreError } from "../engine/store/StoreError.ts"
import type { Lag } from "./Lag.ts"
import type { MirrorNewer, ProjectionInvalid, Projections } from "./MirrorTables.ts"

/** The integrations' projections, of `idem.config.ts` too. Loaded when something is derived. */
export class ProjectionRegistry extends Context.Service<
  ProjectionRegistry,
  { readonly all: Effect.Effect<Projections, UsageError> }
>()("idem/derive/ProjectionRegistry") {}

type DeriveError = StoreError | MirrorNewer | ProjectionInvalid | UsageError

/** What a catch-up did. `followed`: another process follows the feed, and this one left the work to it. */
interface CaughtUp {
  readonly changes: number
  readonly followed: boolean
}

export interface Deriver {
  /** Derives all changes that are visible now. */
  readonly catchUp: Effect.Effect<CaughtUp, DeriveError>
  /** Derives changes as they come, while no other process does. Failures are logged, and it goes on. */
  readonly follow: Effect.Effect<never>
  /** Makes all derived rows again, from the next step on. Rows stay readable meanwhile. */
  readonly rebuild: Effect.Effect<void, DeriveError>
  readonly lag: Effect.Effect<Lag, DeriveError>
}

const unavailable = new UsageError({ message: "the schema mirror needs PostgreSQL: this store is in memory" })

/** The deriver of this database. The default is that of a store without SQL. */
export const Deriver = Context.Reference<Deriver>("idem/derive/Deriver", {
  defaultValue: () => ({ catchUp: unavailable, follow: Effect.never, rebuild: unavailable, lag: unavailable })
})
