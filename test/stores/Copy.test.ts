import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { fromContext, WholeStore } from "../../src/testing/WholeStore.ts"
import { BlobStore } from "../../src/stores/Blobs.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Copy from "../../src/stores/Copy.ts"
import { belongings } from "../../src/stores/copy/Rows.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import { bytesOf, item, miss, nextRun, page, running, settle, sha256, stored, take } from "./scenario.ts"

/** A database with its store. */
const side = Effect.gen(function* () {
  const context = yield* Layer.build(
    Layer.fresh(Postgres.layer.pipe(Layer.provideMerge(Blobs.layer), Layer.provideMerge(Database.layer)))
  )
  return {
    context,
    sql: Context.get(context, SqlClient.SqlClient),
    blobs: Context.get(context, BlobStore),
    store: fromContext(context)
  }
})
type Side = Effect.Success<typeof side>

const copy = (source: Side, target: Side, change: Partial<BlobStore["Service"]> = {}) =>
  Copy.run({
    source,
    target: { sql: target.sql, blobs: { ...target.blobs, ...change } },
    reseal: (_, sealed) => Effect.succeed(Uint8Array.from([...sealed, 99])),
    resealWebhook: (_, sealed) => Effect.succeed(Uint8Array.from([...sealed, 98])),
    onConnection: () => Effect.void
  })

const large = Effect.fnUntraced(function* (externalId: string, text: string) {
  const store = yield* WholeStore
  const blob = yield* store.writeBlob(Stream.succeed(bytesOf(text)))
  return { ...item(externalId), body: { _tag: "Blob", ...blob } as const }
})

/** Runs it as another process would: in none of this fiber's transactions. */
const elsewhere = <A, E>(effect: Effect.Effect<A, E>) => Effect.promise(() => Effect.runPromise(effect))

/** A connection in the middle of its life: contents of every state, a listing, a task and runs that go on. */
const lived = Effect.gen(function* () {
  const store = yield* WholeStore
  const earlier = yield* running()
  const many = Array.from({ length: 450 }, (_, n) => item(`many ${n}`, { text: `body ${n % 400}` }))
  yield* earlier.commit({ items: many })
  const run = yield* nextRun(earlier)
  yield* run.commit({
    items: [item("a", { metadata: { n: 1.5, deep: { 'é\\"\n': [null, "\u2028"] } } }), yield* large("large", "large")],
    misses: [
      miss("failed"),
      miss("dead", { retryIn: undefined }),
      miss("deferred", { outcome: "deferred" }),
      miss("gone", { outcome: "gone" })
    ],
    page: page({ deleted: ["many 1", "many 2"] })
  })
  yield* settle(run.fence, { runId: run.runId, atMost: 9, share: 1 })
  const { updatedAt } = Option.getOrThrow(yield* store.content(run.id, "many 1"))
  yield* store.purge(run.id, DateTime.add(updatedAt, { minutes: 1 }))
  const task = { force: true, forceIds: ["a", "b"], dryRun: false }
  const { id: taskId } = yield* store.openTask(run.id, { task, spec: "spec", resumeWithin: Duration.days(1) })
  yield* run.commit({
    taskId,
    done: ["a"],
    page: page({ parts: [{ key: "of the task", checkpoint: { at: 1 } }] })
  })
  yield* run.commit({
    page: page({
      listing: "l",
      seen: ["many 4"],
      deleted: ["many 3"],
      checkpoint: { at: [1, "x"] },
      parts: [{ key: "é", checkpoint: 1 }]
    })
  })
  return run
})

const tables = ["connection", "content", "staged_deletion", "listing", "seen", "part", "task", "task_done", "run"]

/** Tables that are made again from the contents. */
const derived = [
  "derived.follower",
  "derived.projection",
  "derived.relation",
  "derived.pending",
  "derived.search",
  "derived.search_name",
  "derived.search_profile",
  "derived.text"
]
/** Tables of one database: its ids, locks and sessions, and messages whose cursor is its own. */
const left = [
  "idem_migration",
  "meta",
  "rate_limit_bucket",
  "rate_limit_window",
  "rate_limit_adaptive",
  "webhook_message",
  "sign_in",
  "named_lock",
  "retired_key",
  "ended_session"
]

