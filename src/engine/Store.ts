/**
 * The one port that the engine needs of a database. Every store passes the same laws (test/stores/laws.ts).
 *
 * Two rules hold for every method that writes for a run:
 *
 * - the fence: the transaction begins by checking that the connection's row still has the lease's fence. If not, the
 *   run was superseded: `Superseded`, and nothing is written;
 * - the key: content is written by (connection, external id) and on conflict. The checker saves work; it is never the
 *   guard.
 *
 * Time is the database's: leases, due times and `createdAt` are set and compared by its clock. All `Duration`s given are
 * added to it.
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { Metadata, Ref } from "../contract/Content.ts"
import { ContentExistenceChecker, ContentExistenceCheckerError } from "../contract/ContentExistenceChecker.ts"
import type { Coverage, Patch, Problem } from "../contract/Page.ts"
import type { SyncTask } from "../contract/SyncTask.ts"

export const ConnectionId = Schema.String.pipe(Schema.brand("ConnectionId"))
export type ConnectionId = typeof ConnectionId.Type
export const RunId = Schema.String.pipe(Schema.brand("RunId"))
export type RunId = typeof RunId.Type
export const TaskId = Schema.String.pipe(Schema.brand("TaskId"))
export type TaskId = typeof TaskId.Type

/** The database can't be reached, or refused: it may work later. The message names what was being done, no secret. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  message: Schema.String,
  cause: Schema.Defect()
}) {}

/** Another run took the connection, or it was changed or removed. Nothing was written. */
export class Superseded extends Schema.TaggedError<Superseded>()("Superseded", { connectionId: ConnectionId }) {
  override get message(): string {
    return "another run took over this connection, or it was changed or removed"
  }
}

/** A connection of this name is there already. */
export class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", { name: Schema.String }) {}

/** The pause that a person set. Any other reason is the source's, and a sync that works lifts it. */
export const pausedByPerson = "by a person"

/** What ends requested tasks when their connection is disconnected. */
export const disconnected = { reason: "Disconnected", message: "the connection was disconnected" } as const

/** One account of an integration. `credentials` is sealed, or null once forgotten. */
export interface Connection {
  readonly id: ConnectionId
  /** Unique among connections; 1 to 100 characters. */
  readonly name: string
  readonly domain: string
  /** Who the source says we are; it never changes. */
  readonly account: string
  readonly config: Schema.Json
  readonly credentials: Uint8Array | null
  readonly every: Duration.Duration
  readonly fence: bigint
  /** Why it is paused: `pausedByPerson`, or what took its grant away. */
  readonly paused: string | null
  readonly checkpoint: Option.Option<Schema.Json>
  /** The digest of the scope fields that the checkpoint was made under. */
  readonly scope: string | null
  /** When it is polled next, unless it is paused. */
  readonly nextPollAt: DateTime.Utc
  readonly lease: Lease | null
  /** Failures of whole runs in a row; 0 after a success. */
  readonly failures: number
  readonly createdAt: DateTime.Utc
}

/** Who runs a connection now. `holder` is made by the engine; it names host, process and run for people. */
interface Lease {
  readonly holder: string
  readonly until: DateTime.Utc
}

/** The right to write for a connection: taken by `acquire`, lost to whoever takes it next. */
export interface Fence {
  readonly connectionId: ConnectionId
  readonly fence: bigint
}

/**
 * A task that was asked for. One that a command opened (`requested` false) is run by that command, and only if it keeps a
 * checkpoint of its own. One that was requested waits in its connection's queue for a process that serves, whatever it is.
 */
export interface TaskRow {
  readonly id: TaskId
  readonly connectionId: ConnectionId
  /** `retry`: rows of the ledger, and no listing; `task` is a poll's then. */
  readonly kind: "sync" | "retry"
  readonly task: SyncTask
  /** What the task was asked for, as text: an open task with the same text is resumed instead of begun again. */
  readonly spec: string
  /** The rows of a `retry`; null where it is all that are there when it begins. */
  readonly externalIds: ReadonlyArray<string> | null
  readonly requested: boolean
  readonly checkpoint: Option.Option<Schema.Json>
  readonly scope: string | null
  readonly createdAt: DateTime.Utc
  /** When its next slice may begin. */
  readonly dueAt: DateTime.Utc
  /** Slices in a row that failed. */
  readonly failures: number
  /** True once a run of it has begun. */
  readonly begun: boolean
  readonly finishedAt: DateTime.Utc | null
  /** Why it failed. */
  readonly error: Run["error"]
}

