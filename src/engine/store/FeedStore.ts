/** The store of the feed of changes, and of the epoch that its positions belong to. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ChangePage, ChangePlace, Epoch, FeedHolder } from "../model/Change.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { StoreError } from "./StoreError.ts"

export class FeedStore extends Context.Service<
  FeedStore,
  {
    /** The present epoch of the database. */
    readonly epoch: Effect.Effect<Epoch, StoreError>
    /**
     * Returns the changes after a place (or from the beginning), in order, of all connections or of one. Each content
     * that was ever stored appears once, at its latest change, deleted contents and tombstones included. Contents that
     * were removed with their connection do not appear. Only changes of transactions older than every running one are
     * visible, so that no change appears before a place that a reader has passed.
     */
    readonly changes: (query: {
      readonly connectionId?: ConnectionId | undefined
      readonly after?: ChangePlace | undefined
      readonly limit: number
    }) => Effect.Effect<ChangePage, StoreError>
    /** Returns the transaction that the feed waits for; null if no transaction writes. */
    readonly holder: Effect.Effect<FeedHolder | null, StoreError>
    /**
     * Returns the connections whose changes became visible since this transaction, and the transaction to continue
     * from, which a reader of the feed can begin at, however far `from` is ahead. Makes one cheap query.
     */
    readonly changed: (
      from: bigint
    ) => Effect.Effect<{ readonly connections: ReadonlySet<ConnectionId>; readonly next: bigint }, StoreError>
  }
>()("idem/engine/store/FeedStore") {}
