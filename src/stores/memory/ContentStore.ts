/** Contents in memory: the checker, the commit of a batch, reading and purging. */
import * as DateTime from "effect/DateTime"
import * as Storable from "../Storable.ts"
import * as Clock from "effect/Clock"
import * as Option from "effect/Option"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Batch, Committed, PageEnd } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { ContentRow } from "../../engine/model/Content.ts"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import { ContentStore } from "../../engine/store/ContentStore.ts"
import { type BlobStore, hex } from "../Blobs.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import { dropUnnamed } from "./BodyStore.ts"
import * as ContentPages from "./ContentPages.ts"
import { contentOf } from "./ContentPages.ts"
import { applyPatches, purge, storeItem, updateLedger } from "./ContentWriter.ts"
import { beginAnew, endPage } from "./Listings.ts"
import { maxKept } from "../../engine/model/Run.ts"
import * as RunStore from "./RunStore.ts"
import { emptyContents } from "./WebhookStore.ts"
import {
  type ConnectionEntry,
  type ContentEntry,
  fenced,
  type Millis,
  type RunEntry,
  type State,
  type TaskEntry
} from "./State.ts"

const isKnown = (entry: ContentEntry): boolean => entry.state !== "gone" && entry.state !== "deleted"

/** Moves the checkpoint and the parts of a connection, or of a task, to the end of a page. */
const moveCheckpoint = (owner: ConnectionEntry | TaskEntry, page: PageEnd): void => {
  if (page.forgetsParts) owner.parts.clear()
  for (const { checkpoint, key } of page.parts) {
    if (checkpoint === null) owner.parts.delete(key)
    else owner.parts.set(key, checkpoint)
  }
  owner.checkpoint = Option.some(page.checkpoint)
  owner.scope = page.scope
}

/** Records the ids that a task has done, and moves its checkpoint if a page ended. */
const moveTask = (task: TaskEntry, done: ReadonlyArray<string>, page: PageEnd | undefined, now: Millis): void => {
  task.movedAt = now
  for (const id of done) task.done.add(id)
  if (page === undefined) return
  moveCheckpoint(task, page)
  // The checkpoint now covers the ids of the pages. The task's own `forceIds` are recorded nowhere else.
  for (const id of task.done) if (!task.task.forceIds.includes(id)) task.done.delete(id)
}

const addToRun = (run: RunEntry, batch: Batch, { outcomes, patched }: Committed): void => {
  RunCounts.add(run.counts, batch.counts)
  run.counts.patched += patched
  for (const outcome of outcomes.values()) run.counts[outcome] += 1
  run.problems = [...run.problems, ...batch.problems.map(Storable.problem)].slice(0, maxKept)
}

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
      const { page, taskId } = batch
      const now = yield* Clock.currentTimeMillis
      if (batch.items.some(({ body }) => body._tag === "Kept" && !state.bodies.has(hex(body.hash)))) {
        const message = "a body was removed while a copy of it was being stored: the next run downloads it"
        return yield* new StoreError({ message, cause: message })
      }
      const connection = yield* fenced(state, fence)
      const run = batch.runId === undefined ? undefined : yield* RunStore.runIn(state, batch.runId)
      state.step += 1
      const listed = new Set(batch.inScope ? batch.listed : [])
      const outcomes = new Map(
        batch.items.map((item) => {
          const outcome = storeItem(state, connection, item, listed.has(item.externalId), now)
          return [item.externalId, outcome] as const
        })
      )
      for (const ledgerUpdate of batch.ledgerUpdates)
        updateLedger(state, connection, ledgerUpdate, listed.has(ledgerUpdate.externalId), now)
      if (taskId === undefined && page?.forgetsParts === true) beginAnew(connection)
      if (page !== undefined) endPage(connection, page, batch.inScope, now)
      const patched = page === undefined ? 0 : applyPatches(state, connection, page.patches, now)
      const task = taskId === undefined ? undefined : state.tasks.get(taskId)
      if (task !== undefined) moveTask(task, batch.done, page, now)
      if (taskId === undefined && page !== undefined) {
        moveCheckpoint(connection, page)
        if (page.listing === undefined) connection.readingSince ??= connection.acquired
      }
      if (run !== undefined) addToRun(run, batch, { outcomes, patched })
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
