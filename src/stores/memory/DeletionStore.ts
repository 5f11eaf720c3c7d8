/** How listings are followed, and deletions staged, held and applied: the same rules as PostgreSQL's. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import type { Coverage } from "../../contract/Page.ts"
import type { PageEnd } from "../../engine/model/Batch.ts"
import type { Complete } from "../../engine/model/Content.ts"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import { DeletionsChanged, type Store } from "../../engine/Store.ts"
import * as Storable from "../Storable.ts"
import { fenced } from "./ConnectionStore.ts"
import { miss, settle } from "./ContentWriter.ts"
import * as RunStore from "./RunStore.ts"
import { byBytes, type ConnectionEntry, type Millis, next, type StagedEntry, type State, utc } from "./State.ts"

type Methods = Pick<
  Store["Service"],
  | "changeScope"
  | "completeDeletions"
  | "storedBeforeDeletions"
  | "applyDeletions"
  | "holdDeletions"
  | "deletions"
  | "approveDeletions"
>

const cover = (connection: ConnectionEntry, coverage: Coverage, now: Millis): void => {
  const { listing, staged } = connection
  if (listing === null) return
  for (const [id, entry] of connection.contents) {
    const absent =
      entry.state === "stored" &&
      entry.scopeEpoch === connection.scopeEpoch &&
      entry.born < listing.born &&
      id.startsWith(coverage.prefix) &&
      !(coverage.except ?? []).some((prefix) => id.startsWith(prefix)) &&
      !listing.seen.has(id)
    if (!absent || staged.has(id)) continue
    staged.set(id, {
      cause: "absence",
      ofPass: true,
      stagedAt: now,
      since: listing.born,
      ready: false,
      held: false
    })
  }
}

/** Ends whole pages, but for their patches and checkpoint: what they saw, covered and told as deleted. */
export const endPage = (connection: ConnectionEntry, page: PageEnd, now: Millis): void => {
  for (const id of page.seen) {
    connection.staged.delete(id)
    const entry = connection.contents.get(id)
    if (entry !== undefined) entry.scopeEpoch = connection.scopeEpoch
  }
  if (page.listing !== undefined) {
    const listing = Storable.text(page.listing)
    if (connection.listing?.listing !== listing) {
      connection.listing = { listing, born: connection.acquired, seen: new Set() }
    }
    for (const id of page.seen) connection.listing.seen.add(id)
    for (const coverage of page.covers) cover(connection, coverage, now)
  }
  for (const id of page.deleted) miss(connection, id, now, { ofPass: page.listing !== undefined })
  if (!page.complete) return
  connection.listing = null
  for (const one of connection.staged.values()) if (one.ofPass) one.ready = true
}

export const make = (state: State): Methods => {
  const isComplete = (one: StagedEntry, { changes, listing }: Complete) =>
    one.ready || (one.cause === "event" && (listing || (changes && !one.ofPass)))

  /** Those of a connection that are chosen, by external id. */
  const choose = (connection: ConnectionEntry | undefined, isChosen: (one: StagedEntry) => boolean) =>
    [...(connection?.staged ?? [])].filter(([, one]) => isChosen(one)).toSorted(([a], [b]) => byBytes(a, b))

  const tokenOf = (ids: ReadonlyArray<string>) => createHash("sha256").update(JSON.stringify(ids)).digest("hex")

  /** Deletes softly; returns how many contents that were. */
  const remove = (connection: ConnectionEntry, ids: ReadonlyArray<string>, now: Millis): number => {
    state.step += 1
    let deleted = 0
    for (const id of ids) {
      connection.staged.delete(id)
      const entry = connection.contents.get(id)
      if (entry?.state !== "stored") continue
      settle(entry)
      entry.state = "deleted"
      entry.updatedAt = now
      entry.changed = { step: state.step, kind: "deleted" }
      entry.died = next(state)
      deleted += 1
    }
    return deleted
  }

  return {
    changeScope: (fence, scope) =>
      Effect.map(fenced(state, fence), (connection) => {
        connection.listing = null
        for (const [id] of choose(connection, ({ cause, held }) => cause === "absence" && !held)) {
          connection.staged.delete(id)
        }
        connection.scope = scope
        connection.checkpoint = Option.none()
        connection.scopeEpoch += 1
      }),

    completeDeletions: (connectionId, complete) =>
      Effect.sync(() => {
        const connection = state.connections.get(connectionId)
        return {
          waiting: choose(connection, (one) => !one.held && isComplete(one, complete)).length,
          held: choose(connection, ({ held }) => held).length
        }
      }),

    storedBeforeDeletions: (connectionId, complete) =>
      Effect.sync(() => {
        const connection = state.connections.get(connectionId)
        const found = choose(connection, (one) => one.held || isComplete(one, complete))
        const began = Math.min(...found.map(([, { since }]) => since))
        let stored = 0
        for (const { born, died, state } of connection?.contents.values() ?? []) {
          if (born < began && (state === "stored" || (state === "deleted" && died !== null && died >= began)))
            stored += 1
        }
        return stored
      }),

    applyDeletions: Effect.fnUntraced(function* (fence, complete, runId) {
      const now = yield* Clock.currentTimeMillis
      const connection = yield* fenced(state, fence)
      const run = runId === undefined ? undefined : yield* RunStore.runIn(state, runId)
      const chosen = choose(connection, (one) => !one.held && isComplete(one, complete))
      const deleted = remove(
        connection,
        chosen.map(([id]) => id),
        now
      )
      if (complete.changes) connection.readingSince = null
      if (run !== undefined) RunCounts.add(run.counts, { deleted })
      return deleted
    }),

    holdDeletions: (fence, complete) =>
      Effect.map(fenced(state, fence), (connection) => {
        for (const [, one] of choose(connection, (one) => isComplete(one, complete))) one.held = one.ready = true
        if (complete.changes) connection.readingSince = null
        return choose(connection, ({ held }) => held).length
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
