/** Removal continues where its last step ended: removed rows are not read again, however long indexes keep them. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Webhooks from "../../src/stores/postgres/WebhookStore.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Database from "../support/Postgres.ts"
import { looked } from "./rowReads.ts"
import { running } from "./scenario.ts"

// A single session, whose statistics are complete when it queries them.
const client = Database.layerWith({ maxConnections: 1, multiplex: false })

it.layer(Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(client)), { excludeTestServices: true })(
  "removal",
  (it) => {
    it.effect("of unused bodies looks at those that stay once", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const store = yield* WholeStore
        const { id } = yield* running()
        const bodies = 30_000
        const hash = sql`sha256(convert_to(${id}::text || i, 'UTF8'))`
        yield* sql`INSERT INTO body (hash, size, touched_at) SELECT ${hash}, 1, now() - interval '1 day'
          FROM generate_series(1, ${bodies}::int) AS i`
        yield* sql`INSERT INTO content (connection_id, external_id, state, body_hash, created_at, updated_at)
          SELECT ${id}::uuid, 'item ' || i, 'stored', ${hash}, now(), now()
          FROM generate_series(1, ${bodies}::int) AS i WHERE i % 3 <> 0`
        yield* sql`VACUUM ANALYZE`.unprepared
        const before = yield* looked
        assert.strictEqual(yield* store.collectBodies(Duration.hours(3)), bodies / 3)
        assert.isBelow((yield* looked) - before, 5 * bodies)
      })
    )

    it.effect("of a connection looks at each row a few times, also while removed rows stay in the indexes", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const store = yield* WholeStore
        const { id } = yield* running()
        const rows = 10_000
        yield* sql`INSERT INTO content (connection_id, external_id, state, body_hash, created_at, updated_at)
          SELECT ${id}::uuid, 'item ' || i, 'stored', sha256(convert_to('own ' || i, 'UTF8')), now(), now()
          FROM generate_series(1, ${rows}::int) AS i`
        yield* sql`INSERT INTO body (hash, size, bytes) SELECT body_hash, 1, 'x' FROM content
          WHERE connection_id = ${id}`
        yield* sql`VACUUM ANALYZE`.unprepared
        const before = yield* looked
        // Rows that a transaction removes stay in the indexes for that transaction, as for each one that began before.
        yield* sql.withTransaction(store.disconnect(id, true))
        assert.isBelow((yield* looked) - before, 15 * rows)
        const left = yield* sql`SELECT 1 FROM content WHERE connection_id = ${id}
          UNION ALL SELECT 1 FROM body WHERE NOT EXISTS (SELECT FROM content WHERE body_hash = hash)`
        assert.deepStrictEqual(left, [])
      })
    )
  }
)

/**
 * Holds a snapshot, like a backup, so that indexes keep the rows that are removed meanwhile. The other session is free
 * for the test.
 */
const snapshot = SqlClient.SqlClient.use((sql) =>
  Effect.gen(function* () {
    const session = yield* sql.reserve
    for (const statement of ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT FROM connection"]) {
      yield* session.executeUnprepared(statement, [], undefined)
    }
    yield* Effect.addFinalizer(() => Effect.orDie(session.executeUnprepared("ROLLBACK", [], undefined)))
  })
)

const twoSessions = Database.layerWith({ maxConnections: 2, multiplex: false })

it.layer(
  Layer.mergeAll(Postgres.layer, Webhooks.layer).pipe(Layer.provide(Blobs.layer), Layer.provideMerge(twoSessions)),
  { excludeTestServices: true }
)("removal in steps, while a snapshot is held", (it) => {
  const rows = 20_000

  it.effect("of old webhook messages looks at each a few times", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const webhooks = yield* WebhookStore
      // A former attempt at this test leaves its webhook.
      yield* sql`DELETE FROM webhook`
      yield* sql`INSERT INTO webhook (id, name, url, secret) VALUES (gen_random_uuid(), '', '', '')`
      yield* sql`INSERT INTO webhook_message (id, webhook_id, state, changes, body, next_attempt_at, attempted_at)
        SELECT gen_random_uuid(), webhook.id, CASE WHEN i % 2 = 0 THEN 'dead' ELSE 'delivered' END, 1, '{}', NULL,
          now() - interval '40 days' + i * interval '1 second'
        FROM webhook, generate_series(1, ${rows}::int) AS i`
      yield* sql`VACUUM ANALYZE`.unprepared
      yield* snapshot
      const before = yield* looked
      assert.strictEqual(yield* webhooks.prune({ dead: Duration.days(30), delivered: Duration.days(3) }), rows)
      assert.isBelow((yield* looked) - before, 5 * rows)
    })
  )

  it.effect("of deleted contents looks at each a few times, though all were deleted at once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const { id } = yield* running()
      yield* sql`INSERT INTO content (connection_id, external_id, state, body_hash, created_at, updated_at, changed_xid, change)
        SELECT ${id}::uuid, 'item ' || i, CASE WHEN i % 2 = 0 THEN 'gone' ELSE 'deleted' END,
          CASE WHEN i % 2 = 0 THEN NULL ELSE sha256(convert_to(${id}::text || i, 'UTF8')) END,
          now() - interval '9 days', now() - interval '9 days',
          CASE WHEN i % 2 = 0 THEN NULL ELSE pg_current_xact_id() END, CASE WHEN i % 2 = 0 THEN NULL ELSE 'deleted' END
        FROM generate_series(1, ${rows}::int) AS i`
      yield* sql`INSERT INTO body (hash, size, bytes) SELECT body_hash, 1, 'x' FROM content
        WHERE connection_id = ${id} AND body_hash IS NOT NULL`
      yield* sql`VACUUM ANALYZE`.unprepared
      yield* snapshot
      const before = yield* looked
      const purged = yield* store.purge(id, DateTime.subtract(yield* DateTime.now, { days: 1 }))
      assert.deepStrictEqual(purged, { deleted: rows / 2, gone: rows / 2, bodies: rows / 2, bytes: rows / 2 })
      assert.isBelow((yield* looked) - before, 15 * rows)
    })
  )
})
