/** The ledger in memory. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LedgerStore } from "../../engine/store/LedgerStore.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { LedgerRow } from "../../engine/model/Content.ts"
import { byBytes, type ContentEntry, fenced, type State, utc } from "./State.ts"

const ledgerOf = (entry: ContentEntry, state: LedgerRow["state"]): LedgerRow => ({
  externalId: entry.externalId,
  state,
  revision: entry.triedRevision,
  reason: entry.reason ?? "",
  message: entry.message ?? "",
  attempts: entry.attempts,
  nextAttemptAt: state === "failed" && entry.nextAttemptAt !== null ? utc(entry.nextAttemptAt) : null
})

const isRedriven = ({ attempts, externalId, pending }: ContentEntry, after: string): boolean =>
  pending === "failed" && attempts === 0 && byBytes(externalId, after) > 0

const make = (state: State): LedgerStore["Service"] => {
  const inLedger = (connectionId: ConnectionId, externalIds: ReadonlyArray<string> | undefined) => {
    const wanted = externalIds === undefined ? undefined : new Set(externalIds)
    const isWanted = (entry: ContentEntry) => wanted === undefined || wanted.has(entry.externalId)
    return Array.from(state.connections.get(connectionId)?.contents.values() ?? [])
      .filter((entry) => entry.pending !== null && isWanted(entry))
      .toSorted((a, b) => byBytes(a.externalId, b.externalId))
      .flatMap((entry) => (entry.pending === null ? [] : [{ entry, row: ledgerOf(entry, entry.pending) }]))
  }

  return {
    retriesDue: (connectionId, limit) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        inLedger(connectionId, undefined)
          .filter(({ entry }) => entry.nextAttemptAt !== null && entry.nextAttemptAt <= now)
          .toSorted((a, b) => (a.entry.nextAttemptAt ?? 0) - (b.entry.nextAttemptAt ?? 0))
          .slice(0, limit)
          .map(({ row }) => row)
      ),

    makeFailedDue: Effect.fnUntraced(function* (fence) {
      const now = yield* Clock.currentTimeMillis
      yield* fenced(state, fence)
      const later = inLedger(fence.connectionId, undefined).filter(
        ({ entry }) => entry.pending === "failed" && (entry.nextAttemptAt ?? now) > now
      )
      for (const { entry } of later) entry.nextAttemptAt = now
      return later.length > 0
    }),

    ledger: (connectionId, { externalIds, limit, redrivenAfter }) =>
      Effect.sync(() =>
        inLedger(connectionId, externalIds)
          .filter(({ entry }) => redrivenAfter === undefined || isRedriven(entry, redrivenAfter))
          .slice(0, limit)
          .map(({ row }) => row)
      ),

    redrive: (connectionId, externalIds) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const reset = inLedger(connectionId, externalIds)
        for (const { entry } of reset) {
          entry.pending = "failed"
          if (entry.state !== "stored") entry.state = "failed"
          entry.attempts = 0
          entry.nextAttemptAt = now
        }
        const connection = state.connections.get(connectionId)
        if (connection !== undefined && reset.length > 0) connection.dueAt = Math.min(connection.dueAt, now)
        return reset.length
      })
  }
}

export const layer = (state: State): Layer.Layer<LedgerStore> => Layer.succeed(LedgerStore, make(state))
