/** Pruning on a real database: in bounded steps, while look-ups continue. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import { waiting, whileLocked } from "./locking.ts"
import { bytesOf, sha256 } from "./scenario.ts"

const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))
const days = Duration.days(30)

/**
 * Inserts runs of this many connections. The first ended 100 days ago, and each ended a second after the one before.
 */
const old = (count: number, connections: number) =>
  SqlClient.SqlClient.use(
    (sql) => sql`INSERT INTO run (id, connection_id, status, started_at, finished_at)
      SELECT 'old ' || lpad(i::text, 5, '0'), md5((i % ${connections}::int)::text)::uuid, 'succeeded', at, at
      FROM generate_series(1, ${count}::int) AS i, LATERAL (SELECT now() - interval '100 days' + i * interval '1 second') AS t (at)`
  )

const left = SqlClient.SqlClient.use((sql) =>
  Effect.map(sql`SELECT 1 FROM run WHERE id LIKE 'old %'`, (rows) => rows.length)
)

const decodePlan = Schema.decodeUnknownSync(Schema.Array(Schema.Struct({ "QUERY PLAN": Schema.String })))

it.layer(layer, { excludeTestServices: true })("pruning", (it) => {
  it.effect("commits each step of old runs, and look-ups go on while one waits for a lock", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      yield* old(2500, 1)
      const [pruner, before] = yield* whileLocked(
        sql`SELECT 1 FROM run WHERE id = 'old 02499' FOR UPDATE`,
        Effect.gen(function* () {
          const pruner = yield* Effect.forkChild(store.pruneRuns(days))
          yield* waiting(1)
          return [pruner, yield* left] as const
        })
      )
      assert.strictEqual(before, 500)
      assert.strictEqual(yield* Fiber.join(pruner), 2499)
      assert.strictEqual(yield* left, 1)
      yield* sql`DELETE FROM run`
    })
  )

  it.effect("passes the last runs of many connections, which stay", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      yield* old(5000, 2300)
      assert.strictEqual(yield* store.pruneRuns(days), 2700)
      assert.strictEqual(yield* left, 2300)
      assert.strictEqual(yield* store.pruneRuns(days), 0)
      yield* sql`DELETE FROM run`
    })
  )

  it.effect("removes each of many old tasks, with all that is theirs", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      yield* Effect.addFinalizer(() => Effect.orDie(Effect.andThen(sql`DELETE FROM task`, sql`DELETE FROM task_done`)))
      yield* sql`INSERT INTO task (id, connection_id, task, spec, created_at, moved_at)
        SELECT md5(i::text)::uuid, md5('c')::uuid, '{}', 'spec', now() - interval '90 days',
          CASE WHEN i % 2500 = 0 THEN now() ELSE now() - interval '80 days' END
        FROM generate_series(1, 2500) AS i`
      yield* sql`INSERT INTO task_done (task_id, external_id) SELECT id, 'a' FROM task`
      yield* store.pruneRuns(days)
      assert.strictEqual((yield* sql`SELECT 1 FROM task`).length, 1)
      assert.strictEqual((yield* sql`SELECT 1 FROM task_done`).length, 1)
    })
  )

  it.effect("finds what is old by indexes", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const plans = [
        yield* sql`EXPLAIN SELECT 1 FROM run WHERE finished_at < now() ORDER BY finished_at, id LIMIT 10`,
        yield* sql`EXPLAIN SELECT 1 FROM task WHERE created_at < now() ORDER BY created_at, id LIMIT 10`
      ].map((rows) => decodePlan(rows).flatMap((row) => Object.values(row)))
      assert.include(plans[0]?.join("\n"), "run_finished")
      assert.include(plans[1]?.join("\n"), "task_created")
    })
  )

  it.effect("removes bodies while look-ups go on", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const hash = sha256(bytesOf("nothing names it"))
      yield* sql`INSERT INTO body (hash, size, bytes, touched_at)
        VALUES (${hash}, 1, ${bytesOf("x")}, now() - interval '9 days')`
      const collector = yield* whileLocked(
        sql`SELECT 1 FROM body WHERE hash = ${hash} FOR UPDATE`,
        Effect.gen(function* () {
          const collector = yield* Effect.forkChild(store.collectBodies(Duration.days(1)))
          yield* waiting(1)
          return collector
        })
      )
      assert.strictEqual(yield* Fiber.join(collector), 1)
    })
  )
})
