/** Commits a batch in one transaction: checks the fence, then writes content, ledger, page end and counts. */
import * as DateTime from "effect/DateTime"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { type Batch, type Item, ledgerState, type LedgerUpdate, type WriteOutcome } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { ContentStore } from "../../engine/store/ContentStore.ts"
import type { Fence } from "../../engine/store/Fence.ts"
import { BlobStore, hex } from "../Blobs.ts"
import * as Storable from "../Storable.ts"
import { applyPatches, keptTransactions, markGone } from "./ContentChanges.ts"
import type { CurrentEpoch } from "./FeedEpoch.ts"
import { makeCheck } from "./Fence.ts"
import { beginAnew, endPage } from "./Listings.ts"
import * as PartCheckpoints from "./PartCheckpoints.ts"
import * as Purge from "./Purge.ts"
import { addToRun } from "./RunStore.ts"
import { toStoreError } from "./SqlErrors.ts"
import { moveTask } from "./TaskStore.ts"
import { transaction } from "./Transactions.ts"
import * as Totals from "./Totals.ts"
import { bools, byteas, float8s, int8s, millis, texts, timestamps } from "./Parameters.ts"
import { allRows } from "./RowDecoders.ts"

/**
 * Writes a whole batch in one statement. `before` is the stored row, which the connection's lock keeps unchanged.
 * `plan` compares by value: a row without a difference is not written, so that a forced run over unchanged content
 * creates no row versions. `OFFSET 0` keeps the look-up row by row: a plan that was made while the table was small
 * would later scan the whole table. Unchanged content that no page in scope listed keeps its revision if the item has
 * none.
 *
 * A body is inserted if the row gets a new hash. An existing body is touched, so that the collector of unused bodies
 * keeps it: the collector waits for the row's lock and then checks again. Bodies are locked in one order, so that two
 * connections that store the same bodies cannot deadlock.
 *
 * Content that becomes stored (again) gets a new creation time: only older content can be absent from a listing. This
 * time is never before the lease was acquired, although the clock was put back, or is that of another server after a
 * failover or a copy: content that was stored after a listing began would otherwise seem older, and be deleted. Its row
 * comes into the scope if a page in scope listed it. Otherwise a row that is new, or was deleted, begins outside
 * the scope (-1).
 */
