/**
 * Frequent operations scan no large table and read few rows, whether PostgreSQL plans for the values, plans once for
 * all values (a generic plan), or has kept a plan from the time when the table was empty.
 */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type { Superseded } from "../../src/engine/store/Fence.ts"
import type { StoreError } from "../../src/engine/store/StoreError.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Database from "../support/Postgres.ts"
import { awaitVisible } from "./awaitVisible.ts"
import { contentTables, looked, reads } from "./rowReads.ts"
import { allRead, item, ledgerUpdate, nextRun, page, running, type Running } from "./scenario.ts"

/** The stored rows of the large connection. A third as many were deleted, and a fifth as many failed. */
const size = 30_000

/** The most rows that an operation may read: far fewer than there are of any kind. */
const atMost = 3000

/** A scan of fewer rows is allowed, because the table is still small. */
const scannedAtMost = 100

const others = 500

/** The number of due connections, and of requested tasks, runs and parts of the large connection. */
const due = 5000

/** The operation that concerns all connections: a reader of the feed that begins. */
const ofAllConnections = "whose changes there are"

const idOf = (index: number, word = "item") => `${word} ${String(index).padStart(6, "0")}`

const seed = Effect.fnUntraced(function* ({ id }: Running) {
  const sql = yield* SqlClient.SqlClient
  const fill = (prefix: string, state: string, count: number) => sql`
    INSERT INTO content (connection_id, external_id, state, pending, next_attempt_at, kind, body_hash, body_key,
      occurred_at, created_at, updated_at, changed_xid, change)
    SELECT ${id}::uuid, ${prefix}::text || lpad(i::text, 6, '0'), ${state}::text,
      CASE WHEN ${state}::text = 'failed' THEN 'failed' END,
      CASE WHEN ${state}::text = 'failed' THEN now() + (i - 50) * interval '1 second' END,
      'message', CASE WHEN ${state}::text <> 'failed' THEN sha256(i::text::bytea) END, 'key ' || i,
      now() - i * interval '1 minute', now() - interval '1 day', now() - i * interval '1 second',
      CASE WHEN ${state}::text <> 'failed' THEN pg_current_xact_id() END,
      CASE ${state}::text WHEN 'stored' THEN 'stored' WHEN 'deleted' THEN 'deleted' END
    FROM generate_series(0, ${count - 1}::int) AS i`
  yield* fill("item ", "stored", size)
  yield* fill("old ", "deleted", size / 3)
  yield* fill("zzz ", "failed", size / 5)
  yield* sql`INSERT INTO body (hash, size) SELECT DISTINCT body_hash, 1 FROM content WHERE body_hash IS NOT NULL`
  yield* sql`INSERT INTO staged_deletion (connection_id, external_id, cause, held, of_pass, ready, since)
    SELECT CASE WHEN i < 12000 THEN ${id}::uuid ELSE gen_random_uuid() END, 'item ' || lpad(i::text, 6, '0'), 'absence',
      true, true, true, now() - interval '1 hour'
    FROM generate_series(10000, 29999) AS i`
  yield* sql`INSERT INTO seen (connection_id, external_id)
    SELECT gen_random_uuid(), 'x' FROM generate_series(1, 5000)`
  yield* sql`INSERT INTO connection (name, domain, account, config, every_ms, due_at)
    SELECT 'other ' || i, 'gmail', 'other', '{}', 60000, now() + interval '1 hour' FROM generate_series(1, ${others}::int) AS i`
  yield* sql`INSERT INTO content (connection_id, external_id, state, created_at, updated_at, changed_xid, change)
    SELECT id, 'only', 'stored', now(), now(), pg_current_xact_id(), 'stored' FROM connection WHERE name LIKE 'other %'`
  yield* sql`INSERT INTO totals (connection_id, stored) SELECT id, 1 FROM connection WHERE name LIKE 'other %'`
  yield* sql`INSERT INTO connection (name, domain, account, config, every_ms, due_at)
    SELECT 'due ' || i, 'gmail', 'other', '{}', 60000, now() - interval '1 minute'
    FROM generate_series(1, ${due}::int) AS i`
  yield* sql`INSERT INTO task (connection_id, task, spec, due_at, requested, finished_at)
    SELECT ${id}::uuid, '{}', '', now(), true, now() FROM generate_series(1, ${due}::int)`
  yield* sql`INSERT INTO run (id, connection_id, status, started_at, finished_at)
    SELECT 'run ' || i, ${id}::uuid, 'succeeded', now() - i * interval '1 hour', now() - i * interval '1 hour'
    FROM generate_series(1, ${due}::int) AS i`
  yield* sql`INSERT INTO part (connection_id, owner_id, key, checkpoint)
    SELECT ${id}::uuid, ${id}::uuid, 'part ' || i, '{}' FROM generate_series(1, ${due}::int) AS i`
})

