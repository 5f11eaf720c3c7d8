/** The commit of a batch, listings, and deletions: all that a run writes about content. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"
import type { Coverage } from "../../contract/Page.ts"
import { type Batch, type Outcome, type PageEnd } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import { type Fence, type Store } from "../../engine/Store.ts"
import { BlobStore } from "../Blobs.ts"
import * as Storable from "../Storable.ts"
import { applyPatches, miss, storeItems, storeMisses, unstage } from "./Contents.ts"
import { checkBlobs } from "./Removal.ts"
import { addToRun } from "./Runs.ts"
import { moveParts } from "./Parts.ts"
import { moveTask } from "./Tasks.ts"
import { attempt, checkFence, lockConnection, millis, texts, transaction } from "./Sql.ts"

type Methods = Pick<Store["Service"], "commit" | "settleDeletions" | "approveDeletions">

const Open = Schema.Struct({ deletes: Schema.Boolean, marking: Schema.Boolean })
const decodeOpen = Schema.decodeUnknownEffect(Schema.Array(Open))
const decodeOpened = Schema.decodeUnknownEffect(Schema.Tuple([Open]))
const decodeCount = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ count: Schema.Int })]))

const count = (outcomes: ReadonlyMap<string, Outcome>, outcome: Outcome): number =>
  [...outcomes.values()].filter((one) => one === outcome).length

export const make: Effect.Effect<Methods, never, SqlClient.SqlClient | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const blobs = yield* BlobStore
  const inTransaction = transaction(sql)

  const countOf = (from: Fragment) =>
    Effect.flatMap(sql`SELECT count(*)::float8 AS count FROM ${from}`, (rows) =>
      Effect.map(Effect.orDie(decodeCount(rows)), ([row]) => row.count)
    )

  /** Marks what the open listing saw; only what absence could concern needs a mark. */
  const mark = (connectionId: ConnectionId, seen: ReadonlyArray<string>) => sql`
    INSERT INTO seen (connection_id, external_id)
    SELECT content.connection_id, external_id FROM content JOIN listing USING (connection_id)
    WHERE content.connection_id = ${connectionId} AND external_id = ANY(${texts(seen)})
      AND state = 'stored' AND content.created_at < listing.started_at
    ON CONFLICT DO NOTHING`

  /** What was there before the listing began, lies in the part that it now covers, and was not seen in it. */
  const cover = (connectionId: ConnectionId, coverage: Coverage, deletes: boolean) => {
    const except = texts((coverage.except ?? []).filter(Storable.isId))
    const absent = sql`content.connection_id = ${connectionId} AND state = 'stored' AND in_scope
      AND content.created_at < (SELECT started_at FROM listing WHERE connection_id = ${connectionId})
      AND starts_with(external_id, ${coverage.prefix}) AND external_id >= ${coverage.prefix}
      AND NOT EXISTS (SELECT 1 FROM unnest(${except}) AS excepted(prefix) WHERE starts_with(external_id, prefix))
      AND NOT EXISTS (SELECT 1 FROM seen
        WHERE seen.connection_id = content.connection_id AND seen.external_id = content.external_id)`
    return deletes
      ? sql`INSERT INTO staged_deletion (connection_id, external_id, cause)
          SELECT connection_id, external_id, 'absence' FROM content WHERE ${absent} ON CONFLICT DO NOTHING`
      : sql`UPDATE content SET in_scope = false WHERE ${absent}`
  }

  const closeListing = Effect.fnUntraced(function* (connectionId: ConnectionId) {
    yield* sql`DELETE FROM seen WHERE connection_id = ${connectionId}`
    yield* sql`DELETE FROM listing WHERE connection_id = ${connectionId}`
  })

  /** The listing of this name, opened if another one is open. */
  const openListing = Effect.fnUntraced(function* (connectionId: ConnectionId, listing: string, deletes: boolean) {
    const rows = yield* sql`SELECT deletes, marking FROM listing
      WHERE connection_id = ${connectionId} AND listing = ${listing}`
    const [open] = yield* Effect.orDie(decodeOpen(rows))
    if (open !== undefined) return open
    yield* closeListing(connectionId)
    // Where nothing was stored before it began, nothing can be absent from it, and nothing needs a mark.
    const opened = yield* sql`INSERT INTO listing (connection_id, listing, started_at, deletes, marking)
      SELECT id, ${listing}, acquired_at, ${deletes}, EXISTS (SELECT 1 FROM content
        WHERE connection_id = id AND state = 'stored' AND created_at < acquired_at)
      FROM connection WHERE id = ${connectionId} RETURNING deletes, marking`
    const [made] = yield* Effect.orDie(decodeOpened(opened))
    return made
  })

  const endPage = Effect.fnUntraced(function* (connectionId: ConnectionId, page: PageEnd) {
    const seen = page.seen.filter(Storable.isId)
    if (seen.length > 0) {
      yield* unstage(sql, connectionId, seen)
      yield* sql`UPDATE content SET in_scope = true
        WHERE connection_id = ${connectionId} AND external_id = ANY(${texts(seen)}) AND NOT in_scope`
    }
    if (page.listing !== undefined) {
      const open = yield* openListing(connectionId, Storable.text(page.listing), page.deletes)
      if (open.marking && seen.length > 0) yield* mark(connectionId, seen)
      for (const coverage of open.marking ? page.covers.filter((part) => Storable.isId(part.prefix)) : []) {
        yield* cover(connectionId, coverage, open.deletes)
      }
      if (page.covers.some((part) => part.prefix === "" && (part.except ?? []).length === 0)) {
        yield* closeListing(connectionId)
      }
    }
    yield* miss(sql, connectionId, page.deleted.filter(Storable.isId))
    return yield* applyPatches(sql, connectionId, page.patches)
  })

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
    const patched = batch.page === undefined ? 0 : yield* endPage(fence.connectionId, batch.page)
    if (batch.page !== undefined) yield* moveParts(sql, fence.connectionId, batch.taskId, batch.page)
    if (batch.taskId !== undefined) {
      yield* moveTask(sql, batch.taskId, batch.done, batch.page)
    } else if (batch.page !== undefined) {
      yield* sql`UPDATE connection SET checkpoint = ${JSON.stringify(batch.page.checkpoint)}::json,
        scope = ${batch.page.scope} WHERE id = ${fence.connectionId}`
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

  /** Deletes softly what is staged: the body stays, readers see it no more. */
  const applyStaged = (connectionId: ConnectionId) =>
    Effect.map(
      sql`WITH staged AS (DELETE FROM staged_deletion WHERE connection_id = ${connectionId} RETURNING external_id)
        UPDATE content SET state = 'deleted', pending = NULL, reason = NULL, message = NULL, attempts = 0,
          next_attempt_at = NULL, tried_revision = NULL, updated_at = statement_timestamp(),
          changed_xid = pg_current_xact_id(), change = 'deleted'
        FROM staged WHERE content.connection_id = ${connectionId} AND content.external_id = staged.external_id
          AND content.state = 'stored'
        RETURNING 1`,
      (rows) => rows.length
    )

  return {
    commit: (fence, batch) =>
      write(fence, batch).pipe(inTransaction, attempt("storing a batch"), Effect.uninterruptible),

    settleDeletions: (fence, options) =>
      Effect.gen(function* () {
        yield* checkFence(sql, fence)
        const staged = yield* countOf(sql`staged_deletion WHERE connection_id = ${fence.connectionId}`)
        if (staged === 0) return { deleted: 0, held: 0 }
        const stored = sql`content WHERE connection_id = ${fence.connectionId} AND state = 'stored'`
        if (staged > options.atMost && staged > (yield* countOf(stored)) * options.share) {
          yield* sql`UPDATE staged_deletion SET held = true WHERE connection_id = ${fence.connectionId} AND NOT held`
          return { deleted: 0, held: staged }
        }
        const deleted = yield* applyStaged(fence.connectionId)
        if (options.runId !== undefined) yield* addToRun(sql, options.runId, { deleted }, [])
        return { deleted, held: 0 }
      }).pipe(inTransaction, attempt("settling deletions")),

    approveDeletions: (connectionId) =>
      Effect.gen(function* () {
        yield* lockConnection(sql, connectionId)
        return yield* applyStaged(connectionId)
      }).pipe(inTransaction, attempt("applying deletions"))
  } satisfies Methods
})
