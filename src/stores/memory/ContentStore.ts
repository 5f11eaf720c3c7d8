/** Contents in memory: the checker, the commit of a batch, reading and purging. */
import * as DateTime from "effect/DateTime"
import * as Storable from "../Storable.ts"
import * as Clock from "effect/Clock"
import * as Option from "effect/Option"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type WriteOutcome } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { ContentRow } from "../../engine/model/Content.ts"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import { ContentStore } from "../../engine/store/ContentStore.ts"
import type { BlobStore } from "../Blobs.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import { dropUnnamed } from "./BodyStore.ts"
import * as ContentPages from "./ContentPages.ts"
import { contentOf } from "./ContentPages.ts"
import { applyPatches, purge, storeItem, storeMiss } from "./ContentWriter.ts"
import { beginAnew, endPage } from "./Listings.ts"
import { maxKept } from "../../engine/model/Run.ts"
import * as RunStore from "./RunStore.ts"
import { emptyContents } from "./WebhookStore.ts"
import { type ContentEntry, fenced, type State } from "./State.ts"

const isKnown = (entry: ContentEntry): boolean => entry.state !== "gone" && entry.state !== "deleted"

const make = (state: State, blobs: BlobStore["Service"]): ContentStore["Service"] => {
  const known = (connectionId: ConnectionId, externalIds: ReadonlyArray<string>) =>
    externalIds.flatMap((id) => {
      const entry = state.connections.get(connectionId)?.contents.get(id)
      return entry !== undefined && isKnown(entry) ? [entry] : []
    })

  const rowOf = (connectionId: ConnectionId, externalId: string): ReadonlyArray<ContentRow> => {
    const entry = state.connections.get(connectionId)?.contents.get(externalId)
    return entry === undefined ? [] : [contentOf(entry)]
  }

  return {
    contents: ContentPages.list(state),

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

    copySources: (connectionId, bodyKeys) =>
      Effect.sync(() => {
        const wanted = new Set(bodyKeys)
        const entries = [...(state.connections.get(connectionId)?.contents.values() ?? [])]
        return new Map(
          entries.flatMap((entry) => {
            const { bodyKey, hash, kind, size, title, mediaType, metadata, occurredAt, volatile } = entry
            const isThere = entry.state === "stored" || entry.state === "deleted"
            if (bodyKey === undefined || !wanted.has(bodyKey) || !isThere || hash === null || kind === null) return []
            const body = { _tag: "Kept", hash: new Uint8Array(Buffer.from(hash, "hex")), size } as const
            const source = { bodyKey, kind, occurredAt, metadata, volatile, body }
            return [[bodyKey, { ...source, title: title ?? undefined, mediaType: mediaType ?? undefined }] as const]
          })
        )
      }),

    commit: Effect.fnUntraced(function* (fence, batch) {
      const now = yield* Clock.currentTimeMillis
      if (
        batch.items.some(
          ({ body }) => body._tag === "Kept" && !state.bodies.has(Buffer.from(body.hash).toString("hex"))
        )
      ) {
        const message = "a body was removed while a copy of it was being stored: the next run downloads it"
        return yield* new StoreError({ message, cause: message })
      }
      const connection = yield* fenced(state, fence)
      const run = batch.runId === undefined ? undefined : yield* RunStore.runIn(state, batch.runId)
      state.step += 1
      const listed = new Set(batch.inScope ? batch.listed : [])
      const outcomes = new Map<string, WriteOutcome>(
        batch.items.map((item) => [
          item.externalId,
          storeItem(state, connection, item, listed.has(item.externalId), now)
        ])
      )
      for (const one of batch.misses) storeMiss(state, connection, one, listed.has(one.externalId), now)
      if (batch.taskId === undefined && batch.page?.forgetsParts === true) beginAnew(connection)
      if (batch.page !== undefined) endPage(connection, batch.page, batch.inScope, now)
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
        // The checkpoint now covers the ids of the pages. The task's own `forceIds` are recorded nowhere else.
        for (const id of task?.done ?? []) if (!task?.task.forceIds.includes(id)) task?.done.delete(id)
      }
      const count = (outcome: WriteOutcome) => Array.from(outcomes.values()).filter((one) => one === outcome).length
      if (run === undefined) return { outcomes, patched }
      RunCounts.add(run.counts, batch.counts)
      RunCounts.add(run.counts, {
        stored: count("stored"),
        updated: count("updated"),
        unchanged: count("unchanged"),
        patched
      })
      run.problems = [...run.problems, ...batch.problems.map(Storable.problem)].slice(0, maxKept)
      return { outcomes, patched }
    }),

    changeScope: (fence, scope) =>
      Effect.map(fenced(state, fence), (connection) => {
        connection.listing = null
        for (const [id, { cause, held }] of connection.staged) {
          if (cause === "absence" && !held) connection.staged.delete(id)
        }
        connection.scope = scope
        connection.checkpoint = Option.none()
        connection.scopeEpoch += 1
      }),

    purge: Effect.fnUntraced(function* (connectionId, before) {
      const contents = state.connections.get(connectionId)?.contents ?? new Map<string, ContentEntry>()
      const old = Array.from(contents.values()).filter(
        (entry) => entry.state !== "stored" && entry.updatedAt < DateTime.toEpochMillis(before)
      )
      const deleted = old.filter((entry) => entry.hash !== null)
      const gone = old.filter((entry) => entry.state === "gone" && entry.changed === null)
      const hashes = deleted.flatMap((entry) => purge(entry) ?? [])
      emptyContents(state, connectionId, new Set(deleted.map(({ externalId }) => externalId)))
      for (const { externalId } of gone) contents.delete(externalId)
      const { bodies, bytes } = yield* dropUnnamed(state, blobs, hashes)
      return { deleted: deleted.length, gone: gone.length, bodies, bytes }
    }),

    contentsById: (connectionId, externalIds) =>
      Effect.sync(() => new Map(externalIds.flatMap((id) => rowOf(connectionId, id).map((row) => [id, row] as const)))),

    content: (connectionId, externalId) => Effect.sync(() => Option.fromUndefinedOr(rowOf(connectionId, externalId)[0]))
  }
}

export const layer = (state: State, blobs: BlobStore["Service"]): Layer.Layer<ContentStore> =>
  Layer.succeed(ContentStore, make(state, blobs))