const operations = Effect.fnUntraced(function* ({ commit, fence, id, runId }: Running, round: number) {
  const store = yield* WholeStore
  // A reader of the changes sees none of them while a transaction of another test writes.
  yield* awaitVisible
  const ids = Array.from({ length: 500 }, (_, index) => idOf(index * 7))
  const failed = (index: number) => idOf(10 * round + index, "zzz")
  const { next } = yield* store.changed(0n)
  // The oldest of the deleted contents.
  const before = DateTime.subtract(yield* DateTime.now, { seconds: size / 3 - 100 * round })
  return {
    "existing of a page": store.existing(id, ids),
    "revisions of a page": store.revisions(id, ids),
    "copies of a page": store.copySources(
      id,
      ids.map((_, index) => `key ${index}`)
    ),
    "a commit of new items": commit({
      items: Array.from({ length: 100 }, (_, index) => item(`new ${round} ${index}`))
    }),
    "a commit of known items": commit({
      items: Array.from({ length: 100 }, (_, index) => item(idOf(1000 * round + index)))
    }),
    "a commit of ledger updates": commit({
      ledgerUpdates: [ledgerUpdate("missed"), ledgerUpdate(failed(1)), ledgerUpdate(failed(2), { outcome: "gone" })]
    }),
    "a commit of patches": commit({ page: page({ patches: [{ externalId: idOf(30), metadata: { round } }] }) }),
    "a commit of deletions": commit({
      page: page({ deleted: [idOf(10 * round + 1), idOf(10 * round + 2), failed(3)] })
    }),
    "a page of a listing": commit({ page: page({ listing: `pass ${round}`, seen: ids }) }),
    "a page that covers a folder": commit({
      page: page({ listing: `pass ${round}`, seen: [idOf(500)], covers: [{ prefix: "item 0005" }] })
    }),
    "completed deletions": store.readyDeletions(id, allRead),
    "what was stored before them": store.storedBeforeDeletions(id, allRead, 500),
    "applying deletions": store.applyDeletions(fence, allRead, runId),
    "retries that are due": store.retriesDue(id, 500),
    "the ledger of a page": store.ledger(id, { externalIds: ids, limit: 500 }),
    "the ledger": store.ledger(id, { limit: 100 }),
    "redriving an item": store.redrive(id, [failed(4)]),
    "contents by id": store.contents(id, { state: "stored", limit: 100 }),
    "contents by time": store.contents(id, { state: "stored", limit: 100, order: "newest" }),
    "deleted contents by id": store.contents(id, { state: "deleted", limit: 100 }),
    "deleted contents by time": store.contents(id, { state: "deleted", limit: 100, order: "newest" }),
    "failed contents by id": store.contents(id, { state: "failed", limit: 100 }),
    "one content": store.content(id, idOf(5)),
    "parts of a page": store.parts(
      id,
      undefined,
      ids.map((_, index) => `part ${index}`)
    ),
    "a page that moves parts": commit({
      page: page({ parts: [{ key: "part 1", checkpoint: { round } }] })
    }),
    "held deletions": store.deletions(id, { which: "held", limit: 100 }),
    totals: store.totals(id),
    "a connection": store.connection(id),
    "the members of a connection": store.membersOf(id),
    "runs of a connection": store.runs(id, 20),
    "the next task": store.nextTask(id),
    "who holds the feed back": store.holder,
    changes: store.changes({ limit: 100 }),
    "changes of a connection": store.changes({ connectionId: id, limit: 100 }),
    "whose changes are new": store.changed(next),
    [ofAllConnections]: Effect.tap(store.changed(0n), ({ connections }) =>
      Effect.sync(() => assert.isAbove(connections.size, others))
    ),
    "due connections": store.due(500),
    "renewing a lease": store.renew(fence, Duration.minutes(1)),
    "a purge of what is older": store.purge(id, before),
    "releasing a lease": store.release(fence, { pollIn: Duration.hours(1), interrupted: false }),
    "taking a lease": store.acquire(id, { holder: "a holder", ttl: Duration.zero })
  } satisfies Readonly<Record<string, Effect.Effect<unknown, unknown>>>
})