const writeItems = `
WITH input AS (
  SELECT external_id, revision, kind, title, occurred_at, media_type, metadata::jsonb, volatile::jsonb, body_hash, size,
    body_key, listed
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::text[],
    $10::bytea[], $11::int8[], $15::text[], $16::bool[])
    AS given(external_id, revision, kind, title, occurred_at, media_type, metadata, volatile, body_hash, size, body_key,
      listed)
), plan AS (
  SELECT input.*, before.created_at, before.updated_at, before.changed_xid, before.change,
    before.state AS was_state, before.pending AS was_pending, before.size AS was_size, before.revision AS was_revision,
    CASE WHEN input.listed THEN (SELECT scope_epoch FROM connection WHERE id = $1)
      WHEN before.state IN ('stored', 'failed', 'dead', 'deferred') THEN before.scope_epoch
      ELSE -1 END AS scope_epoch,
    CASE WHEN before.state IS DISTINCT FROM 'stored' THEN 'stored'
      WHEN before.body_hash IS DISTINCT FROM input.body_hash OR before.metadata <> input.metadata
        OR before.kind IS DISTINCT FROM input.kind OR before.title IS DISTINCT FROM input.title
        OR before.occurred_at IS DISTINCT FROM input.occurred_at
        OR before.media_type IS DISTINCT FROM input.media_type THEN 'updated'
      ELSE 'unchanged' END AS outcome,
    before.revision IS DISTINCT FROM coalesce(input.revision, CASE WHEN NOT input.listed THEN before.revision END)
      OR before.volatile IS DISTINCT FROM input.volatile OR before.body_key IS DISTINCT FROM input.body_key
      OR before.pending IS NOT NULL AS touched,
    before.body_hash IS DISTINCT FROM input.body_hash OR before.state <> 'stored' AS new_body
  FROM input LEFT JOIN LATERAL (
    SELECT * FROM content WHERE connection_id = $1 AND external_id = input.external_id OFFSET 0
  ) AS before ON true
), unstaged AS (
  DELETE FROM staged_deletion WHERE connection_id = $1 AND external_id = ANY($2) RETURNING held
), bodies AS (
  INSERT INTO body (hash, size, bytes)
  SELECT hash, size, bytes FROM unnest($12::bytea[], $13::int8[], $14::bytea[]) AS given(hash, size, bytes)
  WHERE hash IN (SELECT body_hash FROM plan WHERE new_body) ORDER BY hash
  ON CONFLICT (hash) DO UPDATE SET touched_at = now(), bytes = coalesce(body.bytes, excluded.bytes)
    WHERE body.touched_at < now() - interval '1 hour'
), written AS (
  INSERT INTO content (connection_id, external_id, state, revision, kind, title, occurred_at, media_type, metadata,
    volatile, body_hash, size, body_key, scope_epoch, created_at, updated_at, changed_xid, change)
  SELECT $1, external_id, 'stored',
    coalesce(revision, CASE WHEN outcome = 'unchanged' AND NOT listed THEN was_revision END),
    kind, title, occurred_at, media_type, metadata, volatile, body_hash, size, body_key, scope_epoch,
    CASE outcome WHEN 'stored' THEN greatest(statement_timestamp(), (SELECT acquired_at FROM connection WHERE id = $1))
      ELSE created_at END,
    CASE outcome WHEN 'unchanged' THEN updated_at ELSE statement_timestamp() END,
    CASE outcome WHEN 'unchanged' THEN changed_xid ELSE pg_current_xact_id() END,
    CASE outcome WHEN 'unchanged' THEN change WHEN 'updated' THEN 'updated'
      ELSE CASE change WHEN 'deleted' THEN 'undeleted' ELSE 'stored' END END
  FROM plan WHERE outcome <> 'unchanged' OR touched
  ON CONFLICT (connection_id, external_id) DO UPDATE SET
    state = excluded.state, pending = NULL, reason = NULL, message = NULL, attempts = 0, next_attempt_at = NULL,
    tried_revision = NULL, revision = excluded.revision, kind = excluded.kind, title = excluded.title,
    occurred_at = excluded.occurred_at, media_type = excluded.media_type, metadata = excluded.metadata,
    volatile = excluded.volatile, body_hash = excluded.body_hash, size = excluded.size, body_key = excluded.body_key,
    scope_epoch = excluded.scope_epoch, created_at = excluded.created_at, updated_at = excluded.updated_at,
    changed_xid = excluded.changed_xid, change = excluded.change, ${keptTransactions}
), moved AS (
  SELECT was_state, was_pending, was_size, 'stored' AS state, NULL AS pending, size FROM plan
), counted AS (
  ${Totals.addText({ moved: "moved", held: "- (SELECT count(*) FROM unstaged WHERE held)" })}
)
SELECT external_id, outcome FROM plan`

const decodeOutcomes = allRows(Schema.Tuple([Schema.String, Schema.Literals(["stored", "updated", "unchanged"])]))

const dateOf = (at: DateTime.Utc | undefined) => (at === undefined ? null : DateTime.toDateUtc(at))

