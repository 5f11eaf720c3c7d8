/**
 * The store in memory, for tests: faithful to the port, the fence included. Its time is Effect's clock, and each method
 * changes everything in one synchronous step, so that it is whole or nothing.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import * as RunCounts from "../engine/model/RunCounts.ts"
import { type Outcome } from "../engine/model/Batch.ts"
import type { ConnectionId } from "../engine/model/Connection.ts"
import type { LedgerRow } from "../engine/model/Content.ts"
import { Store } from "../engine/Store.ts"
import { absent, BlobStore, layerMemory, within } from "./Blobs.ts"
import * as ConnectionStore from "./memory/ConnectionStore.ts"
import { applyPatches, purge, storeItem, storeMiss } from "./memory/ContentWriter.ts"
import * as DeletionStore from "./memory/DeletionStore.ts"
import * as ContentPages from "./memory/ContentPages.ts"
import { contentOf } from "./memory/ContentPages.ts"
import * as OverviewStore from "./memory/OverviewStore.ts"
import * as RunStore from "./memory/RunStore.ts"
import * as SecretStore from "./memory/SecretStore.ts"
import * as SessionStore from "./memory/SessionStore.ts"
import * as TaskStore from "./memory/TaskStore.ts"
import { byBytes, type ContentEntry, empty, type State, utc } from "./memory/State.ts"
import * as Storable from "./Storable.ts"

const ledgerOf = (entry: ContentEntry, state: LedgerRow["state"]): LedgerRow => ({
  externalId: entry.externalId,
  state,
  revision: entry.triedRevision,
  reason: entry.reason ?? "",
  message: entry.message ?? "",
  attempts: entry.attempts,
  nextAttemptAt: state === "failed" && entry.nextAttemptAt !== null ? utc(entry.nextAttemptAt) : null
})

const isKnown = (entry: ContentEntry): boolean => entry.state !== "gone" && entry.state !== "deleted"

const make = Effect.gen(function* () {
  const state: State = empty({ databaseId: randomUUID(), number: 1, id: randomUUID() })
  const blobs = yield* BlobStore

  const entriesOf = (connectionId: ConnectionId, isWanted: (entry: ContentEntry) => boolean) =>
    Array.from(state.connections.get(connectionId)?.contents.values() ?? [])
      .filter(isWanted)
      .toSorted((a, b) => byBytes(a.externalId, b.externalId))
  const countOf = (connectionId: ConnectionId, isWanted: (entry: ContentEntry) => boolean) => {
    let count = 0
    for (const entry of state.connections.get(connectionId)?.contents.values() ?? []) if (isWanted(entry)) count += 1
    return count
  }
  const known = (connectionId: ConnectionId, externalIds: ReadonlyArray<string>) =>
    externalIds.flatMap((id) => {
      const entry = state.connections.get(connectionId)?.contents.get(id)
      return entry !== undefined && isKnown(entry) ? [entry] : []
    })
  const inLedger = (connectionId: ConnectionId, externalIds: ReadonlyArray<string> | undefined) => {
    const wanted = externalIds === undefined ? undefined : new Set(externalIds)
    const isWanted = (entry: ContentEntry) => wanted === undefined || wanted.has(entry.externalId)
    return entriesOf(connectionId, (entry) => entry.pending !== null && isWanted(entry)).flatMap((entry) =>
      entry.pending === null ? [] : [{ entry, row: ledgerOf(entry, entry.pending) }]
    )
  }

  const named = () => {
    const hashes = new Set<string | null>()
    for (const { contents } of state.connections.values()) for (const { hash } of contents.values()) hashes.add(hash)
    return hashes
  }
  /** Removes those of the bodies that nothing names. */
  const dropUnnamed = Effect.fnUntraced(function* (hashes: Iterable<string>) {
    const still = named()
    let bodies = 0
    let bytes = 0
    for (const hash of new Set(hashes)) {
      const body = state.bodies.get(hash)
      if (body === undefined || still.has(hash)) continue
      state.bodies.delete(hash)
      bodies += 1
      bytes += body.size
      if (body.bytes === null) yield* blobs.remove(hash, Duration.zero)
    }
    return { bodies, bytes }
  })
  const connections = ConnectionStore.make(state)

  return Store.of({
    ...connections,
    ...RunStore.make(state),
    ...TaskStore.make(state),
    ...DeletionStore.make(state),
    ...SecretStore.make(state),
    ...SessionStore.make(state),
    ...ContentPages.make(state),
    ...OverviewStore.make(state),

    disconnect: Effect.fnUntraced(function* (connectionId, deleteContents) {
      const hashes = entriesOf(connectionId, () => deleteContents).flatMap(({ hash }) => hash ?? [])
      yield* connections.disconnect(connectionId, deleteContents)
      yield* dropUnnamed(hashes)
    }),

    parts: (connectionId, taskId, keys) =>
      Effect.sync(() => {
        const owner = taskId === undefined ? state.connections.get(connectionId) : state.tasks.get(taskId)
        return new Map(
          keys.flatMap((key) => {
            const checkpoint = owner?.parts.get(key)
            return checkpoint === undefined ? [] : [[key, checkpoint] as const]
          })
        )
      }),

    existing: (connectionId, ids) =>
      Effect.sync(() => new Set(known(connectionId, ids).map((entry) => entry.externalId))),
    revisions: (connectionId, ids) =>
      Effect.sync(
        () =>
          new Map(
            known(connectionId, ids).map((entry) => [
              entry.externalId,
              Option.fromUndefinedOr(entry.pending === null ? entry.revision : entry.triedRevision)
            ])
          )
      ),

    commit: Effect.fnUntraced(function* (fence, batch) {
      const now = yield* Clock.currentTimeMillis
      const connection = yield* ConnectionStore.fenced(state, fence)
      const run = batch.runId === undefined ? undefined : yield* RunStore.runIn(state, batch.runId)
      state.step += 1
      const outcomes = new Map<string, Outcome>(
        batch.items.map((item) => [item.externalId, storeItem(state, connection, item, now)])
      )
      for (const one of batch.misses) storeMiss(state, connection, one, now)
      if (batch.page !== undefined) DeletionStore.endPage(connection, batch.page, now)
      const patched = batch.page === undefined ? 0 : applyPatches(state, connection, batch.page.patches, now)
      const task = batch.taskId === undefined ? undefined : state.tasks.get(batch.taskId)
      if (task !== undefined) {
        task.movedAt = now
        for (const id of batch.done) task.done.add(id)
      }
      if (batch.page !== undefined) {
        const moved = batch.taskId === undefined ? connection : task
        if (moved !== undefined) {
          if (batch.page.forgetsParts) moved.parts.clear()
          for (const { checkpoint, key } of batch.page.parts) {
            if (checkpoint === null) moved.parts.delete(key)
            else moved.parts.set(key, checkpoint)
          }
          moved.checkpoint = Option.some(batch.page.checkpoint)
          moved.scope = batch.page.scope
        }
        if (task === undefined && batch.page.listing === undefined) connection.readingSince ??= connection.acquired
        // The checkpoint now stands for what its pages listed; the task's own ids have no other record.
        for (const id of task?.done ?? []) if (!task?.task.forceIds.includes(id)) task?.done.delete(id)
      }
      const count = (outcome: Outcome) => Array.from(outcomes.values()).filter((one) => one === outcome).length
      if (run === undefined) return { outcomes, patched }
      RunCounts.add(run.counts, batch.counts)
      RunCounts.add(run.counts, {
        stored: count("stored"),
        updated: count("updated"),
        unchanged: count("unchanged"),
        patched
      })
      run.problems = [...run.problems, ...batch.problems.map(Storable.problem)].slice(0, RunStore.maxKept)
      return { outcomes, patched }
    }),

    purge: Effect.fnUntraced(function* (connectionId, before) {
      const contents = state.connections.get(connectionId)?.contents ?? new Map<string, ContentEntry>()
      const old = Array.from(contents.values()).filter(
        (entry) => entry.state !== "stored" && entry.updatedAt < DateTime.toEpochMillis(before)
      )
      const deleted = old.filter((entry) => entry.hash !== null)
      const gone = old.filter((entry) => entry.state === "gone" && entry.changed === null)
      const hashes = deleted.flatMap((entry) => purge(entry) ?? [])
      for (const { externalId } of gone) contents.delete(externalId)
      const { bodies, bytes } = yield* dropUnnamed(hashes)
      return { deleted: deleted.length, gone: gone.length, bodies, bytes }
    }),

    retriesDue: (connectionId, limit) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        inLedger(connectionId, undefined)
          .filter(({ entry }) => entry.nextAttemptAt !== null && entry.nextAttemptAt <= now)
          .toSorted((a, b) => (a.entry.nextAttemptAt ?? 0) - (b.entry.nextAttemptAt ?? 0))
          .slice(0, limit)
          .map(({ row }) => row)
      ),

    ledger: (connectionId, { externalIds, limit }) =>
      Effect.sync(() =>
        inLedger(connectionId, externalIds)
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
        return reset.map(({ entry }) => entry.externalId)
      }),

    content: (connectionId, externalId) =>
      Effect.sync(() =>
        Option.map(Option.fromUndefinedOr(state.connections.get(connectionId)?.contents.get(externalId)), contentOf)
      ),

    body: (hash, range) =>
      Stream.suspend(() => {
        const body = state.bodies.get(hash.toLowerCase())
        if (body === undefined) return Stream.fail(absent(hash))
        return body.bytes === null ? blobs.read(hash, range) : Stream.succeed(within(body.bytes, range))
      }),

    totals: (connectionId) =>
      Effect.sync(() => {
        const stored = entriesOf(connectionId, (entry) => entry.state === "stored")
        const pending = (word: LedgerRow["state"]) => countOf(connectionId, (entry) => entry.pending === word)
        return {
          stored: stored.length,
          failed: pending("failed"),
          dead: pending("dead"),
          deferred: pending("deferred"),
          deleted: countOf(connectionId, (entry) => entry.state === "deleted"),
          bytes: stored.reduce((sum, entry) => sum + entry.size, 0),
          deletionsHeld: Array.from(state.connections.get(connectionId)?.staged.values() ?? []).filter(
            (one) => one.held
          ).length
        }
      }),

    writeBlob: blobs.write,

    collectBodies: Effect.fnUntraced(function* (untouchedFor) {
      const untouched = Duration.max(untouchedFor, Duration.hours(2))
      const before = (yield* Clock.currentTimeMillis) - Duration.toMillis(untouched)
      const still = named()
      const unused = [...state.bodies].filter(([hash, { touchedAt }]) => !still.has(hash) && touchedAt < before)
      for (const [hash] of unused) state.bodies.delete(hash)
      yield* Stream.runForEach(blobs.list, ({ hash }) =>
        state.bodies.has(hash) ? Effect.void : blobs.remove(hash, untouched)
      )
      return unused.length
    })
  })
})

export const layer: Layer.Layer<Store> = Layer.effect(Store, make).pipe(Layer.provide(layerMemory))