// A single session, whose statistics are complete when it queries them.
const client = Database.layerWith({ maxConnections: 1, multiplex: false })

/** A database of its own for each attempt of a test, because a test fills and changes the tables. */
const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(client))

type Operations = Readonly<Record<string, Effect.Effect<unknown, StoreError | Superseded>>>

/** Returns the operations that scan a large table, or read many of its rows. */
const faults = Effect.fnUntraced(function* (mode: string, all: Operations) {
  const found: Array<string> = []
  for (const [name, operation] of Object.entries(all)) {
    const before = yield* reads
    yield* operation
    const after = yield* reads
    for (const [index, { looked, scanned, table }] of after.entries()) {
      const was = before[index] ?? { looked: 0, scanned: 0 }
      const what = `${name}, ${mode}, ${table}:`
      const [scan, look] = [scanned - was.scanned, looked - was.looked]
      if (scan > scannedAtMost) found.push(`${what} a scan of ${scan} rows`)
      const isMeant = name === ofAllConnections && table === "connection"
      if (look > atMost && !isMeant) found.push(`${what} ${look} rows of indexes`)
    }
  }
  return found
})

describe("the frequent statements", () => {
  it.live("scan no large table, and look at few of its rows", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      let run = yield* running()
      yield* seed(run)
      yield* sql`VACUUM ANALYZE`.unprepared
      for (const [index, mode] of ["force_custom_plan", "force_generic_plan"].entries()) {
        yield* sql`SELECT set_config('plan_cache_mode', ${mode}, false)`
        run = yield* nextRun(run)
        assert.deepStrictEqual(yield* faults(mode, yield* operations(run, index + 1)), [])
      }
    }).pipe(Effect.provide(layer))
  )
})

describe("a page of changes", () => {
  it.live("looks at each of its rows once, and once at the newest change", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const { commit, id } = yield* running()
      yield* commit({ items: Array.from({ length: 600 }, (_, index) => item(idOf(index))) })
      yield* awaitVisible
      yield* sql`VACUUM ANALYZE`.unprepared
      const before = yield* looked
      assert.strictEqual((yield* store.changes({ connectionId: id, limit: 500 })).changes.length, 500)
      assert.isBelow((yield* looked) - before, 800)
    }).pipe(Effect.provide(layer))
  )
})

describe("a first sync", () => {
  it.live("keeps no plan that scans the table once it has grown", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      // PostgreSQL's statistics do not know that the tables have grown.
      yield* Effect.forEach(
        contentTables,
        (table) => sql`ALTER TABLE ${sql(table)} SET (autovacuum_enabled = false)`.unprepared
      )
      yield* sql`SELECT set_config('plan_cache_mode', 'force_generic_plan', false)`
      const ofSync = (run: Running, round: number) =>
        Effect.map(operations(run, round), (all) => {
          const {
            "existing of a page": existing,
            "revisions of a page": revisions,
            "a commit of new items": newItems,
            "a commit of known items": knownItems,
            "a page of a listing": seen
          } = all
          return { existing, revisions, seen, newItems, knownItems }
        })
      let run = yield* running()
      yield* run.commit({ items: Array.from({ length: 100 }, (_, index) => item(idOf(index))) })
      yield* sql`ANALYZE`.unprepared
      for (const operation of Object.values<Operations[string]>(yield* ofSync(run, 1))) yield* operation
      yield* Effect.forEach(contentTables, (table) => sql`DELETE FROM ${sql(table)}`.unprepared)
      run = yield* nextRun(run)
      yield* seed(run)
      assert.deepStrictEqual(yield* faults("a plan for a small table", yield* ofSync(run, 2)), [])
    }).pipe(Effect.provide(layer))
  )
})
