/**
 * The checks of a seed's database, in plain SQL: invariants of every moment, and of the state after all faults are
 * healed.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import type { StoredRow } from "./Source.ts"

const decodeRows = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.Struct({
      externalId: Schema.String,
      kind: Schema.String,
      revision: Schema.NullOr(Schema.String),
      metadata: Schema.JsonObject,
      isListed: Schema.Boolean,
      hash: Schema.String,
      bytes: Schema.NullOr(Schema.Uint8Array),
      chunks: Schema.NullOr(Schema.Uint8Array)
    })
  )
)

const decodeSaid = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ said: Schema.String })))

const inFolder = (folder: string, hash: string): Uint8Array | undefined => {
  const file = Path.join(folder, "blobs", hash.slice(0, 2), hash.slice(2, 4), hash)
  return Fs.existsSync(file) ? Fs.readFileSync(file) : undefined
}

/**
 * Returns the stored contents of a connection, with problems for bodies that are missing or do not match their hash. A
 * large body is in the blob folder of the seed, or in chunks in the database.
 */
export const stored = Effect.fnUntraced(function* (connectionId: string, folder: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* Effect.flatMap(
    sql`SELECT external_id AS "externalId", kind, revision, metadata, scope_epoch <> -1 AS "isListed",
        encode(body.hash, 'hex') AS hash, bytes,
        (SELECT string_agg(blob_chunk.bytes, NULL ORDER BY position) FROM blob JOIN blob_chunk USING (upload)
          WHERE blob.hash = body.hash) AS chunks
      FROM content JOIN body ON body.hash = content.body_hash
      WHERE connection_id = ${connectionId}::uuid AND state = 'stored'`,
    decodeRows
  )
  const found = new Map<string, StoredRow>()
  const problems: Array<string> = []
  for (const { bytes, chunks, hash, ...row } of rows) {
    const aside = bytes === null ? inFolder(folder, hash) : undefined
    const body = bytes ?? aside ?? chunks ?? undefined
    const place = bytes !== null ? "row" : aside !== undefined ? "folder" : "database"
    if (body === undefined) problems.push(`the body of ${row.externalId} is lost`)
    else if (createHash("sha256").update(body).digest("hex") !== hash) {
      problems.push(`the body of ${row.externalId} is not what its hash says`)
    }
    found.set(row.externalId, { ...row, place, body: body ?? new Uint8Array() })
  }
  return { found, problems }
})

/** Id and name of each connection. */
export const connections = SqlClient.SqlClient.use((sql) =>
  Effect.flatMap(
    sql`SELECT id::text AS id, name FROM connection`,
    Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String, name: Schema.String })))
  )
)

const said = (statement: string) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.map(Effect.flatMap(sql.unsafe(statement), decodeSaid), (rows) => rows.map((row) => row.said))
  )

/** The rows that remain in the ledger after all retries. */
export const ledger = said(
  `SELECT external_id || ' is ' || pending || ' after ' || attempts || ' attempts: ' || reason || ', ' || message
      AS said
    FROM content WHERE pending IS NOT NULL LIMIT 10`
)

/** Violations of invariants that hold at every moment. */
export const violations = Effect.map(
  Effect.all([
    said(`SELECT said FROM chaos_violation ORDER BY at LIMIT 10`),
    said(
      `SELECT 'the counts of run ' || id || ' (' || status || ') do not add up: ' || listed + forced + retried
        || ' occurrences, ' || existing + stored + updated + unchanged + failed + gone + deferred || ' outcomes' AS said
      FROM run WHERE listed + forced + retried <> existing + stored + updated + unchanged + failed + gone + deferred`
    ),
    said(
      `SELECT 'runs count ' || counted || ' stored items, and ' || really || ' were' AS said FROM (
        SELECT (SELECT coalesce(sum(stored), 0) FROM run WHERE connection_id = connection.id)::bigint AS counted,
          (SELECT count(*) FROM chaos_stored WHERE connection_id = connection.id) AS really FROM connection) AS sums
      WHERE counted <> really`
    )
  ]),
  (all) => all.flat()
)

/** Rows that must not remain after every process has stopped. */
export const leftovers = Effect.map(
  Effect.all([
    said(`SELECT 'run ' || id || ' is still running' AS said FROM run WHERE status = 'running'`),
    said(
      `SELECT 'the lease of ' || lease_holder || ' on ' || name || ' was left' AS said
        FROM connection WHERE lease_holder IS NOT NULL`
    ),
    said(
      `SELECT 'a session of ' || application_name || ' is left: ' || state AS said FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'idem%'`
    ),
    said(`SELECT external_id || ' is still staged for deletion' AS said FROM staged_deletion LIMIT 10`)
  ]),
  (all) => all.flat()
)

/** The connections whose lease this process holds. */
export const heldBy = (pid: number) =>
  said(`SELECT name AS said FROM connection WHERE lease_holder LIKE 'process ${pid} %'`)

/** True while a process holds a lease. */
export const isHeld = Effect.map(
  said(`SELECT name AS said FROM connection WHERE lease_until > clock_timestamp()`),
  (held) => held.length > 0
)

/** The number of runs that were interrupted or failed. Each may have wasted the downloads in flight. */
export const brokenRuns = Effect.map(
  said(`SELECT count(*)::text AS said FROM run WHERE status IN ('failed', 'interrupted')`),
  ([count]) => Number(count ?? 0)
)

/** The reasons of failed runs, to diagnose a seed that failed. */
export const failures = said(
  `SELECT count(*) || ' runs failed: ' || error_reason || ', ' || error_message AS said FROM run
    WHERE error_reason IS NOT NULL GROUP BY error_reason, error_message ORDER BY count(*) DESC LIMIT 8`
)

