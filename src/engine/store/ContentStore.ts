/** Contents: the checker, the commit of a batch, pages, and the purge of deleted contents. */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { Batch, Committed, CopySource } from "../model/Batch.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { ContentPage, ContentRow, ContentSelection, Purged } from "../model/Content.ts"
import type { TaskId } from "../model/Task.ts"
import type { Fence, Superseded } from "./Fence.ts"
import type { StoreError } from "./StoreError.ts"

export class ContentStore extends Context.Service<
  ContentStore,
  {
    /** Returns the ids that are known: stored, failed, dead or deferred. One query, whatever the number of ids. */
    readonly existing: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlySet<string>, StoreError>
    /** Returns the known ids with their revisions: the revision stored last or, for ids in the ledger, tried last. */
    readonly revisions: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, Option.Option<string>>, StoreError>
    /**
     * Returns a content for each of these body keys that one is stored under, or was until it was deleted: its body is
     * still there. One query.
     */
    readonly copySources: (
      connectionId: ConnectionId,
      bodyKeys: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, CopySource>, StoreError>
    /**
     * Returns the checkpoints of these parts, of the connection or of a task that has its own checkpoint. One query.
     */
    readonly parts: (
      connectionId: ConnectionId,
      taskId: TaskId | undefined,
      keys: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, Schema.Json>, StoreError>
    /**
     * Deletes the checkpoint, since the scope is new or the checkpoint cannot be read. All stored content leaves the
     * scope until it is seen again; content outside the scope is never absent. Ends the open listing. Unstages absences
     * that passes found, unless they are held.
     */
    readonly changeScope: (fence: Fence, scope: string) => Effect.Effect<void, StoreError | Superseded>
    /**
     * Writes a batch in one transaction: the items, the ledger, the checkpoint of the page, patches, marks and staged
     * deletions, and the counts of the run. Returns the outcome of each item.
     *
     * - With `inScope`, the ids that are `listed` or seen come into the scope. Other rows that are new, or were
     *   deleted, begin outside it.
     * - An unchanged item without a revision keeps the stored one, unless a page in scope listed it: a forced download
     *   does not know the revision, and what is stored is still what that revision named.
     * - An id that was seen again is unstaged.
     * - A page end clears the task's `done` ids that are not its `forceIds`.
     * - Parts move with the checkpoint and belong to the same task or connection.
     * - A deleted id that is stored is staged; one that is only in the ledger becomes `gone`.
     * - `covers` stages what was stored before the listing began, is in scope, lies in the coverage and was not seen.
     * - `complete` makes everything that passes have staged complete, and ends the listing.
     *
     * A page end opens the listing that it names, if another one is open, and deletes the marks of that one: listings
     * open and close in the order of the commits. A listing counts as begun when the lease was acquired under which it
     * is opened, which is before its first page was requested. So content that the same slice stored from the changes
     * is never absent from it, and content that earlier slices stored can be.
     */
    readonly commit: (fence: Fence, batch: Batch) => Effect.Effect<Committed, StoreError | Superseded>
    /**
     * Returns a page of contents. With `kind` or `text` a page examines at most 20,000 rows, which bounds its time: it
     * may be short and still have a `next`.
     */
    readonly contents: (
      connectionId: ConnectionId,
      selection: ContentSelection
    ) => Effect.Effect<ContentPage, StoreError>
    readonly content: (
      connectionId: ConnectionId,
      externalId: string
    ) => Effect.Effect<Option.Option<ContentRow>, StoreError>
    /** Returns those of these contents that are there, by external id. One query. */
    readonly contentsById: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, ContentRow>, StoreError>
    /**
     * Removes for good the body, metadata and title of contents that were deleted before `before`. The id stays as a
     * tombstone, so that readers of the feed see the deletion; ids that were gone before they were stored are removed
     * completely. Content that comes back is new. Bodies and blobs that nothing else names are removed at once.
     */
    readonly purge: (connectionId: ConnectionId, before: DateTime.Utc) => Effect.Effect<Purged, StoreError>
  }
>()("idem/engine/store/ContentStore") {}