/** What is asked for in `requestTask`. */
export interface TaskRequest extends Pick<TaskRow, "kind" | "task" | "spec" | "externalIds"> {
  /** The same key with the same digest (hex) is the same request. */
  readonly key: { readonly key: string; readonly digest: string } | undefined
  /** An unfinished or failed task with the same text that moved within this time is gone on with. */
  readonly resumeWithin: Duration.Duration
}

/** A task with what its runs did together; at most 100 notes and 100 problems. */
export interface TaskSummary {
  readonly task: TaskRow
  readonly counts: Counts
  readonly lastRun: RunId | null
  readonly notes: ReadonlyArray<string>
  readonly problems: ReadonlyArray<Problem>
}

/** What the runs did that began within one hour; `hour` is when it began. */
export interface Hour extends Pick<
  Counts,
  "stored" | "updated" | "unchanged" | "failed" | "deleted" | "apiCalls" | "quotaUnits"
> {
  readonly hour: DateTime.Utc
  readonly runs: number
}

/** Counts of a run; all are counted per occurrence and start at 0. */
export const Counts = Schema.Struct({
  listed: Schema.Int,
  forced: Schema.Int,
  retried: Schema.Int,
  existing: Schema.Int,
  stored: Schema.Int,
  updated: Schema.Int,
  unchanged: Schema.Int,
  failed: Schema.Int,
  gone: Schema.Int,
  deferred: Schema.Int,
  patched: Schema.Int,
  deleted: Schema.Int,
  deletionsHeld: Schema.Int,
  downloads: Schema.Int,
  apiCalls: Schema.Int,
  quotaUnits: Schema.Finite,
  checkerQueries: Schema.Int
})
export type Counts = typeof Counts.Type

export const RunStatus = Schema.Literals(["running", "succeeded", "partial", "failed", "interrupted"])
export type RunStatus = typeof RunStatus.Type

/** One execution of a task, or of a slice of it. */
export interface Run {
  readonly id: RunId
  readonly connectionId: ConnectionId
  readonly taskId: TaskId | null
  readonly status: RunStatus
  readonly counts: Counts
  /** Problems of the run (channels or folders that could not be listed), at most 100. */
  readonly problems: ReadonlyArray<Problem>
  /** Things a person should know: a full listing because the scope changed, for one. At most 100. */
  readonly notes: ReadonlyArray<string>
  readonly error: { readonly reason: string; readonly message: string } | null
  readonly startedAt: DateTime.Utc
  readonly finishedAt: DateTime.Utc | null
}

/** Where the bytes of a body are: in the row's table, or in the blob store under their hash. */
export type StoredBody =
  | { readonly _tag: "Inline"; readonly hash: Uint8Array; readonly bytes: Uint8Array }
  | { readonly _tag: "Blob"; readonly hash: Uint8Array; readonly size: number }

/** A content to write, downloaded and hashed. */
export interface Item {
  readonly externalId: string
  readonly revision: string | undefined
  readonly kind: string
  readonly title: string | undefined
  readonly occurredAt: DateTime.Utc | undefined
  readonly mediaType: string | undefined
  readonly metadata: Metadata
  readonly volatile: Metadata
  readonly body: StoredBody
}

/** What writing an item did. `unchanged`: neither body nor stable metadata differ from what is stored. */
export type Outcome = "stored" | "updated" | "unchanged"

/**
 * An item that was not stored. `failed` is one more attempt and is due again after `retryIn` (undefined: it is dead);
 * `deferred` costs no attempt and is due at the next poll; `gone` is not known afterwards (content that was stored is
 * staged for deletion instead).
 *
 * What was tried under another revision than the ledger has starts its attempts afresh.
 */
export interface Miss {
  readonly externalId: string
  readonly revision: string | undefined
  readonly outcome: "failed" | "deferred" | "gone"
  readonly reason: string
  readonly message: string
  /** Attempts after this one, as the engine counted them; for `failed` only. */
  readonly attempts: number
  /** When to try again; undefined means dead. For `failed` only. */
  readonly retryIn: Duration.Duration | undefined
}

