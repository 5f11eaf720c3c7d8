/** The store over the partitioned contents of docs/scale.md, created with the statements of that page. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { WholeStore, layer as wholeStoreLayer } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { repository } from "../support/IdemProcess.ts"
import * as Database from "../support/Postgres.ts"
import * as Laws from "./laws.ts"
import * as PostgresTime from "./postgresTime.ts"

const [, section = ""] = Fs.readFileSync(Path.join(repository, "docs/scale.md"), "utf8").split(
  "## Partition the contents"
)
const [whole = "", own = ""] = Array.from(section.matchAll(/```sql\n([^`]*)```/g), ([, statements = ""]) => statements)

/** Runs the statements of a script one by one. The quoted text of a `DO` block counts as one statement. */
const run = (script: string) =>
  SqlClient.SqlClient.use((sql) => {
    const statements = script.match(/(?:\$\$[^$]*\$\$|[^;$])+/g) ?? []
    const all = statements.map((one) => one.trim()).filter((one) => !["", "BEGIN", "COMMIT"].includes(one))
    const inside = all.filter((one) => !one.startsWith("VACUUM"))
    const execute = (one: string) => sql.unsafe(one).unprepared
    return Effect.andThen(
      sql.withTransaction(Effect.forEach(inside, execute, { discard: true })),
      Effect.forEach(
        all.filter((one) => one.startsWith("VACUUM")),
        execute,
        { discard: true }
      )
    )
  })

let connections = 0

/**
 * Every sixteenth connection gets its own partition, so that each property has some. With many partitions, each
 * statement takes long to plan.
 */
const store = Layer.unwrap(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const store = yield* WholeStore
    yield* run(whole)
    return wholeStoreLayer({
      ...store,
      createConnection: (options) =>
        Effect.tap(store.createConnection(options), ({ id }) => {
          connections += 1
          const script = own.replaceAll("CONNECTION", id).replaceAll("content_large", `content_${connections}`)
          return connections % 16 !== 1
            ? Effect.void
            : Effect.orDie(Effect.provideService(run(script), SqlClient.SqlClient, sql))
        })
    })
  })
).pipe(Layer.provide(Postgres.layer))

const layer = Layer.mergeAll(store, PostgresTime.layer).pipe(
  Layer.provide(Blobs.layer),
  Layer.provideMerge(Database.layer)
)

Laws.suite("Postgres, partitioned", layer)

it.layer(layer)("a partitioned table of contents", (it) => {
  it.effect("keeps the rows that it had, and the indexes by their names", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* Effect.flatMap(WholeStore, (store) =>
        store.createConnection({
          name: "before",
          domain: "gmail",
          account: "me",
          config: {},
          credentials: new Uint8Array(),
          every: Duration.minutes(5)
        })
      )
      yield* sql`INSERT INTO content (connection_id, external_id, state, created_at, updated_at)
        VALUES (${id}, 'a', 'gone', now(), now())`
      const parts =
        yield* sql`SELECT DISTINCT tableoid::regclass::text AS part FROM content WHERE connection_id = ${id}`
      assert.strictEqual(parts.length, 1)
      const fresh = yield* Effect.provide(indexes, Layer.fresh(Database.layer))
      assert.deepStrictEqual(yield* indexes, fresh)
    })
  )
})

/** The indexes of the table of contents, by their names. */
const indexes = SqlClient.SqlClient.use(
  (sql) =>
    sql`SELECT indexname AS name, substring(indexdef FROM 'USING .*') AS "on" FROM pg_indexes
      WHERE tablename = 'content' ORDER BY indexname`
)
