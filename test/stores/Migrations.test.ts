import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Migrations from "../../src/stores/postgres/Migrations.ts"
import * as Database from "../support/Postgres.ts"

const open = Effect.flatMap(WholeStore, () => Effect.void).pipe(
  Effect.provide(Postgres.layer.pipe(Layer.provide(Blobs.layer)))
)

it.live("an empty database is refused until it is migrated; a second migration does nothing", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(open)
    assert.match(error.message, /schema 0.*idem migrate/)
    const { epoch, ...first } = yield* Postgres.migrate
    assert.deepStrictEqual(first, { before: 0, after: Migrations.supported, begun: false })
    assert.strictEqual(epoch.number, 1)
    yield* open
    const again = { before: Migrations.supported, after: Migrations.supported, begun: false, epoch }
    assert.deepStrictEqual(yield* Postgres.migrate, again)
  }).pipe(Effect.provide(Database.layerEmpty))
)

it.live("many may migrate at once", () =>
  Effect.gen(function* () {
    const all = yield* Effect.all(
      Array.from({ length: 5 }, () => Postgres.migrate),
      { concurrency: "unbounded" }
    )
    assert.isTrue(all.every(({ after }) => after === Migrations.supported))
    yield* open
  }).pipe(Effect.provide(Database.layerEmpty))
)

it.live("a database that a newer idem has migrated is refused by name, and left alone", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO idem_migration (migration_id, name) VALUES (999, 'later')`
    for (const attempt of [open, Effect.asVoid(Postgres.migrate)]) {
      const error = yield* Effect.flip(attempt)
      assert.strictEqual(error._tag, "SchemaTooNew")
      assert.match(error.message, /schema 999.*update/)
    }
  }).pipe(Effect.provide(Database.layer))
)

it.live("a database that is away, or that refuses us, is said in words, without the password", () =>
  Effect.gen(function* () {
    const message = Effect.fnUntraced(function* (config: PgClient.PgPoolConfig) {
      const client = PgClient.layer({ username: "somebody", password: Redacted.make("hunter2"), ...config })
      const error = yield* Effect.flip(Postgres.migrate.pipe(Effect.provide(client)))
      assert.notInclude(JSON.stringify(error), "hunter2")
      return error.message
    })
    assert.match(yield* message({ path: "/nowhere/.s.PGSQL.5432" }), /can't be reached .*ENOENT.*check that it runs/)
    assert.match(yield* message({ host: "127.0.0.1", port: 1 }), /can't be reached .*ECONNREFUSED/)
    const { config } = yield* PgClient.PgClient
    const { database: _, ...server } = config
    assert.match(yield* message({ ...server, database: "nope" }), /refuses us .*"nope" does not exist.*DATABASE_URL/)
  }).pipe(Effect.provide(Database.layerEmpty))
)
