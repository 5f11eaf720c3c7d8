/** The store of connections: their configuration, credentials and state. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { Connection, ConnectionId, ItemEstimate, Member } from "../model/Connection.ts"
import type { Fence, Superseded } from "./Fence.ts"
import type { NameTaken, StoreError } from "./StoreError.ts"

export class ConnectionStore extends Context.Service<
  ConnectionStore,
  {
    /** Creates a connection that is due at once. */
    readonly createConnection: (connection: {
      readonly name: string
      readonly domain: string
      readonly account: string
      readonly config: Schema.Json
      readonly credentials: Uint8Array
      readonly every: Duration.Duration
      /** See `Connection.guarded`. Default: false. */
      readonly guarded?: boolean | undefined
      /** The account of another connection for which this one is created. An account has at most one connection. */
      readonly member?: Member | undefined
      readonly estimate?: ItemEstimate | undefined
    }) => Effect.Effect<Connection, StoreError | NameTaken>
    /**
     * Changes the given fields, takes a new fence, ends the lease and its run (`interrupted`), and makes the connection
     * due. Returns `Option.none` if the connection does not exist, or if `was` is given and differs from the stored
     * config.
     */
    readonly updateConnection: (
      connectionId: ConnectionId,
      change: {
        readonly config?: Schema.Json | undefined
        readonly credentials?: Uint8Array | undefined
        readonly every?: Duration.Duration | undefined
        readonly guarded?: boolean | undefined
        readonly estimate?: ItemEstimate | undefined
        readonly was?: Schema.Json | undefined
      }
    ) => Effect.Effect<Option.Option<Connection>, StoreError>
    /** Stores refreshed credentials. The fence stays the same. */
    readonly saveCredentials: (fence: Fence, credentials: Uint8Array) => Effect.Effect<void, StoreError | Superseded>
    readonly connection: (connectionId: ConnectionId) => Effect.Effect<Option.Option<Connection>, StoreError>
    /** Returns those of these connections that exist, in any order. */
    readonly connectionsById: (
      connectionIds: ReadonlyArray<ConnectionId>
    ) => Effect.Effect<ReadonlyArray<Connection>, StoreError>
    readonly connectionByName: (name: string) => Effect.Effect<Option.Option<Connection>, StoreError>
    /** Returns connections that are not paused and whose account is this text, or begins with it and a `/`. */
    readonly connectionIdsOf: (
      domain: string,
      account: string
    ) => Effect.Effect<ReadonlyArray<ConnectionId>, StoreError>
    /** All connections, ordered by name. */
    readonly connections: Effect.Effect<ReadonlyArray<Connection>, StoreError>
    /** The id and the name of all connections, ordered by name. */
    readonly connectionNames: Effect.Effect<ReadonlyArray<Pick<Connection, "id" | "name">>, StoreError>
    /** The members that this connection has created, ordered by name. */
    readonly membersOf: (owner: ConnectionId) => Effect.Effect<ReadonlyArray<Connection>, StoreError>
    /**
     * Pauses the connection with a reason. With null, resumes it: due at once, failures back to 0. The fence stays the
     * same.
     */
    readonly setPaused: (connectionId: ConnectionId, reason: string | null) => Effect.Effect<void, StoreError>
    /** Sets `problems.hints`, or removes it with null. The fence stays the same. */
    readonly setHintsProblem: (connectionId: ConnectionId, message: string | null) => Effect.Effect<void, StoreError>
    /**
     * Deletes the credentials, takes a new fence and stops the connection. Requested tasks end as failed. With
     * `deleteContents`, removes everything that belongs to the connection: first its contents, with the bodies and
     * blobs that nothing else refers to, and then its row. After a crash in between, the connection still exists, and
     * can be disconnected again. Without `deleteContents` the connection stays, paused and without credentials, so that
     * its contents can be read. Members of a removed connection stay, without an owner.
     */
    readonly disconnect: (connectionId: ConnectionId, deleteContents: boolean) => Effect.Effect<void, StoreError>
  }
>()("idem/engine/store/ConnectionStore") {}
