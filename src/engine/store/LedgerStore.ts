/** The store of the ledger: items that failed, are dead or were deferred, and their retries. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ConnectionId } from "../model/Connection.ts"
import type { LedgerRow } from "../model/Content.ts"
import type { Fence, Superseded } from "./Fence.ts"
import type { StoreError } from "./StoreError.ts"

export class LedgerStore extends Context.Service<
  LedgerStore,
  {
    /** Returns failed and deferred rows that are due, the longest due first. Deferred rows are always due. */
    readonly retriesDue: (
      connectionId: ConnectionId,
      limit: number
    ) => Effect.Effect<ReadonlyArray<LedgerRow>, StoreError>
    /** Makes failed rows due now, and keeps their attempts. Returns true if any of them had been due later. */
    readonly makeFailedDue: (fence: Fence) => Effect.Effect<boolean, StoreError | Superseded>
    /**
     * Returns the ledger ordered by external id: all rows, or those of `externalIds`. `redrivenAfter` keeps only rows
     * after this id that were redriven and not tried since.
     */
    readonly ledger: (
      connectionId: ConnectionId,
      options: {
        readonly externalIds?: ReadonlyArray<string> | undefined
        readonly redrivenAfter?: string | undefined
        readonly limit: number
      }
    ) => Effect.Effect<ReadonlyArray<LedgerRow>, StoreError>
    /**
     * Resets the attempts of failed, dead and deferred rows (all, or these ids), and makes the rows and the connection
     * due now. Returns the number of rows.
     */
    readonly redrive: (
      connectionId: ConnectionId,
      externalIds: ReadonlyArray<string> | undefined
    ) => Effect.Effect<number, StoreError>
  }
>()("idem/engine/store/LedgerStore") {}
