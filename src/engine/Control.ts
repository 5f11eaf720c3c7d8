/**
 * All that a person may ask of Idem: the command line, the HTTP API and the dashboard stand on it. `Local.layer` does it
 * here, over the store and the engine; `Remote.layer` (src/http) asks a server that runs elsewhere. Both pass the same
 * laws (test/engine/lawsOfControl.ts).
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as Documents from "./Documents.ts"
import type { Connected, Progress, SourceError, SyncResult, UsageError } from "./Engine.ts"
import type { ConnectionId } from "./model/Connection.ts"
import type { ContentState, Purged } from "./model/Content.ts"
import type { RunId } from "./model/Run.ts"
import type { TaskId } from "./model/Task.ts"
import type { NameTaken, StoreError } from "./Store.ts"
import type { SyncTask } from "../contract/SyncTask.ts"

/** What was asked for is not there: the message names it, and says where to look. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {
  what: Schema.Literals(["connection", "content", "body", "run", "task", "webhook", "message", "id"]),
  message: Schema.String
}) {}

/** The cursor can't be used (another database's, one from before a restore, another connection's, or damaged). */
export class CursorInvalid extends Schema.TaggedError<CursorInvalid>()("CursorInvalid", {
  /** `gone`: it was right once. Begin again without one; what is told twice is the same as before. */
  reason: Schema.Literals(["gone", "malformed", "foreign"]),
  message: Schema.String
}) {}

/** It can't be asked while things stand as they do: a key that was used for another request, a resume without credentials. */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", { message: Schema.String }) {}

/** A connection by its id or by its name: the id wins. */
export type ConnectionRef = string

/** Which contents are listed, and in which order: by external id, or by time with the newest first. */
export interface ContentQuery {
  readonly state: ContentState
  readonly order: "id" | "newest"
  readonly kind?: string | undefined
  /** By `occurredAt`: since inclusive, until exclusive. What has no known time is in no such window. */
  readonly since?: DateTime.Utc | undefined
  readonly until?: DateTime.Utc | undefined
  /** In the title, whatever the case. */
  readonly text?: string | undefined
  /** 1 to 1,000. */
  readonly limit: number
  readonly after?: string | undefined
}

/** A body as it is stored: its bytes from `start` (inclusive) to `end` (exclusive). */
export interface Body {
  readonly title: string | null
  readonly mediaType: string | null
  readonly hash: string
  readonly size: number
  readonly bytes: (range?: { readonly start: number; readonly end: number }) => Stream.Stream<Uint8Array, StoreError>
}

type Asked<A, E = never> = Effect.Effect<A, E | NotFound | StoreError>

