/** Queries in a database where Idem's own role may not create the role that only reads. */
import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { ProjectionRegistry } from "../../src/derive/Deriver.ts"
import * as PostgresDeriver from "../../src/derive/PostgresDeriver.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"

const password = "secret-of-the-test"

/** A role that may log in and nothing else. It owns the database of the context. */
const plainRole = Effect.acquireRelease(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const role = `plain_${process.pid}`
    yield* sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`).unprepared
    yield* sql.unsafe(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO ${role}', current_database()); END $$`)
      .unprepared
    return role
  }),
  (role) =>
    SqlClient.SqlClient.use((sql) =>
      Effect.forEach(
        [`REASSIGN OWNED BY ${role} TO CURRENT_USER`, `DROP OWNED BY ${role}`, `DROP ROLE ${role}`],
        (statement) => sql.unsafe(statement).unprepared
      )
    ).pipe(Effect.orDie)
)

const store = Layer.unwrap(Effect.as(Postgres.migrate, Layer.provide(Postgres.layer, Blobs.layer)))
const projections = Layer.succeed(ProjectionRegistry, { all: Effect.succeed(new Map()) })

const query = (text: string) =>
  Effect.flatMap(PostgresDeriver.make, (deriver) =>
    deriver.query({ query: text, most: 10, timeout: Duration.seconds(30) })
  )

it.live("a query is refused with the statement that an administrator runs, and works afterwards", () =>
  Effect.gen(function* () {
    const administrator = yield* SqlClient.SqlClient
    const role = yield* plainRole
    const { config } = yield* PgClient.PgClient
    const asRole = PgClient.layer({ ...config, username: role, password: Redacted.make(password) })
    yield* Effect.gen(function* () {
      const { message } = yield* Effect.flip(query("SELECT credentials FROM public.connection"))
      const [, statement = ""] =
        /: run this as an administrator of the database: ((?:CREATE ROLE idem_reader NOLOGIN; )?GRANT .*)$/.exec(
          message
        ) ?? []
      assert.match(statement, new RegExp(`GRANT idem_reader TO "${role}"$`))
      for (const each of statement.split("; ")) yield* administrator.unsafe(each).unprepared
      assert.deepStrictEqual((yield* query("SELECT count(*) FROM content")).rows, [[0]])
      assert.match(
        (yield* Effect.flip(query("SELECT credentials FROM public.connection"))).message,
        /permission denied/
      )
    }).pipe(Effect.provide(Layer.provideMerge(Layer.merge(store, projections), asRole)))
  }).pipe(Effect.scoped, Effect.provide(Database.layerEmpty))
)
