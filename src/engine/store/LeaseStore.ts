/** The store of leases: which process may run a connection, and which connections are due. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { ConnectionId, Due, LeasedConnection, Problems } from "../model/Connection.ts"
import type { Fence, Superseded } from "./Fence.ts"
import type { SchemaTooNew, StoreError } from "./StoreError.ts"

export class LeaseStore extends Context.Service<
  LeaseStore,
  {
    /**
     * Acquires the lease for `ttl` with a new fence, and returns the connection with the work that waits for a run.
     * Returns `Option.none` while another holder's lease is valid; the lease of `deadHolder`, a holder known to be
     * dead, is not valid. Runs that an earlier holder left running become `interrupted`. Fails with `Superseded` if the
     * connection does not exist, and with `StoreError` if `checkSchema` fails.
     */
    readonly acquire: (
      connectionId: ConnectionId,
      options: { readonly holder: string; readonly ttl: Duration.Duration; readonly deadHolder?: string | undefined }
    ) => Effect.Effect<Option.Option<LeasedConnection>, StoreError | Superseded>
    /** Extends the lease to `ttl` from now. */
    readonly renew: (fence: Fence, ttl: Duration.Duration) => Effect.Effect<void, StoreError | Superseded>
    /**
     * Ends the lease if the fence is still current, and stores the given fields in the same write: a superseded run
     * changes nothing of its connection. An undefined field keeps its value.
     *
     * - `pollIn`: the time until the next poll. `failures`: the connection's failures in a row.
     * - `retriesWait`: failed items are retried with the next poll, not earlier, because the source could not be asked.
     * - `paused` replaces the pause `from` by `to` (null: not paused), and keeps any other pause.
     * - `problems` replaces the connection's problems.
     * - `checked`: the source answered a request for new content; sets `lastCheckedAt` to now.
     * - `askedWait`: how long from now the source asked to wait; null if it no longer asks.
     * - `changesRead`: the reading of the changes is complete, so its start is removed.
     * - `interrupted`: the run was cut off, and its row records that.
     */
    readonly release: (
      fence: Fence,
      next: {
        readonly pollIn?: Duration.Duration | undefined
        readonly retriesWait?: boolean | undefined
        readonly failures?: number | undefined
        readonly askedWait?: Duration.Duration | null | undefined
        readonly paused?: { readonly from: string | null; readonly to: string | null } | undefined
        readonly problems?: Problems | undefined
        readonly checked?: boolean | undefined
        readonly interrupted?: boolean | undefined
        readonly changesRead?: boolean | undefined
      }
    ) => Effect.Effect<void, StoreError>
    /**
     * Returns connections that are due and not leased, the longest due first. A connection is due for its next poll or
     * a retry unless it is paused. A requested task makes it due even if it is paused.
     */
    readonly due: (limit: number) => Effect.Effect<ReadonlyArray<Due>, StoreError>
    /**
     * Fails if a newer version has migrated the database since this process began. Then this process must not take any
     * work.
     */
    readonly checkSchema: Effect.Effect<void, SchemaTooNew | StoreError>
  }
>()("idem/engine/store/LeaseStore") {}