/** Fails with the first rows that differ: all of them would fill screens. */
const assertSame = (found: ReadonlyArray<string>, expected: ReadonlyArray<string>) => {
  const only = (rows: ReadonlyArray<string>, others: ReadonlyArray<string>) =>
    rows.filter((row) => !new Set(others).has(row)).slice(0, 2)
  assert.deepStrictEqual([found.length, only(found, expected)], [expected.length, only(expected, found)])
}

/** All rows, but for what a copy changes on purpose. */
const everything = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    yield* sql`SET LOCAL TimeZone = 'UTC'`
    const rows = yield* Effect.forEach(
      tables,
      (table) =>
        sql`SELECT to_jsonb(whole) - '{changed_xid,stored_xid,undeleted_xid,credentials,fence,lease_holder,lease_until}'::text[] AS row
        FROM ${sql(table)} AS whole ORDER BY whole::text COLLATE "C"`
    )
    return rows.flatMap((rows, index) =>
      rows
        .map(({ row }) =>
          JSON.stringify(row).replace(/"status":"(running|interrupted)"|"finished_at":("[^"]*"|null)/g, "")
        )
        .toSorted()
        .map((row) => `${tables[index]} ${row}`)
    )
  }).pipe(sql.withTransaction)

it.layer(Layer.empty, { excludeTestServices: true })("copying", (it) => {
  it.effect("every row and every byte arrives, and what was running is interrupted there", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      const { one, two } = yield* Effect.provideContext(Effect.all({ one: lived, two: lived }), source.context)
      const before = yield* everything(source.sql)
      const { copied, skipped } = yield* copy(source, target)
      assert.deepStrictEqual(
        [copied.map((each) => each.name).toSorted(), skipped],
        [[one.name, two.name].toSorted(), []]
      )
      assertSame(yield* everything(target.sql), before)
      assertSame(yield* everything(source.sql), before)
      for (const { id, runId } of [one, two]) {
        const connection = Option.getOrThrow(yield* target.store.connection(id))
        assert.deepStrictEqual(connection.credentials, Uint8Array.of(1, 2, 3, 99))
        assert.isNull(connection.lease)
        assert.deepStrictEqual(connection.checkpoint, Option.some({ at: [1, "x"] }))
        assert.strictEqual(Option.getOrThrow(yield* target.store.run(runId)).status, "interrupted")
        const { contents } = yield* target.store.contents(id, { state: "stored", limit: 1000 })
        for (const { hash } of contents) {
          const bytes = Buffer.concat(yield* Stream.runCollect(target.store.body(hash ?? "")))
          assert.strictEqual(Buffer.from(sha256(bytes)).toString("hex"), hash)
        }
      }
      const sum = copied[0]
      assert.deepStrictEqual([sum?.contents, sum?.bodies], [455, 402])
      assert.deepStrictEqual(yield* copy(source, target), {
        copied: [],
        skipped: copied.map((each) => each.name),
        webhooks: [],
        tokens: []
      })
      assertSame(yield* everything(target.sql), before)
      // The connection lives on in the target: a run acquires it and finds all of its content known.
      const fence = yield* Effect.provideContext(take(one.id), target.context)
      assert.isTrue(fence.fence > one.fence.fence)
      assert.strictEqual((yield* target.store.existing(one.id, ["a", "large", "many 1", "many 4"])).size, 3)
    }).pipe(Effect.scoped)
  )

  it.effect("webhooks come too, with their secrets sealed again, and begin again with all that is stored", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      const run = yield* Effect.provideContext(running(), source.context)
      const webhooks = (sql: SqlClient.SqlClient) =>
        sql`SELECT id::text, name, url, connection_id::text AS connection, changes, encode(secret, 'hex') AS secret, state,
          reason, cursor FROM webhook ORDER BY name`
      yield* source.sql`INSERT INTO webhook (id, name, url, connection_id, changes, secret, state, reason, cursor) VALUES
        (gen_random_uuid(), 'all', 'https://example.com/1', NULL, NULL, '\\x01', 'active', NULL, 'a cursor'),
        (gen_random_uuid(), 'one', 'https://example.com/2', ${run.id}, '{deleted}', '\\x02', 'disabled', '410', 'a cursor')`
      yield* source.sql`INSERT INTO webhook_message (id, webhook_id, changes, body)
        SELECT gen_random_uuid(), id, 1, '{}' FROM webhook`
      const before = yield* webhooks(source.sql)
      const copied = yield* copy(source, target)
      assert.deepStrictEqual(
        copied.webhooks.map(({ name }) => name),
        ["all", "one"]
      )
      assert.deepStrictEqual(
        yield* webhooks(target.sql),
        before.map((row) => ({ ...row, secret: `${String(row["secret"])}62`, cursor: null }))
      )
      assert.deepStrictEqual(yield* webhooks(source.sql), before)
      assert.deepStrictEqual(yield* target.sql`SELECT 1 FROM webhook_message`, [])
      // A webhook that was copied before stays as it is.
      yield* target.sql`UPDATE webhook SET state = 'paused', cursor = 'of the target'`
      const there = yield* webhooks(target.sql)
      assert.deepStrictEqual((yield* copy(source, target)).webhooks, [])
      assert.deepStrictEqual(yield* webhooks(target.sql), there)
    })
  )

  it.effect("read tokens and languages of words come too, and tokens of the target stay", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      const run = yield* Effect.provideContext(running(), source.context)
      yield* source.sql`INSERT INTO derived.search_language VALUES (${run.id}, 'german')`
      yield* source.sql`INSERT INTO read_token (name, hash, connections) VALUES ('it''s', '\x01', ARRAY[${run.id}::uuid]),
        ('both', '\x02', NULL)`
      yield* target.sql`INSERT INTO read_token (name, hash) VALUES ('both', '\x03')`
      assert.deepStrictEqual((yield* copy(source, target)).tokens, ["it's"])
      assert.deepStrictEqual(
        yield* target.sql`SELECT name, encode(hash, 'hex') AS hash, connections::text FROM read_token ORDER BY name`,
        [
          { name: "both", hash: "03", connections: null },
          { name: "it's", hash: "01", connections: `{${run.id}}` }
        ]
      )
      assert.deepStrictEqual(
        yield* target.sql`SELECT connection_id::text AS id, language FROM derived.search_language`,
        [{ id: run.id, language: "german" }]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("every table is copied, made again, or left behind for a reason", () =>
    Effect.gen(function* () {
      const { sql } = yield* side
      const copied = [
        "connection",
        ...belongings,
        "body",
        "blob",
        "blob_chunk",
        "blob_upload",
        "webhook",
        "read_token",
        "derived.search_language"
      ]
      const found = yield* sql<{ name: string }>`SELECT CASE schemaname WHEN 'public' THEN '' ELSE schemaname || '.' END
        || tablename AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`
      assert.sameMembers(
        found.map(({ name }) => name),
        [...copied, ...derived, ...left]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("a copy that is cut off leaves no part of a connection, and can be begun again", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      const run = yield* Effect.provideContext(lived, source.context)
      const before = yield* everything(source.sql)
      const full = yield* Effect.exit(copy(source, target, { write: () => Effect.die("the disk is full") }))
      assert.isTrue(Exit.isFailure(full))
      // Runs come last: the session ends when all rows are there.
      yield* target.sql`CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'`
      yield* target.sql`CREATE TRIGGER ends AFTER INSERT ON run EXECUTE FUNCTION end_session()`
      assert.strictEqual((yield* Effect.flip(copy(source, target)))._tag, "StoreError")
      yield* target.sql`DROP TRIGGER ends ON run`
      for (const table of tables)
        assert.deepStrictEqual(yield* target.sql`SELECT 1 FROM ${target.sql(table)}`, [], table)
      assert.strictEqual((yield* copy(source, target)).copied[0]?.name, run.name)
      assertSame(yield* everything(target.sql), before)
    }).pipe(Effect.scoped)
  )

  it.effect("a place of large bodies that is slow ends no transaction, since none is open while it is asked", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      yield* Effect.provideContext(lived, source.context)
      const idle = target.sql`SELECT state FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
      const open: Array<unknown> = []
      let asked = 0
      const has = (hash: string) =>
        Effect.gen(function* () {
          asked += 1
          open.push(...(yield* elsewhere(idle)))
          return yield* target.blobs.has(hash)
        })
      // The source may be slow too: the rows are written by a transaction that may wait for it for minutes.
      yield* target.sql`CREATE TABLE limits (value text)`
      yield* target.sql`CREATE FUNCTION note_limit() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN INSERT INTO limits VALUES (current_setting(''idle_in_transaction_session_timeout'')); RETURN NULL; END'`
      yield* target.sql`CREATE TRIGGER notes AFTER INSERT ON content EXECUTE FUNCTION note_limit()`
      yield* copy(source, target, { has })
      assert.deepStrictEqual([asked, open], [2, []])
      assert.deepStrictEqual(yield* target.sql`SELECT DISTINCT value FROM limits`, [{ value: "10min" }])
    }).pipe(Effect.scoped)
  )

  it.effect("a large body that a purge removes before its row is written fails the copy", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      yield* Effect.provideContext(lived, source.context)
      yield* target.blobs.write(Stream.succeed(bytesOf("large")))
      // A purge that found no row: the blob goes after it was found.
      const has = (hash: string) =>
        Effect.tap(target.blobs.has(hash), () => elsewhere(target.blobs.remove(hash, Duration.zero)))
      const error = yield* Effect.flip(copy(source, target, { has }))
      assert.include(error.message, "a large body of")
      assert.strictEqual((yield* copy(source, target)).copied.length, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("a body that is removed in the target while it is copied fails the copy, and the next one is whole", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      yield* Effect.provideContext(lived, source.context)
      const theirs = yield* Effect.provideContext(running(), target.context)
      // All bodies: which of them have been found there when the large one is asked for depends on the database's plan.
      const items = Array.from({ length: 400 }, (_, n) => item(`theirs ${n}`, { text: `body ${n}` }))
      yield* theirs.commit({ items }).pipe(Effect.provideContext(target.context))
      const removed = copy(source, target, {
        has: (hash) => Effect.andThen(elsewhere(target.store.disconnect(theirs.id, true)), target.blobs.has(hash))
      })
      const error = yield* Effect.flip(removed)
      assert.match(error.message, /[1-9]\d* bodies of/)
      assert.strictEqual((yield* copy(source, target)).copied.length, 1)
      assertSame(yield* everything(target.sql), yield* everything(source.sql))
    }).pipe(Effect.scoped)
  )

  it.effect("what the source stores meanwhile is not in the copy, nor in its checkpoint", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      const run = yield* Effect.provideContext(lived, source.context)
      const before = yield* everything(source.sql)
      const later = run.commit({ items: [item("later")], page: page({ checkpoint: { at: 2 } }) })
      yield* copy(source, target, {
        has: (hash) => Effect.andThen(elsewhere(Effect.provideContext(later, source.context)), target.blobs.has(hash))
      })
      assertSame(yield* everything(target.sql), before)
      const ids = yield* Effect.provideContext(stored(run.id), source.context)
      assert.include(ids, "later")
    }).pipe(Effect.scoped)
  )

  it.effect("a body that is damaged in the source fails the copy", () =>
    Effect.gen(function* () {
      const source = yield* side
      const target = yield* side
      yield* Effect.provideContext(lived, source.context)
      yield* source.sql`UPDATE body SET bytes = 'damaged' WHERE hash = ${sha256(bytesOf("body 9"))}`
      assert.include((yield* Effect.flip(copy(source, target))).message, "the source's data is damaged")
      assert.deepStrictEqual(yield* target.store.connections, [])
    }).pipe(Effect.scoped)
  )
})
