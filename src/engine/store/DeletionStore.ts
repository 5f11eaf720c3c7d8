/** The store of staged deletions. `sync/Deletions` decides when they are applied and when they are held. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Coverage } from "../../contract/Page.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { Readiness, StagedDeletions } from "../model/Content.ts"
import type { RunId } from "../model/Run.ts"
import type { Fence, Superseded } from "./Fence.ts"
import type { DeletionsChanged, StoreError } from "./StoreError.ts"

export class DeletionStore extends Context.Service<
  DeletionStore,
  {
    /**
     * Returns how many staged deletions are ready and not held, and how many are held. `moved` counts ready deletions
     * whose body key another stored content has, which is not staged itself: they lose no content.
     */
    readonly readyDeletions: (
      connectionId: ConnectionId,
      readiness: Readiness
    ) => Effect.Effect<{ readonly waiting: number; readonly moved: number; readonly held: number }, StoreError>
    /**
     * Returns how many contents were stored when the first pass (or reading of the changes) that found one of the ready
     * or held deletions began. Contents deleted since then are included. Stops counting at `atMost`.
     */
    readonly storedBeforeDeletions: (
      connectionId: ConnectionId,
      readiness: Readiness,
      atMost: number
    ) => Effect.Effect<number, StoreError>
    /**
     * Soft-deletes the staged deletions that are ready and not held. Adds the number to the run's `deleted` count
     * and returns it.
     */
    readonly applyDeletions: (
      fence: Fence,
      readiness: Readiness,
      runId: RunId | undefined
    ) => Effect.Effect<number, StoreError | Superseded>
    /** Holds the ready deletions until a person approves them. Returns how many are held. */
    readonly holdDeletions: (fence: Fence, readiness: Readiness) => Effect.Effect<number, StoreError | Superseded>
    /**
     * Returns those of these ids that the source reported as deleted, in a reading of the changes or a pass that is not
     * complete. One query.
     */
    readonly reportedDeleted: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlySet<string>, StoreError>
    /**
     * Returns the ids in this coverage that the listing of this name would find absent if no further page listed them:
     * stored contents in scope that are not staged and, if the listing is open, are older than it and that it has not
     * seen. They are ordered by external id, and come after `after`.
     */
    readonly unseen: (
      connectionId: ConnectionId,
      listing: string,
      page: { readonly coverage: Coverage; readonly after: string; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<string>, StoreError>
    /** Returns the held deletions, or all staged ones. */
    readonly deletions: (
      connectionId: ConnectionId,
      options: { readonly which: "held" | "staged"; readonly limit: number }
    ) => Effect.Effect<StagedDeletions, StoreError>
    /**
     * Soft-deletes held deletions: all of them if `token` still identifies them, or `externalIds` if each one is held.
     * Otherwise deletes nothing. Returns the number deleted.
     */
    readonly approveDeletions: (
      connectionId: ConnectionId,
      approved: { readonly token: string } | { readonly externalIds: ReadonlyArray<string> }
    ) => Effect.Effect<number, StoreError | DeletionsChanged>
  }
>()("idem/engine/store/DeletionStore") {}