/** The locks that are held and waited for, to diagnose a seed that never converged. */
export const standing = Effect.map(
  Effect.all([
    said(
      `SELECT name || ': lease of ' || coalesce(lease_holder, 'nobody') || ' for '
        || coalesce(lease_until - clock_timestamp(), '0') || ', paused ' || coalesce(paused, 'no')
        || ', failures ' || failures || ', fence ' || fence || ', checkpoint ' || coalesce(checkpoint::text, 'none')
        AS said FROM connection`
    ),
    said(
      `SELECT 'run ' || status || ' of ' || coalesce(task_id::text, 'the schedule') || ' since ' || started_at
        || ', ended ' || coalesce(finished_at::text, 'never') || ', listed ' || listed || ', stored ' || stored
        || ' ' || coalesce(error_message, '') || ' ' || notes::text AS said
        FROM run ORDER BY started_at DESC LIMIT 6`
    ),
    said(
      `SELECT 'webhook ' || url || ' is ' || state || ' at ' || coalesce(cursor, 'the beginning') || ', messages: '
        || coalesce((SELECT string_agg(concat_ws(' ', m.state, attempts, next_attempt_at, error), '; ')
          FROM webhook_message AS m WHERE webhook_id = webhook.id), 'none') AS said FROM webhook`
    ),
    said(
      `SELECT key || ' is in ' || phase
        || ' for ' || cooldown_until - extract(epoch FROM clock_timestamp()) * 1000 || ' ms, forgotten in '
        || expires_at - extract(epoch FROM clock_timestamp()) * 1000 || ' ms, learned ' || learned_limit
        || ' in ' || learned_window AS said FROM rate_limit_adaptive`
    ),
    said(
      `SELECT application_name || ' is ' || state || ' (' || coalesce(wait_event, '') || ') since ' || state_change
        || ': ' || left(query, 120) AS said
        FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'idem%'`
    )
  ]),
  (all) => all.flat()
)

/**
 * Lets hours pass: dead items are retried, connections, tasks and messages are due, and delays that sources requested
 * are over. Without the last, the learned pace of a source would be limited by the database's clock, which is eight
 * times as slow as the processes' clock.
 */
export const timePasses = SqlClient.SqlClient.use((sql) =>
  Effect.all([
    sql`DELETE FROM rate_limit_adaptive`,
    sql`UPDATE content SET next_attempt_at = clock_timestamp(),
      attempts = CASE pending WHEN 'dead' THEN 0 ELSE attempts END,
      state = CASE WHEN state = 'dead' THEN 'failed' ELSE state END, pending = 'failed'
      WHERE pending IN ('failed', 'dead')`,
    sql`UPDATE connection SET due_at = clock_timestamp(), next_poll_at = clock_timestamp()`,
    sql`UPDATE task SET due_at = clock_timestamp() WHERE finished_at IS NULL`,
    sql`UPDATE webhook_message SET next_attempt_at = clock_timestamp() WHERE state = 'pending'`
  ])
)

/**
 * Returns the deletions since the seed began, each with the session that made it. `chaos` is the harness, which
 * approves.
 */
export const deleted = (connectionId: string) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.flatMap(
      sql`SELECT external_id AS id, session FROM chaos_deleted WHERE connection_id = ${connectionId}::uuid`,
      Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String, session: Schema.String })))
    )
  )

/** Every content that changed, in the state that a reader of the changes must have in the end. */
export const changed = SqlClient.SqlClient.use((sql) =>
  Effect.flatMap(
    sql`SELECT connection_id::text AS connection, external_id AS "externalId", state, encode(body_hash, 'hex') AS hash
      FROM content WHERE changed_xid IS NOT NULL AND state IN ('stored', 'deleted')`,
    Schema.decodeUnknownEffect(
      Schema.Array(
        Schema.Struct({
          connection: Schema.String,
          externalId: Schema.String,
          state: Schema.String,
          hash: Schema.NullOr(Schema.String)
        })
      )
    )
  )
)

const Deletions = Schema.Struct({
  staged: Schema.Int,
  held: Schema.Int,
  /** True if a listing is open, or a run is in progress. */
  isBusy: Schema.Boolean
})

/** Returns the state of the deletions of a connection. */
export const deletions = (connectionId: string) =>
  SqlClient.SqlClient.use((sql) =>
    sql`SELECT (SELECT count(*) FROM staged_deletion WHERE connection_id = id)::int4 AS staged,
        (SELECT count(*) FROM staged_deletion WHERE connection_id = id AND held)::int4 AS held,
        lease_holder IS NOT NULL OR EXISTS (SELECT 1 FROM listing WHERE connection_id = id) AS "isBusy"
      FROM connection WHERE id = ${connectionId}::uuid`.pipe(
      Effect.flatMap(Schema.decodeUnknownEffect(Schema.Tuple([Deletions]))),
      Effect.map(([row]) => row)
    )
  )

/** Acts as a person: lifts pauses, and approves held deletions. */
export const personActs = SqlClient.SqlClient.use((sql) =>
  Effect.gen(function* () {
    const store = yield* WholeStore
    yield* sql`UPDATE connection SET paused = NULL, failures = 0`
    const held = yield* said(`SELECT DISTINCT connection_id::text AS said FROM staged_deletion WHERE held`)
    for (const id of held.map((text) => ConnectionId.make(text))) {
      const { token } = yield* store.deletions(id, { which: "held", limit: 1 })
      yield* store.approveDeletions(id, { token })
    }
  })
)
