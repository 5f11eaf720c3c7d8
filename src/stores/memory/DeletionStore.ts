/** Staged deletions in memory. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import type { Readiness } from "../../engine/model/Content.ts"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import { DeletionStore } from "../../engine/store/DeletionStore.ts"
import { DeletionsChanged } from "../../engine/store/StoreError.ts"
import { leaveLedger, setChange } from "./ContentWriter.ts"
import * as Listings from "./Listings.ts"
import * as RunStore from "./RunStore.ts"
import { byBytes, type ConnectionEntry, fenced, type Millis, next, type StagedEntry, type State, utc } from "./State.ts"

type Methods = DeletionStore["Service"]

const make = (state: State): Methods => {
  const isReady = (one: StagedEntry, { changes, listing }: Readiness) =>
    one.ready || (one.cause === "event" && (listing || (changes && !one.ofPass)))

  /** Returns the matching staged deletions of a connection, by external id. */
  const choose = (connection: ConnectionEntry | undefined, isChosen: (one: StagedEntry) => boolean) =>
    [...(connection?.staged ?? [])].filter(([, one]) => isChosen(one)).toSorted(([a], [b]) => byBytes(a, b))

  const tokenOf = (ids: ReadonlyArray<string>) => createHash("sha256").update(JSON.stringify(ids)).digest("hex")

  /** Soft-deletes these contents, and returns their number. */
  const remove = (connection: ConnectionEntry, ids: ReadonlyArray<string>, now: Millis): number => {
    state.step += 1
    let deleted = 0
    for (const id of ids) {
      connection.staged.delete(id)
      const entry = connection.contents.get(id)
      if (entry?.state !== "stored") continue
      leaveLedger(entry)
      entry.state = "deleted"
      entry.updatedAt = now
      setChange(state, entry, "deleted")
      entry.died = next(state)
      deleted += 1
    }
    return deleted
  }

  return {
    unseen: (connectionId, listing, { after, coverage, limit }) =>
      Effect.sync(() => {
        const connection = state.connections.get(connectionId)
        const ids = connection === undefined ? [] : Listings.unseen(connection, listing, coverage)
        return ids
          .filter((id) => byBytes(id, after) > 0)
          .toSorted(byBytes)
          .slice(0, limit)
      }),

    readyDeletions: (connectionId, readiness) =>
      Effect.sync(() => {
        const connection = state.connections.get(connectionId)
        const waiting = choose(connection, (one) => !one.held && isReady(one, readiness))
        const elsewhere = new Set<string>()
        for (const [id, { bodyKey, state }] of waiting.length === 0 ? [] : (connection?.contents ?? [])) {
          if (bodyKey !== undefined && state === "stored" && connection?.staged.has(id) === false)
            elsewhere.add(bodyKey)
        }
        return {
          waiting: waiting.length,
          moved: waiting.filter(([id]) => elsewhere.has(connection?.contents.get(id)?.bodyKey ?? "")).length,
          held: choose(connection, ({ held }) => held).length
        }
      }),

    storedBeforeDeletions: (connectionId, readiness, atMost) =>
      Effect.sync(() => {
        const connection = state.connections.get(connectionId)
        const found = choose(connection, (one) => one.held || isReady(one, readiness))
        const began = Math.min(...found.map(([, { since }]) => since))
        let stored = 0
        for (const { born, died, state } of connection?.contents.values() ?? []) {
          if (born < began && (state === "stored" || (state === "deleted" && died !== null && died >= began)))
            stored += 1
        }
        return Math.min(stored, atMost)
      }),

    applyDeletions: Effect.fnUntraced(function* (fence, readiness, runId) {
      const now = yield* Clock.currentTimeMillis
      const connection = yield* fenced(state, fence)
      const run = runId === undefined ? undefined : yield* RunStore.runIn(state, runId)
      const chosen = choose(connection, (one) => !one.held && isReady(one, readiness))
      const deleted = remove(
        connection,
        chosen.map(([id]) => id),
        now
      )
      if (readiness.changes) connection.readingSince = null
      if (run !== undefined) RunCounts.add(run.counts, { deleted })
      return deleted
    }),

    holdDeletions: (fence, readiness) =>
      Effect.map(fenced(state, fence), (connection) => {
        for (const [, one] of choose(connection, (one) => isReady(one, readiness))) one.held = one.ready = true
        if (readiness.changes) connection.readingSince = null
        return choose(connection, ({ held }) => held).length
      }),

    reportedDeleted: (connectionId, externalIds) =>
      Effect.sync(() => {
        const staged = state.connections.get(connectionId)?.staged
        const isTold = (one: StagedEntry | undefined) => one?.cause === "event" && !one.ready
        return new Set(externalIds.filter((id) => isTold(staged?.get(id))))
      }),

    deletions: (connectionId, { limit, which }) =>
      Effect.sync(() => {
        const connection = state.connections.get(connectionId)
        const chosen = choose(connection, ({ held }) => which === "staged" || held)
        return {
          deletions: chosen.slice(0, limit).map(([externalId, { cause, stagedAt }]) => {
            const { kind = null, occurredAt, title = null } = connection?.contents.get(externalId) ?? {}
            return { externalId, kind, title, occurredAt: occurredAt ?? null, cause, stagedAt: utc(stagedAt) }
          }),
          total: chosen.length,
          token: tokenOf(chosen.map(([id]) => id))
        }
      }),

    approveDeletions: Effect.fnUntraced(function* (connectionId, approved) {
      const now = yield* Clock.currentTimeMillis
      const connection = state.connections.get(connectionId)
      const held = choose(connection, ({ held }) => held).map(([id]) => id)
      const changed = (externalId: string | null) => new DeletionsChanged({ connectionId, externalId })
      if ("token" in approved) {
        if (tokenOf(held) !== approved.token) return yield* changed(null)
        return connection === undefined ? 0 : remove(connection, held, now)
      }
      const absent = approved.externalIds.find((id) => !held.includes(id))
      if (absent !== undefined) return yield* changed(absent)
      return connection === undefined ? 0 : remove(connection, approved.externalIds, now)
    })
  }
}

export const layer = (state: State): Layer.Layer<DeletionStore> => Layer.succeed(DeletionStore, make(state))