/** Writes the items. Returns the outcomes by external id. `listed` are the ids that pages in scope listed. */
const storeItems = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  given: ReadonlyArray<Item>,
  listed: ReadonlyArray<string>
) {
  if (given.length === 0) return new Map<string, WriteOutcome>()
  const items = given.map(Storable.item)
  const inScope = new Set(listed)
  const sizes = items.map((item) => BigInt(Storable.sizeOf(item)))
  const bodies = new Map(
    items.map(({ body }, index) => [
      hex(body.hash),
      { hash: body.hash, size: sizes[index] ?? 0n, bytes: body._tag === "Inline" ? body.bytes : null }
    ])
  )
  const distinct = [...bodies.values()]
  const rows = yield* sql.unsafe(writeItems, [
    connectionId,
    texts(items.map((item) => item.externalId)),
    texts(items.map((item) => item.revision ?? null)),
    texts(items.map((item) => item.kind)),
    texts(items.map((item) => item.title ?? null)),
    timestamps(items.map((item) => dateOf(item.occurredAt))),
    texts(items.map((item) => item.mediaType ?? null)),
    texts(items.map((item) => JSON.stringify(item.metadata))),
    texts(items.map((item) => JSON.stringify(item.volatile))),
    byteas(items.map((item) => item.body.hash)),
    int8s(sizes),
    byteas(distinct.map((body) => body.hash)),
    int8s(distinct.map((body) => body.size)),
    byteas(distinct.map((body) => body.bytes)),
    texts(items.map((item) => item.bodyKey ?? null)),
    bools(items.map((item) => inScope.has(item.externalId)))
  ]).values
  return new Map<string, WriteOutcome>(yield* decodeOutcomes(rows))
})

/** Writes ledger rows and gone ids. `listed` are the ids that pages in scope listed. */
const updateLedger = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  ledgerUpdates: ReadonlyArray<LedgerUpdate>,
  listed: ReadonlyArray<string>
) {
  const gone = ledgerUpdates.filter((one) => one.outcome === "gone")
  if (gone.length > 0) {
    const ids = gone.map((one) => one.externalId)
    yield* markGone(sql, connectionId, ids, { ofPass: false })
    // An id that was never stored is kept as gone, so that it can be looked up.
    yield* sql`INSERT INTO content
        (connection_id, external_id, state, reason, message, scope_epoch, created_at, updated_at)
      SELECT ${connectionId}::uuid, id, 'gone', reason, message, -1, statement_timestamp(), statement_timestamp()
      FROM unnest(${texts(ids)}, ${texts(gone.map((one) => Storable.text(one.reason)))},
        ${texts(gone.map((one) => Storable.text(one.message)))}) AS given(id, reason, message)
      ON CONFLICT (connection_id, external_id) DO UPDATE SET reason = excluded.reason, message = excluded.message
        WHERE content.state = 'gone'`
  }
  const kept = ledgerUpdates.flatMap((one) => (one.outcome === "gone" ? [] : [{ ...one, outcome: one.outcome }]))
  if (kept.length === 0) return
  const pending = kept.map(ledgerState)
  // Deferred rows are always due. Their time only orders them: those that waited longest come first.
  const due = kept.map((one) =>
    one.outcome === "deferred" ? 0 : one.retryIn === undefined ? null : millis(one.retryIn)
  )
  const inScope = new Set(listed)
  yield* sql`WITH given AS (
      SELECT * FROM unnest(${texts(kept.map((one) => one.externalId))}, ${texts(pending)},
        ${texts(kept.map((one) => Storable.text(one.reason)))}, ${texts(kept.map((one) => Storable.text(one.message)))},
        ${int8s(kept.map((one) => BigInt(one.outcome === "deferred" ? 0 : one.attempts)))}, ${float8s(due)},
        ${texts(kept.map((one) => (one.revision === undefined ? null : Storable.text(one.revision))))},
        ${bools(kept.map((one) => inScope.has(one.externalId)))})
        AS given(id, pending, reason, message, attempts, due, revision, listed)
    ), written AS (
      INSERT INTO content AS c (connection_id, external_id, state, pending, reason, message, attempts,
        next_attempt_at, tried_revision, scope_epoch, created_at, updated_at)
      SELECT ${connectionId}::uuid, id, pending, pending, reason, message, attempts,
        statement_timestamp() + due * interval '1 millisecond', revision,
        CASE WHEN listed THEN scope.epoch ELSE -1 END, statement_timestamp(), statement_timestamp()
      FROM given, (SELECT scope_epoch AS epoch FROM connection WHERE id = ${connectionId}) AS scope
      ON CONFLICT (connection_id, external_id) DO UPDATE SET
        state = CASE WHEN c.state = 'stored' THEN 'stored' ELSE excluded.state END,
        scope_epoch = CASE WHEN excluded.scope_epoch <> -1 OR c.state IN ('gone', 'deleted') THEN excluded.scope_epoch
          ELSE c.scope_epoch END,
        pending = excluded.pending, reason = excluded.reason, message = excluded.message,
        attempts = CASE WHEN excluded.pending <> 'deferred' THEN excluded.attempts
          WHEN c.pending IS NOT NULL AND c.tried_revision IS NOT DISTINCT FROM excluded.tried_revision THEN c.attempts
          ELSE 0 END,
        next_attempt_at = excluded.next_attempt_at, tried_revision = excluded.tried_revision
    ), moved AS (
      SELECT was.state AS was_state, was.pending AS was_pending, was.size AS was_size,
        CASE was.state WHEN 'stored' THEN 'stored' ELSE given.pending END AS state, given.pending, was.size
      FROM given LEFT JOIN LATERAL (
        SELECT state, pending, size FROM content WHERE connection_id = ${connectionId} AND external_id = given.id OFFSET 0
      ) AS was ON true
    )
    ${Totals.add(sql, connectionId, { moved: "moved" })}`
})