/** The end of one or more whole pages: what is committed with the last of their items. */
export interface PageEnd {
  readonly checkpoint: Schema.Json
  /** The scope's digest that belongs to the checkpoint. */
  readonly scope: string
  readonly deleted: ReadonlyArray<string>
  readonly patches: ReadonlyArray<Patch>
  /** The ids listed, where the pages belong to the listing that `listing` names (see `beginListing`). */
  readonly seen: ReadonlyArray<string>
  readonly listing: string | undefined
  readonly covers: ReadonlyArray<Coverage>
}

/** What is committed in one transaction. */
export interface Batch {
  /** Undefined for a run that has no row: nothing happened in it that is worth one. */
  readonly runId: RunId | undefined
  /** The task whose own checkpoint moves; undefined for the live task, whose checkpoint is the connection's. */
  readonly taskId: TaskId | undefined
  /** Each external id at most once in items and misses together. */
  readonly items: ReadonlyArray<Item>
  readonly misses: ReadonlyArray<Miss>
  /** Ids of a forced task that are done: it skips them when it resumes. */
  readonly done: ReadonlyArray<string>
  readonly page: PageEnd | undefined
  /** What this batch adds to the run's counts. The outcomes of `items` and `patched` are added by the store. */
  readonly counts: Partial<Counts>
  readonly problems: ReadonlyArray<Problem>
}

export interface Committed {
  /** By external id, for each of `items`. */
  readonly outcomes: ReadonlyMap<string, Outcome>
  /** How many rows the patches changed. */
  readonly patched: number
}

/** One row of the ledger. */
export interface LedgerRow {
  readonly externalId: string
  readonly state: "failed" | "dead" | "deferred"
  readonly revision: string | undefined
  readonly reason: string
  readonly message: string
  readonly attempts: number
  readonly nextAttemptAt: DateTime.Utc | null
}

export const ContentState = Schema.Literals(["stored", "failed", "dead", "gone", "deferred", "deleted"])
export type ContentState = typeof ContentState.Type

