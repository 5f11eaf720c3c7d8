/** Derives the schema `mirror` from the change feed, once or continuously. PostgreSQL only. */
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

/**
 * The projections of all integrations, including those of `idem.config.ts`. They are loaded when something is derived.
 */
export class ProjectionRegistry extends Context.Service<
  ProjectionRegistry,
  { readonly all: Effect.Effect<Projections, UsageError> }
>()("idem/derive/ProjectionRegistry") {}

type DeriveError = StoreError | UsageError

/** The result of a catch-up. `followed`: another process follows the feed, so this process derived nothing. */
interface CaughtUp {
  readonly changes: number
  readonly followed: boolean
}

export interface Deriver {
  /** Derives all changes that are visible now. */
  readonly catchUp: Effect.Effect<CaughtUp, DeriveError>
  /** Derives changes continuously, unless another process does. Failures are logged and retried. */
  readonly follow: Effect.Effect<never>
  /** Derives all rows again, beginning with the next step. Rows stay readable meanwhile. */
  readonly rebuild: Effect.Effect<void, DeriveError>
  /** Sets the language in which the texts of a connection are searched. Its contents are indexed again. */
  readonly setLanguage: (connection: string, language: string) => Effect.Effect<void, DeriveError>
  /** Returns how far derived data is behind, for these connections or for all. */
  readonly lag: (of?: Scope) => Effect.Effect<Lag, DeriveError>
  /**
   * Runs a query that only reads the schema `mirror`. Fails with `UsageError` if the database refuses it, or if the
   * role that may read nothing else does not exist and can't be created.
   */
  readonly query: (query: Query) => Effect.Effect<Result, DeriveError>
  /** Bounded reads for agents, by the names of connections. */
  readonly reads: {
    readonly get: (
      names: ReadonlyArray<string>,
      ref: Ref,
      page: { readonly offset: number; readonly length: number; readonly part?: number | undefined }
    ) => Effect.Effect<Option.Option<Content>, DeriveError>
    readonly thread: (names: ReadonlyArray<string>, ref: Ref, page: Page) => Effect.Effect<Paged<Message>, DeriveError>
  }
  /** Read-only tokens (see `ReadTokens.ts`). */
  readonly tokens: {
    readonly create: (name: string, connections: Scope) => Effect.Effect<Redacted.Redacted, DeriveError>
    readonly list: Effect.Effect<ReadonlyArray<ReadToken>, DeriveError>
    readonly revoke: (name: string) => Effect.Effect<boolean, DeriveError>
    readonly scopeOf: (token: Redacted.Redacted) => Effect.Effect<Option.Option<Scope>, StoreError>
  }
  /** Allows a role to read `mirror` (see `ReadOnlyRole.grant`). */
  readonly grant: (
    role: string,
    options: { readonly login: boolean }
  ) => Effect.Effect<{ readonly created: boolean; readonly password: string | undefined }, DeriveError>
}

const unavailable = new UsageError({ message: "the schema mirror needs PostgreSQL: this store is in memory" })

/** The deriver of this database. The default is for the memory store, which has no schema and derives nothing. */
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
    grant: () => unavailable
  })
})

/**
 * Derives the changes that a sync has stored, unless a server does. Failures and defects are only logged, because the
 * sync itself has succeeded.
 */
export const afterSync: Effect.Effect<void> = Effect.flatMap(Deriver, ({ catchUp }) => catchUp).pipe(
  Effect.catch(({ message }) => Effect.logWarning(`deriving the schema mirror failed: ${message}; run idem derive`)),
  Effect.catchDefect((defect) => Effect.logError("deriving the schema mirror failed; run idem derive", defect)),
  Effect.asVoid
)
