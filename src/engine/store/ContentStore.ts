/** The store of contents: the checker's queries, the commit of a batch, pages, and the purge of deleted contents. */
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
    /** Returns the ids that are known: stored, failed, dead or deferred. Makes one query for all ids. */
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
     * Returns, for each of these body keys, a content that has it: a stored one, or a deleted one whose body is still
     * kept. Keys without one are left out. Makes one query.
     */
    readonly copySources: (
      connectionId: ConnectionId,
      bodyKeys: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, CopySource>, StoreError>
    /**
     * Returns the checkpoints of these parts, of the connection or of a task that has its own checkpoint. Makes one
     * query.
     */
    readonly parts: (
      connectionId: ConnectionId,
      taskId: TaskId | undefined,
      keys: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, Schema.Json>, StoreError>
    /**
     * Deletes the checkpoint, because the scope has changed or the checkpoint can't be read. All stored content leaves
     * the scope until a listing shows it again; content outside the scope is never absent. Ends the open listing.
     * Unstages absences that passes found, unless they are held.
     */
    readonly changeScope: (fence: Fence, scope: string) => Effect.Effect<void, StoreError | Superseded>
    /**
     * Writes a batch in one transaction: the items, the ledger, the checkpoint of the page, patches, marks and staged
     * deletions, and the counts of the run. Returns the outcome of each item.
     *
     * - With `inScope`, ids that are `listed` or seen come into the scope. Other rows that are new, or were deleted,
     *   begin outside the scope.
     * - An unchanged item without a revision keeps the stored one, unless a page in scope listed it: a forced download
     *   does not know the revision, and the stored content is still that of the stored revision.
     * - An id that was seen again is unstaged.
     * - A page end clears the task's `done` ids, except its `forceIds`.
     * - Parts move with the checkpoint and belong to the same task or connection.
     * - A deleted id is staged if it is stored; an id that is only in the ledger becomes `gone`.
     * - `covers` stages content that was stored before the listing began, is in scope and in the coverage, and was not
     *   seen.
     * - `complete` completes all deletions that passes have staged, and ends the listing.
     *
     * A page end opens the listing that it names. If another listing is open, it is closed and its marks are deleted,
     * so that listings open and close in the order of the commits. A listing begins when the lease of the slice that
     * opens it was acquired, which is before its first page was requested. So content that the same slice stored from
     * the changes is never absent from the listing, and content that earlier slices stored can be.
     */
    readonly commit: (fence: Fence, batch: Batch) => Effect.Effect<Committed, StoreError | Superseded>
    /**
     * Returns a page of contents. With `kind` or `text` a page examines at most 20,000 rows, to bound its time: it may
     * have few rows and still a `next`.
     */
    readonly contents: (
      connectionId: ConnectionId,
      selection: ContentSelection
    ) => Effect.Effect<ContentPage, StoreError>
    readonly content: (
      connectionId: ConnectionId,
      externalId: string
    ) => Effect.Effect<Option.Option<ContentRow>, StoreError>
    /** Returns these contents, without ids that do not exist, by external id. Makes one query. */
    readonly contentsById: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, ContentRow>, StoreError>
    /**
     * Removes for good the body, metadata and title of contents that were deleted before `before`. The id stays as a
     * tombstone, so that readers of the feed see the deletion; ids that were gone before they were stored are removed
     * completely. If the content reappears, it is new. Bodies and blobs that nothing else refers to are removed at
     * once.
     */
    readonly purge: (connectionId: ConnectionId, before: DateTime.Utc) => Effect.Effect<Purged, StoreError>
  }
>()("idem/engine/store/ContentStore") {}
