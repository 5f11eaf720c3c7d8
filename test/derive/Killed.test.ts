/** A rebuild continues from its position after `kill -9`: `idem derive` as a process, on a real PostgreSQL. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as PostgresDeriver from "../../src/derive/PostgresDeriver.ts"
import { ProjectionRegistry } from "../../src/derive/Deriver.ts"
import { projection as gmail } from "../../src/integrations/gmail/Projection.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { item, running } from "../stores/scenario.ts"
import { awaitVisible } from "../stores/awaitVisible.ts"
import * as CommandLine from "../cli/CommandLine.ts"
import { programFile } from "../support/IdemProcess.ts"
import * as Database from "../support/Postgres.ts"

const count = 300

const rows = (query: string) => SqlClient.SqlClient.use((sql) => sql.unsafe(query).unprepared)

/** Stores emails, and derives them once. */
const fill = Effect.gen(function* () {
  yield* Postgres.migrate
  const store = Postgres.layer.pipe(Layer.provide(Blobs.layer))
  const registry = Layer.succeed(ProjectionRegistry, { all: Effect.succeed(new Map([["gmail", gmail]])) })
  yield* Effect.gen(function* () {
    const { commit } = yield* running()
    yield* commit({
      items: Array.from({ length: count }, (_, index) =>
        item(`m${String(index).padStart(4, "0")}`, {
          title: `Subject ${index}`,
          text: `Content-Type: text/plain\r\n\r\nBody number${index}\r\n`
        })
      )
    })
    yield* awaitVisible
    yield* (yield* PostgresDeriver.make).catchUp
  }).pipe(Effect.provide(Layer.merge(store, registry)))
})

const idem = CommandLine.ofApp()

const tables = ["content", "mail", "text", "search"]

const all = Effect.forEach(tables, (name) =>
  rows(`SELECT md5(string_agg(t::text, '' ORDER BY t::text)) AS rows FROM derived.${name} AS t`)
)

const Answer = Schema.fromJsonString(Schema.Struct({ derived: Schema.Int, behind: Schema.Int }))

/** Stops the process that writes this row, with a trigger that waits for a lock of the test. */
const stopAt = (table: string, condition: string) =>
  Effect.andThen(
    rows(`CREATE FUNCTION derived.stop() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$`),
    rows(`CREATE TRIGGER stop BEFORE INSERT OR UPDATE ON derived.${table} FOR EACH ROW WHEN (${condition})
      EXECUTE FUNCTION derived.stop()`)
  )

const isStopped = rows(`SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
  WHERE locktype = 'advisory' AND NOT granted AND objid = 4711 AND datname = current_database()`)

/** Runs `idem derive --rebuild` until it reaches the row, and kills it. */
const killedAt = (env: Record<string, string>, table: string, condition: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* stopAt(table, condition)
    yield* sql`SELECT pg_advisory_xact_lock(4711)`.pipe(
      Effect.andThen(
        Effect.acquireUseRelease(
          Effect.sync(() => {
            const args = [programFile("src/main.ts"), "derive", "--rebuild"]
            return spawn(process.execPath, args, { env, stdio: "ignore" })
          }),
          () =>
            Effect.gen(function* () {
              while ((yield* isStopped).length === 0) yield* Effect.sleep(Duration.millis(20))
            }),
          (child) =>
            Effect.promise(async () => {
              const ended = once(child, "exit")
              child.kill("SIGKILL")
              assert.deepStrictEqual(await ended, [null, "SIGKILL"])
            })
        )
      ),
      // The lock is held until the server has noticed the kill, because the killed process's transaction must not be
      // committed.
      Effect.andThen(
        rows("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
      ),
      sql.withTransaction
    )
    yield* rows("DROP FUNCTION derived.stop() CASCADE")
  })

it.live("a rebuild that is killed goes on where it was, in each of its stages", () =>
  Effect.gen(function* () {
    const url = yield* Database.makeUrl
    const env = {
      PATH: process.env["PATH"] ?? "",
      DATABASE_URL: url,
      IDEM_SECRET_KEY: Buffer.alloc(32, 7).toString("base64")
    }
    yield* Effect.gen(function* () {
      yield* fill
      const before = yield* all
      const counts = Effect.forEach(tables, (name) => rows(`SELECT count(*)::int AS count FROM derived.${name}`))
      assert.deepStrictEqual(
        yield* counts,
        tables.map(() => [{ count }])
      )
      const goOn = Effect.gen(function* () {
        const { code, stderr, stdout } = yield* idem(["derive", "--json"], { env })
        assert.strictEqual(code, 0, stderr)
        const { behind, derived } = yield* Schema.decodeUnknownEffect(Answer)(stdout.toString())
        assert.strictEqual(behind, 0)
        return derived
      })

      // Rows are processed in pages of 100. Rows of the pages before the interrupted page are not derived again.
      yield* killedAt(env, "content", "NEW.external_id = 'm0150'")
      assert.strictEqual(yield* goOn, count - 100)
      assert.deepStrictEqual(yield* all, before)

      // A rebuild keeps texts whose bytes are unchanged, so the test resets some to have them extracted again.
      yield* rows(`UPDATE derived.text SET version = NULL, text = NULL, next_attempt = '-infinity'
          WHERE external_id >= 'm0100'`)
      yield* killedAt(env, "text", "NEW.external_id = 'm0160' AND NEW.version IS NOT NULL")
      const unread = yield* rows("SELECT count(*)::int AS count FROM derived.text WHERE version IS NULL")
      assert.deepStrictEqual(unread, [{ count: 150 }])
      assert.strictEqual(yield* goOn, 0)
      assert.deepStrictEqual(yield* all, before)

      yield* rows("TRUNCATE derived.search")
      yield* killedAt(env, "search", "NEW.external_id = 'm0250'")
      assert.deepStrictEqual(yield* rows("SELECT count(*)::int AS count FROM derived.pending"), [{ count: 100 }])
      assert.strictEqual(yield* goOn, 0)
      assert.deepStrictEqual(yield* all, before)
    }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url) })))
  })
)
