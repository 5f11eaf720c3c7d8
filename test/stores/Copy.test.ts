/** Copies of whole databases: the copied rows, and the rows that are left out. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { belongings } from "../../src/stores/copy/Rows.ts"
import { assertSame, copy, everything, lived, side, sides } from "./copyFixture.ts"
import { running, sha256, take } from "./scenario.ts"

/** Tables that are derived again from the contents. */
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
/** Tables that belong to one database: its ids, locks and sessions, and messages with the database's own cursors. */
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

it.layer(Layer.empty, { excludeTestServices: true })("copying", (it) => {
  it.effect("every row and every byte arrives, and what was running is interrupted there", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
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
      // The connection continues in the target: a run acquires it, and all of its content is known.
      const fence = yield* Effect.provideContext(take(one.id), target.context)
      assert.isTrue(fence.fence > one.fence.fence)
      assert.strictEqual((yield* target.store.existing(one.id, ["a", "large", "many 1", "many 4"])).size, 3)
    }).pipe(Effect.scoped)
  )

  it.effect("webhooks come too, with their secrets sealed again, and begin again with all that is stored", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
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
      // A webhook that was copied before is not changed.
      yield* target.sql`UPDATE webhook SET state = 'paused', cursor = 'of the target'`
      const there = yield* webhooks(target.sql)
      assert.deepStrictEqual((yield* copy(source, target)).webhooks, [])
      assert.deepStrictEqual(yield* webhooks(target.sql), there)
    })
  )

  it.effect("more webhooks than a database may have are refused before anything is copied", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      yield* Effect.provideContext(running(), source.context)
      const add = (sql: SqlClient.SqlClient, count: number) =>
        sql`INSERT INTO webhook (id, name, url, secret)
          SELECT gen_random_uuid(), 'w' || n, 'https://example.com/' || n, '\\x01'
          FROM generate_series(1, ${count}::int) AS n`
      yield* add(source.sql, 3)
      yield* add(target.sql, 98)
      const refused = yield* Effect.flip(copy(source, target))
      assert.include(
        refused.message,
        "a database has at most 100 webhooks; the target has 98, and the copy would add 3: remove some of them"
      )
      assert.deepStrictEqual(yield* target.sql`SELECT 1 FROM connection`, [])
      yield* source.sql`DELETE FROM webhook WHERE name = 'w3'`
      const copied = yield* copy(source, target)
      assert.deepStrictEqual([copied.copied.length, copied.webhooks.length], [1, 2])
      // Webhooks that were copied before do not count again.
      assert.deepStrictEqual((yield* copy(source, target)).webhooks, [])
    }).pipe(Effect.scoped)
  )

  it.effect("read tokens and languages of words come too, and tokens of the target stay", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
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
})