export class Control extends Context.Service<
  Control,
  {
    // ---- connections -------------------------------------------------------------------------------------------
    /** By name. */
    readonly connections: Effect.Effect<ReadonlyArray<Documents.Connection>, StoreError>
    readonly connection: (ref: ConnectionRef) => Asked<Documents.Connection>
    readonly status: (ref: ConnectionRef) => Asked<Documents.Status>
    /** Creates or changes; see `Engine.connect`. `mode` refuses the other of the two. */
    readonly connect: (input: {
      readonly domain: string
      readonly name: string
      readonly config: unknown
      readonly credentials: unknown
      readonly every: Duration.Duration | undefined
      readonly mode: "create" | "update" | "either"
    }) => Effect.Effect<
      Omit<Connected, "connection"> & { readonly connection: Documents.Connection },
      UsageError | SourceError | StoreError | NameTaken | NotFound
    >
    /** Stops polling; a pause that is there already keeps its reason. */
    readonly pause: (ref: ConnectionRef) => Asked<Documents.Connection>
    readonly resume: (ref: ConnectionRef) => Asked<Documents.Connection, Conflict>
    /** Says how many contents were stored. */
    readonly disconnect: (
      ref: ConnectionRef,
      options: { readonly deleteContents: boolean }
    ) => Asked<{ readonly contents: number }>

    // ---- tasks and runs ----------------------------------------------------------------------------------------
    /**
     * Puts a task in the connection's queue; a process that serves runs it in slices, before the connection's next poll and
     * then in turns with its polls, and goes on with it whatever process dies (see `TaskQueue.ts` for what ends it). A paused
     * connection runs it too, since a person asked, and is still not polled; a disconnected one is a `Conflict`.
     *
     * The same `idempotencyKey` with the same request gives the task that it made before; with another, `Conflict`. What is
     * asked for already is not begun again: an unfinished sync with the same spec is gone on with, and what waits in the queue
     * stands for all who asked for it. A sync whose like failed goes on from there. A dry run is no task: see `plan`. Ids that
     * are not in the ledger can't be retried: `UsageError`.
     */
    readonly submit: (
      ref: ConnectionRef,
      request: Documents.TaskRequest,
      options: { readonly idempotencyKey?: string | undefined }
    ) => Asked<Documents.Task, Conflict | UsageError>
    readonly task: (ref: ConnectionRef, taskId: TaskId) => Asked<Documents.Task>
    /** Newest first. */
    readonly tasks: (ref: ConnectionRef, limit: number) => Asked<ReadonlyArray<Documents.Task>>
    /** A dry run: writes nothing. */
    readonly plan: (
      ref: ConnectionRef,
      task: SyncTask,
      onProgress?: (progress: Progress) => Effect.Effect<void>
    ) => Asked<SyncResult, UsageError>
    /** Runs a task to its end, here or by the server, and says how it went; see `Engine.sync`. */
    readonly sync: (
      ref: ConnectionRef,
      task: SyncTask,
      options: {
        readonly spec: string
        readonly wait: boolean
        readonly onWait?: (holder: string) => Effect.Effect<void>
        readonly onProgress?: (progress: Progress) => Effect.Effect<void>
        /** Told why a slice failed that a server will try again: here, the sync ends with it. */
        readonly onTrouble?: (message: string) => Effect.Effect<void>
      }
    ) => Asked<SyncResult, UsageError | Conflict>
    readonly retry: (
      ref: ConnectionRef,
      externalIds: ReadonlyArray<string> | undefined
    ) => Asked<SyncResult, UsageError | Conflict>
    /** Newest first. */
    readonly runs: (ref: ConnectionRef, limit: number) => Asked<ReadonlyArray<Documents.Run>>
    readonly run: (runId: RunId) => Asked<Documents.Run & { readonly connection: ConnectionId }>
    /** The last `hours` hours (1 to 744), the current one included, oldest first; hours without a run are there too. */
    readonly statistics: (ref: ConnectionRef, hours: number) => Asked<ReadonlyArray<Documents.Hour>>

    // ---- what is stored ----------------------------------------------------------------------------------------
    readonly contents: (
      ref: ConnectionRef,
      query: ContentQuery
    ) => Asked<
      { readonly contents: ReadonlyArray<Documents.ContentRow>; readonly next: string | null },
      CursorInvalid | UsageError
    >
    /** The same pages with all that is known of each content, for whoever takes everything (an export). */
    readonly contentsInFull: (
      ref: ConnectionRef,
      query: ContentQuery
    ) => Asked<
      { readonly contents: ReadonlyArray<Documents.Content>; readonly next: string | null },
      CursorInvalid | UsageError
    >
    readonly content: (
      ref: ConnectionRef,
      externalId: string
    ) => Asked<Documents.Content & { readonly failure: Documents.LedgerRow | null }>
    readonly body: (ref: ConnectionRef, externalId: string) => Asked<Body>
    /** A body's bytes alone: of a server that takes one request, not two. */
    readonly bytes: (ref: ConnectionRef, externalId: string) => Stream.Stream<Uint8Array, NotFound | StoreError>
    /** See `Store.purge`. */
    readonly purge: (ref: ConnectionRef, before: DateTime.Utc) => Asked<Purged>

    // ---- what needs a person -----------------------------------------------------------------------------------
    readonly ledger: (ref: ConnectionRef, limit: number) => Asked<ReadonlyArray<Documents.LedgerRow>>
    readonly deletions: (ref: ConnectionRef, limit: number) => Asked<ReadonlyArray<Documents.StagedDeletion>>
    /** Applies what is staged. Says how many were deleted. */
    readonly approveDeletions: (ref: ConnectionRef) => Asked<number>

    // ---- the change feed ---------------------------------------------------------------------------------------
    /**
     * Changes after the cursor (from the beginning without one), of one connection or of all, in the order in which they
     * became visible, 1 to 1,000 at a time. Waits up to `wait` for the first. `next` is where to go on, also where there
     * was nothing.
     */
    readonly changes: (query: {
      readonly connection?: ConnectionRef | undefined
      readonly after?: string | undefined
      readonly limit: number
      readonly wait: Duration.Duration
    }) => Asked<{ readonly changes: ReadonlyArray<Documents.Change>; readonly next: string }, CursorInvalid>
  }
>()("idem/engine/Control") {}
