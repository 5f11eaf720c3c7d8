/** The engine's operations, for the command line and the HTTP API. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Estimate } from "../contract/Integration.ts"
import type { SyncTask } from "../contract/SyncTask.ts"
import type { Connection } from "./model/Connection.ts"
import type { RunId } from "./model/Run.ts"
import type { Counts } from "./model/RunCounts.ts"
import type { TaskId } from "./model/Task.ts"
import type { NameTaken, StoreError } from "./store/StoreError.ts"

/** The error of one field of a request. */
export const FieldError = Schema.Struct({
  /** The part of the request: `path`, `query`, `headers`, `body`, `config` or `credentials`. */
  place: Schema.String,
  /**
   * The path of the field in that part: `host`, `labels[1]`. Absent if the whole part is wrong, or if the name may be a
   * secret.
   */
  field: Schema.optionalKey(Schema.String),
  /** Names the field too. */
  message: Schema.String
})
export type FieldError = typeof FieldError.Type

/** The request can't be carried out. The message says why and what to do next. Nothing was written. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", {
  message: Schema.String,
  /** True if the change is possible together with new credentials. */
  needsCredentials: Schema.optionalKey(Schema.Boolean),
  /** The ids of a retry that are not in the ledger. */
  notInLedger: Schema.optionalKey(Schema.Array(Schema.String)),
  /** The wrong fields of a config or of credentials. */
  errors: Schema.optionalKey(Schema.Array(FieldError))
}) {}

/**
 * The source refused, or did not answer. `reason` is the tag of an `IntegrationError`'s reason, or one of the engine's
 * own.
 */
export class SourceError extends Schema.TaggedError<SourceError>()("SourceError", {
  reason: Schema.String,
  message: Schema.String
}) {}

/**
 * The progress of a sync. `remaining` is the approximate number of refs still to be listed; undefined if it is unknown.
 */
export interface Progress {
  readonly counts: Counts
  readonly remaining: number | undefined
  /** The time until which the sync waits for quota, in milliseconds since the epoch; undefined while it works. */
  readonly waitingUntil?: number | undefined
}

export const SyncStatus = Schema.Literals(["succeeded", "partial", "failed", "skipped", "planned"])
export type SyncStatus = typeof SyncStatus.Type

/** The work that a sync would do, found by a dry run. */
export interface Planned {
  readonly download: number
  /** The number of ids that the source reports as gone or that a complete listing did not show. */
  readonly delete: number
  readonly patch: number
  /** The number of deletions that would be held for approval, including those held already; 0 if none would be. */
  readonly held: number
}

/** The result of a `sync`, summed over its slices. A dry run has `run` null and `planned`. */
export interface SyncResult {
  readonly connection: string
  readonly run: RunId | null
  readonly task: TaskId | null
  readonly status: SyncStatus
  readonly counts: Counts
  readonly durationMs: number
  readonly error: { readonly reason: string; readonly message: string } | null
  readonly notes: ReadonlyArray<string>
  readonly problems: ReadonlyArray<{ readonly place: string; readonly message: string }>
  readonly planned: Planned | null
}

export interface Connected {
  readonly connection: Connection
  readonly created: boolean
  readonly estimate: Estimate
  /** Content that the connection leaves out and a person may miss. */
  readonly leftOut: ReadonlyArray<string>
  /** How long a first sync takes at the quota; undefined if the number of items is not known. */
  readonly firstSync: Duration.Duration | undefined
  /** How long a first sync takes at the source's limit of bytes a day; undefined if the source has no such limit. */
  readonly firstSyncByBytes: Duration.Duration | undefined
}

/** A connection to create or change. */
export interface ConnectInput {
  readonly domain: string
  readonly name: string
  readonly config: unknown
  readonly credentials: unknown
  /** True if the credentials come from a sign-in (see `SignIn.keep`). Default: false. */
  readonly signedIn?: boolean | undefined
  readonly every: Duration.Duration | undefined
}

export class Engine extends Context.Service<
  Engine,
  {
    /**
     * Creates a connection, or updates the connection of this name (an undefined `config`, `credentials` or `every`
     * keeps its value). Makes one request to the source. Refuses to change the connection's domain or account.
     */
    readonly connect: (
      input: ConnectInput
    ) => Effect.Effect<Connected, UsageError | SourceError | StoreError | NameTaken>
    /**
     * Runs one task until it is done. If the lease is held, waits for it (`onWait` gets the holder), or returns
     * `skipped` if `wait` is false. `spec` is the task as the person wrote it: an unfinished task with the same text is
     * resumed.
     */
    readonly sync: (
      connection: Connection,
      task: SyncTask,
      options: {
        readonly spec: string
        readonly wait: boolean
        readonly onWait?: (holder: string) => Effect.Effect<void>
        readonly onProgress?: (progress: Progress) => Effect.Effect<void>
      }
    ) => Effect.Effect<SyncResult, StoreError>
    /** Resets these ledger rows (all of them if undefined) and runs them now, without a listing. */
    readonly retry: (
      connection: Connection,
      externalIds: ReadonlyArray<string> | undefined
    ) => Effect.Effect<SyncResult, StoreError | UsageError>
  }
>()("idem/engine/Engine") {}
