/** The feed of changes, and the epoch that its places belong to. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ChangePage, ChangePlace, Epoch, FeedHolder } from "../model/Change.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { StoreError } from "./StoreError.ts"

export class FeedStore extends Context.Service<
  FeedStore,
  {
    /** The epoch of the database now. */
    readonly epoch: Effect.Effect<Epoch, StoreError>
    /**
     * Returns the changes after a place (or from the beginning), in order, of all connections or of one. Each content
     * that was ever stored appears once, at its latest change: deleted contents and tombstones too, but not contents
     * that were removed with their connection. Only changes of transactions older than every running one are visible,
     * so that no change appears before a place that a reader has passed.
     */
    readonly changes: (query: {
      readonly connectionId?: ConnectionId | undefined
      readonly after?: ChangePlace | undefined
      readonly limit: number
    }) => Effect.Effect<ChangePage, StoreError>
    /** Returns the transaction that the feed waits for; null if none writes. */
    readonly holder: Effect.Effect<FeedHolder | null, StoreError>
    /**
     * Returns the connections whose changes became visible since this transaction, and the transaction to continue
     * from. One cheap query.
     */
    readonly changed: (
      from: bigint
    ) => Effect.Effect<{ readonly connections: ReadonlySet<ConnectionId>; readonly next: bigint }, StoreError>
  }
>()("idem/engine/store/FeedStore") {}
