/** The commit of a batch: all that a run writes about content, but for deletions that are applied. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { type Batch, type Outcome } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { type Fence, type Store } from "../../engine/Store.ts"
import { BlobStore } from "../Blobs.ts"
import { applyPatches, storeItems, storeMisses } from "./ContentWriter.ts"
import { endPage } from "./DeletionStore.ts"
import { checkBlobs } from "./Purge.ts"
import { addToRun } from "./RunStore.ts"
import { moveParts } from "./PartCheckpoints.ts"
import { moveTask } from "./TaskStore.ts"
import { checkFence } from "./Fence.ts"
import { millis } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"

type Methods = Pick<Store["Service"], "commit">

const count = (outcomes: ReadonlyMap<string, Outcome>, outcome: Outcome): number =>
  [...outcomes.values()].filter((one) => one === outcome).length

export const make: Effect.Effect<Methods, never, SqlClient.SqlClient | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const blobs = yield* BlobStore
  const inTransaction = transaction(sql)

  /** The earliest retry of this batch may be due before the next poll; a run that dies does not reach `release`. */
  const bringForward = (connectionId: ConnectionId, batch: Batch) => {
    const waits = batch.misses.flatMap((one) =>
      one.outcome === "failed" && one.retryIn !== undefined ? [millis(one.retryIn)] : []
    )
    if (waits.length === 0) return Effect.void
    const at = sql`clock_timestamp() + ${PgTypes.float8(Math.min(...waits))}::float8 * interval '1 millisecond'`
    return sql`UPDATE connection SET due_at = ${at} WHERE id = ${connectionId} AND due_at > ${at}`
  }

  const write = Effect.fnUntraced(function* (fence: Fence, batch: Batch) {
    yield* checkFence(sql, fence)
    const outcomes = yield* storeItems(sql, fence.connectionId, batch.items)
    yield* checkBlobs(blobs, batch.items)
    yield* storeMisses(sql, fence.connectionId, batch.misses)
    yield* bringForward(fence.connectionId, batch)
    if (batch.page !== undefined) yield* endPage(sql, fence.connectionId, batch.page)
    const patched = batch.page === undefined ? 0 : yield* applyPatches(sql, fence.connectionId, batch.page.patches)
    if (batch.page !== undefined) yield* moveParts(sql, fence.connectionId, batch.taskId, batch.page)
    if (batch.taskId !== undefined) {
      yield* moveTask(sql, batch.taskId, batch.done, batch.page)
    } else if (batch.page !== undefined) {
      yield* sql`UPDATE connection SET checkpoint = ${JSON.stringify(batch.page.checkpoint)}::json,
        scope = ${batch.page.scope},
        reading_since = CASE WHEN ${batch.page.listing === undefined} THEN coalesce(reading_since, acquired_at)
          ELSE reading_since END
        WHERE id = ${fence.connectionId}`
    }
    const counts = {
      ...batch.counts,
      stored: (batch.counts.stored ?? 0) + count(outcomes, "stored"),
      updated: (batch.counts.updated ?? 0) + count(outcomes, "updated"),
      unchanged: (batch.counts.unchanged ?? 0) + count(outcomes, "unchanged"),
      patched: (batch.counts.patched ?? 0) + patched
    }
    if (batch.runId !== undefined) yield* addToRun(sql, batch.runId, counts, batch.problems)
    return { outcomes, patched }
  })

  return {
    commit: (fence, batch) =>
      write(fence, batch).pipe(inTransaction, toStoreError("storing a batch"), Effect.uninterruptible)
  } satisfies Methods
})
