/** People's queries of the schema `mirror`: their results, and the data that they can't reach. */
import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as PostgresDeriver from "../../src/derive/PostgresDeriver.ts"
import { ProjectionRegistry } from "../../src/derive/Deriver.ts"
import { projection as gmail } from "../../src/integrations/gmail/Projection.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { item, running } from "../stores/scenario.ts"
import { awaitVisible } from "../stores/awaitVisible.ts"
import * as Database from "../support/Postgres.ts"

const store = Postgres.layer.pipe(Layer.provide(Blobs.layer))
const layer = Layer.mergeAll(
  store,
  Layer.succeed(ProjectionRegistry, { all: Effect.succeed(new Map([["gmail", gmail]])) })
).pipe(Layer.provideMerge(Database.layer))

const query = (text: string, most = 100) =>
  Effect.flatMap(PostgresDeriver.make, (deriver) => deriver.query({ query: text, most, timeout: Duration.seconds(30) }))

const refused = (text: string) => Effect.map(Effect.flip(query(text)), ({ message }) => message)

it.layer(layer, { excludeTestServices: true })("a query on the schema mirror", (it) => {
  it.effect(
    "gives columns and rows, also of equal names, of large numbers, and where there is no row or no column",
    () =>
      Effect.gen(function* () {
        const run = yield* running()
        yield* run.commit({ items: [item("m1", { title: "hello" })] })
        yield* awaitVisible
        yield* (yield* PostgresDeriver.make).catchUp
        assert.deepStrictEqual(yield* query("SELECT id, title, size FROM content; -- all"), {
          columns: ["id", "title", "size"],
          rows: [["m1", "hello", "body of m1".length]],
          truncated: false
        })
        assert.deepStrictEqual(yield* query("SELECT 1 AS a, 2 AS a, 9007199254740993 AS big, NULL AS none"), {
          columns: ["a", "a", "big", "none"],
          rows: [[1, 2, "9007199254740993", null]],
          truncated: false
        })
        assert.deepStrictEqual(yield* query("SELECT id, subject FROM mail WHERE false -- none"), {
          columns: ["id", "subject"],
          rows: [],
          truncated: false
        })
        assert.deepStrictEqual(yield* query("SELECT FROM content"), { columns: [], rows: [[]], truncated: false })
        assert.deepStrictEqual(yield* query("SELECT FROM content WHERE false"), {
          columns: [],
          rows: [],
          truncated: false
        })
        const many = yield* query("SELECT * FROM generate_series(1, 10) AS n", 3)
        assert.deepStrictEqual(many, { columns: ["n"], rows: [[1], [2], [3]], truncated: true })
      })
  )

  it.effect("works for many concurrent first queries, which set up the role", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`ALTER FUNCTION derived.query OWNER TO CURRENT_USER`.unprepared
      yield* sql`REVOKE ALL ON SCHEMA mirror FROM idem_reader`.unprepared
      yield* sql`REVOKE ALL ON ALL TABLES IN SCHEMA mirror FROM idem_reader`.unprepared
      const { query } = yield* PostgresDeriver.make
      const one = query({ query: "SELECT 1", most: 1, timeout: Duration.seconds(30) })
      yield* Effect.all(
        Array.from({ length: 8 }, () => one),
        { concurrency: "unbounded" }
      )
    })
  )

  it.effect("reads nothing but the schema, whatever functions it calls, and writes nothing", () =>
    Effect.gen(function* () {
      assert.match(yield* refused("SELECT credentials FROM public.connection"), /permission denied/)
      assert.match(yield* refused("SELECT * FROM derived.text"), /permission denied/)
      const escape = "SELECT set_config('role', 'none', true), query_to_xml('TABLE public.body', true, false, '')"
      assert.match(yield* refused(escape), /cannot set parameter "role"/)
      assert.match(yield* refused("SELECT set_config('session_authorization', 'default', true)"), /cannot set/)
      assert.match(yield* refused("WITH x AS (DELETE FROM content RETURNING 1) SELECT * FROM x"), /cannot|denied/)
      assert.match(yield* refused("SELECT 1; SELECT 2"), /one query/)
      assert.match(yield* refused("SELECT lo_create(1)"), /read-only/)
      assert.match(yield* refused("SELECT pg_read_file('PG_VERSION')"), /permission denied/)
      assert.match(yield* refused(" ; "), /query is empty/)
    })
  )

  it.effect("of a hostile agent reaches no file, other server, role, session or setting", () =>
    Effect.gen(function* () {
      for (const hostile of [
        "SELECT pg_read_binary_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_stat_file('PG_VERSION')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT lo_from_bytea(0, 'x')",
        "COPY (SELECT 1) TO '/tmp/x'",
        "COPY mail TO PROGRAM 'id'",
        "SET ROLE NONE",
        "RESET ROLE",
        "SET SESSION AUTHORIZATION DEFAULT",
        "SET statement_timeout = 0",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "PREPARE x AS SELECT 1",
        "EXECUTE x",
        "DO $$ BEGIN END $$",
        "CALL pg_sleep(1)",
        "NOTIFY x",
        "LISTEN x",
        "LOAD 'dblink'",
        "CREATE EXTENSION dblink",
        "CREATE TEMP TABLE x (y int)",
        "SELECT 1 INTO TEMP x",
        "EXPLAIN ANALYZE SELECT 1; DROP VIEW mail",
        "SELECT 1) AS q ON false; DROP VIEW mail; --",
        "SELECT dblink('host=example.com', 'SELECT 1')",
        "SELECT nextval('public.some_sequence')",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT pg_reload_conf()",
        "SELECT set_config('session_authorization', 'postgres', false)",
        "SELECT set_config('transaction_read_only', 'off', true), lo_create(4711)",
        "SELECT query_to_xml('DELETE FROM mirror.content', true, false, '')",
        "SELECT * FROM ts_stat('SELECT vector FROM derived.search')",
        "SELECT credentials FROM (SELECT * FROM public.connection) AS c",
        "SELECT * FROM public.read_token",
        "SELECT derived.query('SELECT 1', 1, 1)",
        "SELECT mirror.search('x') FROM content FOR UPDATE"
      ]) {
        const message = yield* refused(hostile)
        assert.notMatch(message, /can't be reached|lost/, hostile)
      }
      // Other sessions belong to a role with more privileges.
      const sql = yield* SqlClient.SqlClient
      const ended = yield* Effect.result(
        query("SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
      )
      assert.strictEqual(ended._tag, "Failure")
      // A query's settings and notifications are rolled back with its transaction.
      yield* query("SELECT set_config('search_path', 'derived', false), set_config('work_mem', '1GB', false)")
      yield* query("SELECT pg_notify('x', 'y'), set_config('statement_timeout', '0', false)")
      const settings = yield* sql`SELECT DISTINCT current_setting('work_mem') AS memory FROM generate_series(1, 3)`
      assert.notDeepEqual(settings, [{ memory: "1GB" }])
      const slow = yield* Effect.flip(
        Effect.flatMap(PostgresDeriver.make, (deriver) =>
          deriver.query({
            query: "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
            most: 1,
            timeout: Duration.millis(50)
          })
        )
      )
      assert.match(slow.message, /longer than 50ms/)
      // A row beyond the limit of 64 MB for a message is refused; a result of many small rows is truncated.
      const large = yield* query("SELECT repeat('x', 1000000) FROM generate_series(1, 200)", 1000)
      assert.isTrue(large.truncated)
      assert.isBelow(large.rows.length, 60)
      const row = yield* Effect.flip(query("SELECT repeat(repeat('x', 1000000), 70)"))
      assert.match(row.message, /^a row of the result has more than 60 MB: select fewer columns/)
    })
  )

  it.effect("ends at its time, and gives back the locks that it took", () =>
    Effect.gen(function* () {
      const deriver = yield* PostgresDeriver.make
      const sql = yield* SqlClient.SqlClient
      const slow = deriver.query({ query: "SELECT pg_sleep(60)", most: 1, timeout: Duration.millis(50) })
      assert.match((yield* Effect.flip(slow)).message, /longer than 50ms/)
      yield* query("SELECT pg_advisory_lock(4711), set_config('statement_timeout', '0', false)")
      assert.deepStrictEqual(
        yield* sql`SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database
          WHERE locktype = 'advisory' AND datname = current_database()`,
        []
      )
    })
  )

  it.effect("a role that was granted reads the schema and nothing else", () =>
    Effect.gen(function* () {
      const { grant } = yield* PostgresDeriver.make
      const role = `reports_${process.pid}`
      const missing = yield* Effect.flip(grant(role, { login: false }))
      assert.match(missing.message, /idem grant .* --login/)
      const { created, password = "" } = yield* grant(role, { login: true })
      assert.isTrue(created)
      const { config } = yield* PgClient.PgClient
      const asRole = PgClient.layer({ ...config, username: role, password: Redacted.make(password), maxConnections: 1 })
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`SELECT id FROM mirror.content`, [{ id: "m1" }])
        const denied = yield* Effect.flip(sql`SELECT 1 FROM content`)
        assert.strictEqual(denied._tag, "SqlError")
        // A type in the session's own schema must not replace PostgreSQL's type in a function that runs with its
        // owner's privileges.
        for (const type of ["jsonb", "timestamptz", "text", "tsquery", "float8", "int4", "bool", "regconfig"]) {
          yield* sql.unsafe(`CREATE FUNCTION pg_temp.steal(pg_catalog.${type}) RETURNS boolean LANGUAGE plpgsql AS $$
            BEGIN RAISE 'ran with the rights of %', current_user; END $$`).unprepared
          yield* sql.unsafe(`CREATE DOMAIN pg_temp.${type} AS pg_catalog.${type} CHECK (pg_temp.steal(VALUE))`)
            .unprepared
          assert.deepStrictEqual(yield* sql`SELECT id FROM mirror.search('hello')`, [{ id: "m1" }], type)
        }
      }).pipe(Effect.provide(asRole))
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe(`DROP OWNED BY ${role}`).unprepared
      yield* sql.unsafe(`DROP ROLE ${role}`).unprepared
    })
  )
})
