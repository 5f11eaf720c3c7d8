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
import { ContentExistenceChecker, ContentExistenceCheckerError } from "../contract/ContentExistenceChecker.ts"
import type { SyncTask } from "../contract/SyncTask.ts"
import { type Batch, type Committed } from "./model/Batch.ts"
import type { ChangePage, ChangePlace, Epoch } from "./model/Change.ts"
import { type Connection, ConnectionId, type Due, type Problems } from "./model/Connection.ts"
import type {
  ByteRange,
  Complete,
  ContentPage,
  ContentRow,
  ContentSelection,
  LedgerRow,
  Purged,
  StagedDeletions
} from "./model/Content.ts"
import type { Overview, Totals } from "./model/Overview.ts"
import { type Hour, type Run, RunId, RunStatus } from "./model/Run.ts"
import { Counts } from "./model/RunCounts.ts"
import type { Sealed } from "./model/Sealed.ts"
import { TaskId, type TaskRequest, type TaskRow, type TaskSummary } from "./model/Task.ts"

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

/** Other deletions are held now than those that were approved. Nothing was deleted. */
export class DeletionsChanged extends Schema.TaggedError<DeletionsChanged>()("DeletionsChanged", {
  connectionId: ConnectionId,
  /** An id that was approved and is not held. */
  externalId: Schema.NullOr(Schema.String)
}) {}

/** The right to write for a connection: taken by `acquire`, lost to whoever takes it next. */
export interface Fence {
  readonly connectionId: ConnectionId
  readonly fence: bigint
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

    /** The checkpoints of these parts, of the connection or of a task with a checkpoint of its own. One query. */
    readonly parts: (
      connectionId: ConnectionId,
      taskId: TaskId | undefined,
      keys: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, Schema.Json>, StoreError>

    // ---- connections -------------------------------------------------------------------------------------------
    /** A new connection, due at once. */
    readonly createConnection: (connection: {
      readonly name: string
      readonly domain: string
      readonly account: string
      readonly config: Schema.Json
      readonly credentials: Uint8Array
      readonly every: Duration.Duration
      /** Default false. */
      readonly guarded?: boolean | undefined
    }) => Effect.Effect<Connection, StoreError | NameTaken>
    /**
     * Changes what is given, takes a new fence, ends the lease and the run (`interrupted`), makes the connection due. None where it is gone, or where
     * its config is no longer `was`, if that is given.
     */
    readonly updateConnection: (
      connectionId: ConnectionId,
      change: {
        readonly config?: Schema.Json | undefined
        readonly credentials?: Uint8Array | undefined
        readonly every?: Duration.Duration | undefined
        readonly guarded?: boolean | undefined
        readonly was?: Schema.Json | undefined
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
     * that as it is), its failures in a row, and its pause. All of it is one fenced write: a run that was superseded
     * changes nothing of its connection.
     *
     * - `paused` replaces the pause `from` by `to` (null is none), and leaves any other pause as it is.
     * - `problems` replaces the connection's problems.
     * - `checked`: the source was asked what is new, and answered; `lastCheckedAt` is now.
     * - `askedWait`: whether the source asked for the wait until the next poll; undefined leaves what is known.
     * - `changesRead`: the reading of the changes came to its end; what was stored when it began is forgotten.
     * - `interrupted`: the run did not come to its end, and its row says so.
     */
    readonly release: (
      fence: Fence,
      next: {
        readonly pollIn?: Duration.Duration | undefined
        readonly failures?: number | undefined
        readonly askedWait?: boolean | undefined
        readonly paused?: { readonly from: string | null; readonly to: string | null } | undefined
        readonly problems?: Problems | undefined
        readonly checked?: boolean | undefined
        readonly interrupted?: boolean | undefined
        readonly changesRead?: boolean | undefined
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
     * long, but those that wait in a queue. Says how many runs.
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
     * Forgets the checkpoint, for a scope that is another one than before (or the first), or a checkpoint that can't be
     * read: all that is stored leaves the scope until it is seen again, and what is out of scope is never absent. The
     * listing that is open ends; what passes found absent leaves the stage, unless it is held.
     */
    readonly changeScope: (fence: Fence, scope: string) => Effect.Effect<void, StoreError | Superseded>
    /**
     * One transaction: the items and their outcomes, the ledger, the page's checkpoint, patches, marks and staged
     * deletions, and the run's counts. An id that was seen again leaves the stage of deletions, and comes into the scope.
     * A page end clears the task's `done` ids that are not its `forceIds`. Parts move with the checkpoint and belong to the
     * same task or connection. A deleted id that is stored is staged; one
     * that is only in the ledger becomes `gone`. `covers` stages what was stored before the listing began, is in scope,
     * lies in the coverage and was not seen. `complete` makes all that passes have staged so far complete, and ends the
     * listing.
     *
     * The end of a page opens the listing that it names, if another is open, and drops the marks of that one: listings
     * open and close in the order of the commits. A listing began when the lease was acquired under which it is opened.
     * That is before its first page was asked for, so whatever the same slice has stored from the changes, and the
     * listing did not show yet, is never absent from it; and all that earlier slices stored can be.
     */
    readonly commit: (fence: Fence, batch: Batch) => Effect.Effect<Committed, StoreError | Superseded>

    // ---- deletions: when they are applied and when they are held is decided in sync/Deletions.ts -----------------
    /** How many staged deletions are complete and not held, and how many are held. */
    readonly completeDeletions: (
      connectionId: ConnectionId,
      complete: Complete
    ) => Effect.Effect<{ readonly waiting: number; readonly held: number }, StoreError>
    /**
     * How many contents were stored when the first pass, or reading of the changes, that found one of the complete or
     * held deletions began; with those that were deleted since.
     */
    readonly storedBeforeDeletions: (
      connectionId: ConnectionId,
      complete: Complete
    ) => Effect.Effect<number, StoreError>
    /** Deletes softly what is staged, complete and not held. Adds `deleted` to the run's counts and returns it. */
    readonly applyDeletions: (
      fence: Fence,
      complete: Complete,
      runId: RunId | undefined
    ) => Effect.Effect<number, StoreError | Superseded>
    /** Holds the deletions that are complete until a person approves them. Returns how many are held then. */
    readonly holdDeletions: (fence: Fence, complete: Complete) => Effect.Effect<number, StoreError | Superseded>
    /** Deletions that are held for a person, or all that are staged. */
    readonly deletions: (
      connectionId: ConnectionId,
      options: { readonly which: "held" | "staged"; readonly limit: number }
    ) => Effect.Effect<StagedDeletions, StoreError>
    /**
     * Deletes softly what is held: all, if `token` still stands for it, or `externalIds`, if each of them is held; else
     * nothing. Returns how many were deleted.
     */
    readonly approveDeletions: (
      connectionId: ConnectionId,
      approved: { readonly token: string } | { readonly externalIds: ReadonlyArray<string> }
    ) => Effect.Effect<number, StoreError | DeletionsChanged>

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

    // ---- sessions of browsers ----------------------------------------------------------------------------------
    /** Records that the session with this SHA-256 was signed out. The record is kept for `ttl`, its time left. */
    readonly endSession: (hash: string, ttl: Duration.Duration) => Effect.Effect<void, StoreError>
    readonly isSessionEnded: (hash: string) => Effect.Effect<boolean, StoreError>

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
