/** Derives the schema `mirror` from the change feed: all at once, or as changes come. PostgreSQL only. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { UsageError } from "../engine/Engine.ts"
import type { StoreError } from "../engine/store/StoreError.ts"
import type { Lag } from "./Lag.ts"
import type { Query, Result } from "./SqlQuery.ts"
import type { Content, Message, Page, Paged, Ref } from "./AgentReads.ts"
import type { ReadToken, Scope } from "./ReadTokens.ts"
import type { Projections } from "./MirrorTables.ts"

/** The integrations' projections, of `idem.config.ts` too. Loaded when something is derived. */
export class ProjectionRegistry extends Context.Service<
  ProjectionRegistry,
  { readonly all: Effect.Effect<Projections, UsageError> }
>()("idem/derive/ProjectionRegistry") {}

type DeriveError = StoreError | UsageError

/** The result of a catch-up. `followed`: another process follows the feed, and this process left the work to it. */
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
  /** Sets the language in which search reads a connection; its contents are to be indexed again. */
  readonly setLanguage: (connection: string, language: string) => Effect.Effect<void, DeriveError>
  /** How far derived data is behind, of these connections or of all. */
  readonly lag: (of?: Scope) => Effect.Effect<Lag, DeriveError>
  /** Runs a query that only reads the schema `mirror`. Fails with `UsageError` where the database refuses it. */
  readonly query: (query: Query) => Effect.Effect<Result, DeriveError>
  /** Bounded reads for agents, of connections by their names. */
  readonly reads: {
    readonly get: (
      names: ReadonlyArray<string>,
      ref: Ref,
      page: { readonly offset: number; readonly length: number; readonly part?: number | undefined }
    ) => Effect.Effect<Option.Option<Content>, DeriveError>
    readonly thread: (names: ReadonlyArray<string>, ref: Ref, page: Page) => Effect.Effect<Paged<Message>, DeriveError>
  }
  /** Tokens that may only read; see `ReadTokens.ts`. */
  readonly tokens: {
    readonly create: (name: string, connections: Scope) => Effect.Effect<Redacted.Redacted, DeriveError>
    readonly list: Effect.Effect<ReadonlyArray<ReadToken>, DeriveError>
    readonly revoke: (name: string) => Effect.Effect<boolean, DeriveError>
    readonly scopeOf: (token: Redacted.Redacted) => Effect.Effect<Option.Option<Scope>, StoreError>
  }
  /** True if queries run with the rights of a role that may read nothing but `mirror`. */
  readonly isolated: Effect.Effect<boolean, DeriveError>
  /** Lets a role read `mirror`; see `ReadOnlyRole.grant`. */
  readonly grant: (
    role: string,
    options: { readonly login: boolean }
  ) => Effect.Effect<{ readonly created: boolean; readonly password: string | undefined }, DeriveError>
}

const unavailable = new UsageError({ message: "the schema mirror needs PostgreSQL: this store is in memory" })

/**
 * The deriver of this database. The default is that of a store in memory, which has no schema and nothing to catch up.
 */
export const Deriver = Context.Reference<Deriver>("idem/derive/Deriver", {
  defaultValue: () => ({
    catchUp: Effect.succeed({ changes: 0, followed: false }),
    follow: Effect.never,
    rebuild: unavailable,
    setLanguage: () => unavailable,
    lag: () => unavailable,
    query: () => unavailable,
    reads: { get: () => unavailable, thread: () => unavailable },
    tokens: {
      create: () => unavailable,
      list: unavailable,
      revoke: () => unavailable,
      scopeOf: () => Effect.succeedNone
    },
    isolated: unavailable,
    grant: () => unavailable
  })
})

/**
 * Derives what a sync has stored, unless a server does. A failure is only logged, a defect too: the sync itself is
 * done.
 */
export const afterSync: Effect.Effect<void> = Effect.flatMap(Deriver, ({ catchUp }) => catchUp).pipe(
  Effect.catch(({ message }) => Effect.logWarning(`deriving the schema mirror: ${message}; later: idem derive`)),
  Effect.catchDefect((defect) => Effect.logError("deriving the schema mirror; later: idem derive", defect)),
  Effect.asVoid
)