/** One content as it is listed. `hash` is SHA-256 in hex; null and 0 where nothing was ever stored. */
export interface ContentRow {
  readonly externalId: string
  readonly kind: string | null
  readonly state: ContentState
  readonly revision: string | null
  readonly hash: string | null
  readonly size: number
  readonly title: string | null
  readonly mediaType: string | null
  readonly occurredAt: DateTime.Utc | null
  readonly metadata: Metadata
  readonly volatile: Metadata
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

/** A place in a list of contents: just after the content that it names. By external id alone, or by both. */
export interface ContentPlace {
  readonly externalId: string
  readonly occurredAt: DateTime.Utc | null
}

/** Which contents are listed, in which order, and how many. */
export interface ContentSelection {
  readonly state: ContentState
  readonly limit: number
  /**
   * `id` (where it is left out): by external id, in the order of bytes. `newest`: by `occurredAt`, the latest first and
   * unknown times last; those of one time by external id, the last in the order of bytes first.
   */
  readonly order?: "id" | "newest" | undefined
  readonly kind?: string | undefined
  /** By `occurredAt`: since inclusive, until exclusive. What has no known time is in no such window. */
  readonly since?: DateTime.Utc | undefined
  readonly until?: DateTime.Utc | undefined
  /** In the title, whatever the case. */
  readonly text?: string | undefined
  /** The `next` of the page before, of the same selection. */
  readonly after?: ContentPlace | undefined
}

/** Bytes from `start` up to but not including `end`; what lies beyond the end of the body is not there. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * A page of a selection. `next` is where to go on, or null at the end. By `kind` or `text` a page may hold fewer rows than
 * `limit`, or none, and still have a `next`: a page looks at no more than so many rows (`Store.contents`).
 */
export interface ContentPage {
  readonly contents: ReadonlyArray<ContentRow>
  readonly next: ContentPlace | null
}

/**
 * A time of this database's during which transaction ids only grow. One that was restored, copied or moved begins another,
 * and places in the changes of the one before mean nothing any more.
 */
export interface Epoch {
  /** The database's own id: a copy of a database has it too. */
  readonly databaseId: string
  /** 1 for a database that was just created, one more with each epoch after: for people. */
  readonly number: number
  /** No other epoch has it, of whatever database. */
  readonly id: string
}

/**
 * A place in the order of the changes, which is that of (transaction, connection, external id): just after the row that it
 * names, or before all rows of the transaction where it names none.
 */
export interface ChangePlace {
  /** The id of a transaction, 0 to 2^64 - 1. */
  readonly transaction: bigint
  readonly row: { readonly connectionId: ConnectionId; readonly externalId: string } | null
}

export const ChangeKind = Schema.Literals(["stored", "updated", "deleted", "undeleted"])
export type ChangeKind = typeof ChangeKind.Type

/** The latest change of one content. */
export interface Change {
  readonly place: ChangePlace
  readonly connectionId: ConnectionId
  readonly change: ChangeKind
  /** As it is now, `stored` or `deleted`: what the ledger has against it is not part of its changes. */
  readonly content: ContentRow
}

export interface ChangePage {
  readonly epoch: Epoch
  readonly changes: ReadonlyArray<Change>
  /** Where to go on: after the last of `changes`, or, where no more are visible yet, where those that come will be. */
  readonly next: ChangePlace
  /** False where these are all that are visible now: a reader has to wait for more. */
  readonly more: boolean
  /** `after` lies ahead of all that this database has done: it can't have come from it, and `changes` is empty. */
  readonly isAhead: boolean
}

export interface Totals {
  readonly stored: number
  readonly failed: number
  readonly dead: number
  readonly deferred: number
  readonly deleted: number
  readonly bytes: number
  readonly deletionsHeld: number
}

/** The whole at a glance, for whoever watches it. No connection is named. */
export interface Overview {
  /** How many connections there are of a kind in a state. */
  readonly connections: ReadonlyArray<{
    readonly domain: string
    readonly state: "running" | "disconnected" | "paused" | "idle"
    readonly count: number
  }>
  readonly ledger: ReadonlyArray<{
    readonly domain: string
    readonly state: "failed" | "dead" | "deferred"
    readonly count: number
  }>
  readonly deletionsHeld: ReadonlyArray<{ readonly domain: string; readonly count: number }>
  /** How long the connection that waits longest has been due, in seconds; 0 where none waits. */
  readonly overdueSeconds: number
  /** Sessions that Idem's processes have in the database, by what they do; none for a store that has no sessions. */
  readonly sessions: ReadonlyArray<{ readonly state: string; readonly count: number }>
}

/** A connection whose next poll, next retry or requested task has come. */
export interface Due {
  readonly connectionId: ConnectionId
  readonly dueAt: DateTime.Utc
  /** True where a requested task is due. */
  readonly requested: boolean
}

/** How a deletion came to be staged, and since when. */
export interface StagedDeletion {
  readonly externalId: string
  readonly cause: "event" | "absence"
  readonly stagedAt: DateTime.Utc
}

/** What a purge took away: what deleted contents held, ids that were gone, and bodies that nothing else names. */
export interface Purged {
  readonly deleted: number
  readonly gone: number
  readonly bodies: number
  readonly bytes: number
}

/**
 * A sealed value, and where it stands. `id` is unique within its kind: a connection's id, a webhook's, a sign-in's state
 * hash. `subject` says whose credentials they are; null for the rest.
 */
export interface Sealed {
  readonly kind: "connection" | "sign-in" | "webhook"
  readonly id: string
  readonly subject: { readonly name: string; readonly domain: string; readonly account: string } | null
  readonly sealed: Uint8Array
}

export class Store extends Context.Service<
  Store,
  {
    // ---- the checker -------------------------------------------------------------------------------------------
    /** The subset of these ids that is known: stored, failed, dead or deferred. One query, whatever the number. */
    readonly existing: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlySet<string>, StoreError>
    /** The same with the revision last stored or, in the ledger, last tried. */
    readonly revisions: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, Option.Option<string>>, StoreError>

    // ---- connections -------------------------------------------------------------------------------------------
    /** A new connection, due at once. */
    readonly createConnection: (connection: {
      readonly name: string
      readonly domain: string
      readonly account: string
      readonly config: Schema.Json
      readonly credentials: Uint8Array
      readonly every: Duration.Duration
    }) => Effect.Effect<Connection, StoreError | NameTaken>
    /** Changes what is given, takes a new fence, ends the lease, makes the connection due. None where it is gone. */
    readonly updateConnection: (
      connectionId: ConnectionId,
      change: {
        readonly config?: Schema.Json | undefined
        readonly credentials?: Uint8Array | undefined
        readonly every?: Duration.Duration | undefined
      }
    ) => Effect.Effect<Option.Option<Connection>, StoreError>
    /** Refreshed credentials of the run that holds the fence; the fence stays. */
    readonly saveCredentials: (fence: Fence, credentials: Uint8Array) => Effect.Effect<void, StoreError | Superseded>
    readonly connection: (connectionId: ConnectionId) => Effect.Effect<Option.Option<Connection>, StoreError>
    readonly connectionByName: (name: string) => Effect.Effect<Option.Option<Connection>, StoreError>
    /** In the order of their names. */
    readonly connections: Effect.Effect<ReadonlyArray<Connection>, StoreError>
    /** Pauses with a reason, or resumes with null (due at once, failures back to 0). No new fence. */
    readonly setPaused: (connectionId: ConnectionId, reason: string | null) => Effect.Effect<void, StoreError>
    /**
     * Forgets the credentials, takes a new fence and stops; requested tasks end as failed. With `deleteContents` all that belongs to the connection is
     * removed, its name first, and bodies and blobs that only it named; what a crash keeps from being removed, the next
     * `collectBodies` does. Without it the connection stays, paused and without credentials, for reading what is stored.
     */
    readonly disconnect: (connectionId: ConnectionId, deleteContents: boolean) => Effect.Effect<void, StoreError>

    // ---- leases and runs ---------------------------------------------------------------------------------------
    /**
     * Takes the connection for a run: a new fence, and a lease for `ttl`. Gives the connection as it is then. None while
     * another's lease holds; `deadHolder` names a holder known to be dead, whose lease does not hold. Runs that an
     * earlier holder left running become `interrupted`. Fails with `Superseded` where the connection is gone.
     */
    readonly acquire: (
      connectionId: ConnectionId,
      options: { readonly holder: string; readonly ttl: Duration.Duration; readonly deadHolder?: string | undefined }
    ) => Effect.Effect<Option.Option<Connection>, StoreError | Superseded>
    readonly renew: (fence: Fence, ttl: Duration.Duration) => Effect.Effect<void, StoreError | Superseded>
    /**
     * Ends the lease, if it is still ours, and sets what is given: when the connection is polled next (undefined leaves
     * that as it is) and its failures in a row. `interrupted`: the run did not come to its end, and its row says so.
     */
    readonly release: (
      fence: Fence,
      next: {
        readonly pollIn?: Duration.Duration | undefined
        readonly failures?: number | undefined
        readonly interrupted?: boolean | undefined
      }
    ) => Effect.Effect<void, StoreError>
    /**
     * A run row, `running`. `runId` is the caller's, so that a run that turns out quiet need not be written, and so that
     * it can be asked for again where the answer was lost: a row that is there stays as it is.
     */
    readonly beginRun: (
      fence: Fence,
      run: { readonly runId: RunId; readonly taskId: TaskId | undefined }
    ) => Effect.Effect<void, StoreError | Superseded>
    readonly finishRun: (
      fence: Fence,
      run: {
        readonly runId: RunId
        readonly status: Exclude<RunStatus, "running" | "interrupted">
        /** Added to the counts (calls, units, queries since the last batch). */
        readonly counts: Partial<Counts>
        readonly notes: ReadonlyArray<string>
        readonly error: Run["error"]
      }
    ) => Effect.Effect<void, StoreError | Superseded>
    readonly run: (runId: RunId) => Effect.Effect<Option.Option<Run>, StoreError>
    /**
     * Removes runs that ended longer ago than this, but a connection's last one, and tasks that have not moved for as
     * long. Says how many runs.
     */
    readonly pruneRuns: (olderThan: Duration.Duration) => Effect.Effect<number, StoreError>
    /** Newest first. */
    readonly runs: (connectionId: ConnectionId, limit: number) => Effect.Effect<ReadonlyArray<Run>, StoreError>

    // ---- tasks -------------------------------------------------------------------------------------------------
    /** The open task of this connection, not a requested one, with this spec that moved within `resumeWithin`, or a new one. */
    readonly openTask: (
      connectionId: ConnectionId,
      task: { readonly task: SyncTask; readonly spec: string; readonly resumeWithin: Duration.Duration }
    ) => Effect.Effect<TaskRow, StoreError>
    /** Open tasks that commands began and did not end, oldest first. */
    readonly openTasks: (connectionId: ConnectionId) => Effect.Effect<ReadonlyArray<TaskRow>, StoreError>
    /** The ids that `Batch.done` recorded for the task and that no page end has cleared yet. */
    readonly taskDone: (taskId: TaskId) => Effect.Effect<ReadonlySet<string>, StoreError>
    /**
     * Ends a task. Without an error what it had done is forgotten; with one it is kept, for a request with the same text to
     * go on from.
     */
    readonly finishTask: (
      fence: Fence,
      taskId: TaskId,
      error?: Run["error"]
    ) => Effect.Effect<void, StoreError | Superseded>
    /**
     * Puts a task in the connection's queue, due at once. A key that is known with the same digest gives its task; with
     * another, `KeyTaken`. Else what is asked for already is not begun again: an open task with the same text is given (one
     * that a command left behind becomes requested), but no live sync and no retry that has begun, since what came after its
     * beginning may not be in it. A new sync goes on from where the last one with the same text failed.
     */
    readonly requestTask: (
      connectionId: ConnectionId,
      request: TaskRequest
    ) => Effect.Effect<
      | { readonly _tag: "Requested"; readonly task: TaskRow }
      | { readonly _tag: "KeyTaken" }
      | { readonly _tag: "Disconnected" }
      | { readonly _tag: "Gone" },
      StoreError
    >
    readonly task: (taskId: TaskId) => Effect.Effect<Option.Option<TaskRow>, StoreError>
    /** The requested task of this connection that has been due the longest, if any is due. */
    readonly nextTask: (connectionId: ConnectionId) => Effect.Effect<Option.Option<TaskRow>, StoreError>
    /** A requested task goes on after `dueIn`; `checkpoint` and `externalIds` are set where they are given. */
    readonly requeueTask: (
      fence: Fence,
      taskId: TaskId,
      next: {
        readonly dueIn: Duration.Duration
        readonly failures: number
        readonly checkpoint?: Schema.Json | undefined
        readonly externalIds?: ReadonlyArray<string> | undefined
      }
    ) => Effect.Effect<void, StoreError | Superseded>
    /** Tasks with what their runs did, newest first: all, or this one. */
    readonly taskSummaries: (
      connectionId: ConnectionId,
      options: { readonly taskId?: TaskId | undefined; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<TaskSummary>, StoreError>
    /** The last `hours` hours (of UTC), the current one included, oldest first; hours without a run are there too. */
    readonly statistics: (connectionId: ConnectionId, hours: number) => Effect.Effect<ReadonlyArray<Hour>, StoreError>

    // ---- writing -----------------------------------------------------------------------------------------------
    /**
     * Opens the pass over the source that `listing` names, if it is not open yet, and drops the marks of another.
     * `deletes: false` (the scope has changed): at its end what it did not see leaves the scope instead of being
     * staged, and no later absence deletes it.
     */
    readonly beginListing: (
      fence: Fence,
      options: { readonly listing: string; readonly deletes: boolean }
    ) => Effect.Effect<void, StoreError | Superseded>
    /**
     * One transaction: the items and their outcomes, the ledger, the page's checkpoint, patches, marks and staged
     * deletions, and the run's counts. An id that was seen again leaves the stage of deletions. A page end clears the
     * task's `done` ids that are not its `forceIds`. A deleted id that is stored is staged; one that is only in the
     * ledger becomes `gone`. `covers` stages what was stored before the listing began, is in scope, lies in the coverage
     * and was not seen; what was seen comes back into the scope.
     */
    readonly commit: (fence: Fence, batch: Batch) => Effect.Effect<Committed, StoreError | Superseded>
    /**
     * Applies staged deletions: all of them if there are at most `atMost`, or at most `share` of the stored rows; else
     * they are held for a person. Adds `deleted` to the run's counts and says how many are held.
     */
    readonly settleDeletions: (
      fence: Fence,
      options: { readonly runId: RunId | undefined; readonly atMost: number; readonly share: number }
    ) => Effect.Effect<{ readonly deleted: number; readonly held: number }, StoreError | Superseded>

    // ---- the ledger --------------------------------------------------------------------------------------------
    /** Failed and deferred rows whose time has come, the longest due first. Deferred ones are always due. */
    readonly retriesDue: (
      connectionId: ConnectionId,
      limit: number
    ) => Effect.Effect<ReadonlyArray<LedgerRow>, StoreError>
    /** The ledger by external id: all rows, or those of `externalIds`. */
    readonly ledger: (
      connectionId: ConnectionId,
      options: { readonly externalIds?: ReadonlyArray<string> | undefined; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<LedgerRow>, StoreError>
    /**
     * Resets attempts of failed, dead and deferred rows (all, or these ids) and makes them due now, and the connection
     * with them. Returns the ids it reset.
     */
    readonly redrive: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string> | undefined
    ) => Effect.Effect<ReadonlyArray<string>, StoreError>

    // ---- scheduling --------------------------------------------------------------------------------------------
    /**
     * Connections that are not leased and due, the longest due first: for their next poll or a retry, unless they are
     * paused, or for a requested task, also where they are paused.
     */
    readonly due: (limit: number) => Effect.Effect<ReadonlyArray<Due>, StoreError>
    /**
     * Takes or keeps the right to poll this database alone, for `ttl`. None: it is ours. Some: who holds it. `deadHolder`
     * names a holder known to be dead.
     */
    readonly claimPolling: (options: {
      readonly holder: string
      readonly ttl: Duration.Duration
      readonly deadHolder?: string | undefined
    }) => Effect.Effect<Option.Option<string>, StoreError>
    /** Gives that right back, if this holder has it. */
    readonly releasePolling: (holder: string) => Effect.Effect<void, StoreError>

    // ---- reading -----------------------------------------------------------------------------------------------
    /**
     * By `kind` or `text`, a page looks at 20,000 rows at most: time is bounded, whatever is asked for. Without them a page
     * is full or the last.
     */
    readonly contents: (
      connectionId: ConnectionId,
      selection: ContentSelection
    ) => Effect.Effect<ContentPage, StoreError>
    readonly content: (
      connectionId: ConnectionId,
      externalId: string
    ) => Effect.Effect<Option.Option<ContentRow>, StoreError>
    /** The bytes of a stored body by its hash in hex, or a range of them; fails where there is no such body. */
    readonly body: (hash: string, range?: ByteRange) => Stream.Stream<Uint8Array, StoreError>
    readonly totals: (connectionId: ConnectionId) => Effect.Effect<Totals, StoreError>
    /** Costs as much as there are connections and rows in ledgers, whatever is stored. */
    readonly overview: Effect.Effect<Overview, StoreError>
    readonly deletions: (
      connectionId: ConnectionId,
      options: { readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<StagedDeletion>, StoreError>
    /** Applies what is staged now, whatever its size. Returns how many were deleted. */
    readonly approveDeletions: (connectionId: ConnectionId) => Effect.Effect<number, StoreError>
    /**
     * Takes away, for good, what content that was deleted before `before` still holds: body, metadata, title. The id stays
     * as a tombstone, `deleted` with the change that deleted it, for readers who follow the changes; ids that were gone
     * before anything of them was stored are forgotten altogether. What comes back is new. Bodies and blobs that nothing
     * else names go with it, at once.
     */
    readonly purge: (connectionId: ConnectionId, before: DateTime.Utc) => Effect.Effect<Purged, StoreError>

    // ---- changes -----------------------------------------------------------------------------------------------
    /** The epoch of the database as it is now. */
    readonly epoch: Effect.Effect<Epoch, StoreError>
    /**
     * The changes after a place (from the beginning where it is left out), in their order, of all connections or of one.
     * Each content that was ever stored is in them once, at its latest change, deleted ones and tombstones too; contents
     * that were removed with their connection are not. Only changes by transactions older than any that still runs are
     * visible, so that none ever appears before a place where a reader has been.
     */
    readonly changes: (query: {
      readonly connectionId?: ConnectionId | undefined
      readonly after?: ChangePlace | undefined
      readonly limit: number
    }) => Effect.Effect<ChangePage, StoreError>
    /** Of which connections changes have become visible from this transaction on, and from which to ask on. One cheap query. */
    readonly changed: (
      from: bigint
    ) => Effect.Effect<{ readonly connections: ReadonlySet<ConnectionId>; readonly next: bigint }, StoreError>

    // ---- what is sealed, and locks -----------------------------------------------------------------------------
    /** What is sealed with another key than this one (see `Vault.keyIdOf`), by kind and id, after the last one seen. */
    readonly sealedOtherwise: (
      keyId: string,
      options: { readonly after?: Pick<Sealed, "kind" | "id"> | undefined; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<Sealed>, StoreError>
    /** Puts `next` where `before` still stands, whoever runs the connection. False where it was changed or is gone. */
    readonly replaceSealed: (
      place: Pick<Sealed, "kind" | "id">,
      before: Uint8Array,
      next: Uint8Array
    ) => Effect.Effect<boolean, StoreError>
    /**
     * From now on nothing sealed with this key can be stored any more, by whichever process: that fails with
     * `StoreError`. It is refused while something is sealed with it: false.
     */
    readonly retireKey: (keyId: string) => Effect.Effect<boolean, StoreError>
    /** Takes back `retireKey`: a former key is to be the current one again. */
    readonly admitKey: (keyId: string) => Effect.Effect<void, StoreError>
    /** Keeps a sign-in that is under way under its state's hash (hex), for `ttl`; the oldest beyond `atMost` give way. */
    readonly putSignIn: (signIn: {
      readonly stateHash: string
      readonly sealed: Uint8Array
      readonly ttl: Duration.Duration
      readonly atMost: number
    }) => Effect.Effect<void, StoreError>
    /** Takes it out: once. None where it has expired, or was never there. */
    readonly takeSignIn: (stateHash: string) => Effect.Effect<Option.Option<Uint8Array>, StoreError>
    /**
     * Takes a named lock, or keeps one that is ours, for `ttl` from now. Its holder while another holds it; `deadHolder`
     * names one that is known to be dead, and does not.
     */
    readonly takeLock: (
      name: string,
      options: { readonly holder: string; readonly ttl: Duration.Duration; readonly deadHolder?: string | undefined }
    ) => Effect.Effect<Option.Option<string>, StoreError>
    readonly releaseLock: (name: string, holder: string) => Effect.Effect<void, StoreError>

    // ---- bodies ------------------------------------------------------------------------------------------------
    /**
     * Keeps a large body under its hash before a row names it. The stream is hashed on the way; bytes that are there
     * already are kept once. Unfinished writes leave nothing that is ever read.
     */
    readonly writeBlob: <E>(
      bytes: Stream.Stream<Uint8Array, E>
    ) => Effect.Effect<{ readonly hash: Uint8Array; readonly size: number }, StoreError | E>
    /**
     * Removes bodies that no content names and that nobody touched for `untouchedFor` (at least two hours), and says how
     * many. Safe beside runs: one that has just found the same bytes has touched them. It also removes what is left of
     * connections whose disconnection was cut short.
     */
    readonly collectBodies: (untouchedFor: Duration.Duration) => Effect.Effect<number, StoreError>
  }
>()("idem/engine/Store") {
  /** This connection's checker over the store in context. */
  static readonly checker = (connectionId: ConnectionId): Layer.Layer<ContentExistenceChecker, never, Store> =>
    Layer.effect(
      ContentExistenceChecker,
      Effect.map(Store, (store) => {
        const failed = Effect.mapError(
          (cause: StoreError) => new ContentExistenceCheckerError({ message: cause.message, cause })
        )
        return {
          existing: (ids: ReadonlyArray<string>) => failed(store.existing(connectionId, ids)),
          revisions: (ids: ReadonlyArray<string>) => failed(store.revisions(connectionId, ids))
        }
      })
    )
}

/** Refs of ledger rows, for `download`. */
export const refOf = (row: LedgerRow): Ref => ({ externalId: row.externalId, revision: row.revision })
