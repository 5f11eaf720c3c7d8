import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { layer, WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Migrations from "../../src/stores/postgres/Migrations.ts"
import * as IdemProcess from "../support/IdemProcess.ts"
import * as Database from "../support/Postgres.ts"
import { connect } from "./scenario.ts"

const today = Postgres.layer.pipe(Layer.provide(Blobs.layer))
const open = Effect.flatMap(WholeStore, () => Effect.void).pipe(Effect.provide(today))

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

it.live("a process that runs on while a newer idem migrates the database takes no more work, and ends", () =>
  Effect.gen(function* () {
    const url = yield* Database.makeUrl
    const env = { DATABASE_URL: url, IDEM_SECRET_KEY: Buffer.alloc(32, 7).toString("base64"), PORT: "0" }
    const serving = yield* IdemProcess.serve(env)
    const sql = yield* PgClient.make({ url: Redacted.make(url), maxConnections: 1 })
    const store = yield* Effect.provide(WholeStore, today.pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, sql))))
    const { id } = yield* connect().pipe(Effect.provide(layer(store)))
    yield* sql`INSERT INTO idem_migration (migration_id, name) VALUES (999, 'later')`
    const refused = yield* Effect.flip(store.acquire(id, { holder: "me", ttl: Duration.minutes(1) }))
    assert.match(refused.message, /schema 999.*update/)
    const { code, stderr } = yield* Effect.promise(() => serving.ended)
    assert.strictEqual(code, 1, stderr)
    assert.match(stderr, /idem: the database has schema 999.*a newer idem has migrated it; update this one\n$/)
  }).pipe(Effect.provide(Reactivity.layer))
)

for (const [name, statement] of [
  ["schema", "CREATE SCHEMA mirror"],
  ["table", "CREATE TABLE content (id int)"]
] as const) {
  it.live(`a database in which a ${name} of somebody else has a name of Idem's is refused, and left alone`, () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe(statement)
      const error = yield* Effect.flip(Postgres.migrate)
      assert.strictEqual(error._tag, "StoreError")
      assert.match(error.message, /"(mirror|content)" already exists, and Idem did not create it: give Idem a database/)
      assert.strictEqual(yield* Migrations.version, 0)
    }).pipe(Effect.provide(Database.layerEmpty))
  )
}

it.live("a role that may not create tables is told which privilege it lacks", () =>
  Effect.gen(function* () {
    const { config } = yield* PgClient.PgClient
    const error = yield* SqlClient.SqlClient.use((sql) =>
      Effect.andThen(sql`SET ROLE pg_monitor`, Effect.flip(Postgres.migrate))
    ).pipe(Effect.provide(PgClient.layer({ ...config, maxConnections: 1 })))
    assert.strictEqual(error._tag, "StoreError")
    assert.match(error.message, /lacks a privilege \(permission denied for schema public\): .*OWNER TO/)
  }).pipe(Effect.provide(Database.layerEmpty))
)

it.live("an unreachable database and a refused login are explained, without the password", () =>
  Effect.gen(function* () {
    const message = Effect.fnUntraced(function* (config: PgClient.PgPoolConfig) {
      const client = PgClient.layer({ username: "somebody", password: Redacted.make("hunter2"), ...config })
      const error = yield* Effect.flip(Postgres.migrate.pipe(Effect.provide(client)))
      assert.notInclude(JSON.stringify(error), "hunter2")
      return error.message
    })
    const places = [
      { path: "/nowhere/.s.PGSQL.5432", code: "ENOENT" },
      { host: "127.0.0.1", port: 1, code: "ECONNREFUSED" }
    ]
    for (const { code, ...place } of places) {
      const away = yield* message(place)
      assert.match(
        away,
        /can't be reached .*check that it runs, and DATABASE_URL; Idem's own database.* see postgres\.log/
      )
      assert.include(away, code)
    }
    const { config } = yield* PgClient.PgClient
    const { database: _, ...server } = config
    assert.match(
      yield* message({ ...server, database: "nope" }),
      /refuses the login .*"nope" does not exist.*DATABASE_URL/
    )
  }).pipe(Effect.provide(Database.layerEmpty))
)