const count = (outcomes: ReadonlyMap<string, WriteOutcome>, outcome: WriteOutcome): number =>
  [...outcomes.values()].filter((one) => one === outcome).length

/** The commit of a batch. */
export const make: Effect.Effect<
  Pick<ContentStore["Service"], "commit">,
  never,
  SqlClient.SqlClient | CurrentEpoch | BlobStore
> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const checkFence = yield* makeCheck
  const blobs = yield* BlobStore

  /** The earliest retry of this batch may be due before the next poll; a run that dies does not reach `release`. */
  const bringForward = (connectionId: ConnectionId, batch: Batch) => {
    const waits = batch.ledgerUpdates.flatMap((one) =>
      one.outcome === "failed" && one.retryIn !== undefined ? [millis(one.retryIn)] : []
    )
    if (waits.length === 0) return Effect.void
    const at = sql`clock_timestamp() + ${PgTypes.float8(Math.min(...waits))}::float8 * interval '1 millisecond'`
    return sql`UPDATE connection SET due_at = ${at} WHERE id = ${connectionId} AND due_at > ${at}`
  }

  const write = Effect.fnUntraced(function* (fence: Fence, batch: Batch) {
    yield* checkFence(fence)
    yield* Purge.lockKept(sql, batch.items)
    const listed = batch.inScope ? batch.listed : []
    const outcomes = yield* storeItems(sql, fence.connectionId, batch.items, listed)
    yield* Purge.checkBlobs(blobs, batch.items)
    yield* updateLedger(sql, fence.connectionId, batch.ledgerUpdates, listed)
    yield* bringForward(fence.connectionId, batch)
    if (batch.taskId === undefined && batch.page?.forgetsParts === true) {
      yield* beginAnew(sql, fence.connectionId)
    }
    if (batch.page !== undefined) yield* endPage(sql, fence.connectionId, batch.page, batch.inScope)
    const patched = batch.page === undefined ? 0 : yield* applyPatches(sql, fence.connectionId, batch.page.patches)
    if (batch.page !== undefined) yield* PartCheckpoints.move(sql, fence.connectionId, batch.taskId, batch.page)
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
      write(fence, batch).pipe(
        transaction(sql),
        Purge.retryChecks,
        toStoreError("storing a batch"),
        Effect.uninterruptible
      )
  }
})
