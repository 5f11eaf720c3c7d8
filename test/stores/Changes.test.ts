/** The feed on a real database: transactions that commit late, and a database that was moved. */
import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import * as Cursor from "../../src/engine/feed/Cursor.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as FeedEpoch from "../../src/stores/postgres/FeedEpoch.ts"
import { first } from "../../src/stores/postgres/migrations/InitialSchema.ts"
import { supported } from "../../src/stores/postgres/Migrations.ts"
import * as PostgresWebhooks from "../../src/stores/postgres/WebhookStore.ts"
import * as Database from "../support/Postgres.ts"
import { item, nextRun, page, running } from "./scenario.ts"
import { awaitVisible } from "./awaitVisible.ts"
import { read, holding } from "./changesFixture.ts"
import { create } from "./webhookFixture.ts"

/** Makes the epoch appear to have begun on another server, whose transaction ids are far ahead of this server's. */
const moved = (part: "system" | "database" | "table" | "timeline" | "file", aheadBy: bigint) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.gen(function* () {
      yield* sql`UPDATE meta SET home = jsonb_set(home::jsonb, ARRAY[${part}], '"elsewhere"')::text`
      yield* sql`UPDATE content SET changed_xid = (changed_xid::text::numeric + ${String(aheadBy)}::numeric)::text::xid8
        WHERE changed_xid IS NOT NULL`
    })
  )

const fresh = <A, E>(test: Effect.Effect<A, E, Store | SqlClient.SqlClient | PgClient.PgClient>) =>
  Effect.gen(function* () {
    yield* Postgres.migrate
    return yield* Effect.provide(test, Postgres.layer.pipe(Layer.provide(Blobs.layer)))
  }).pipe(Effect.provide(Layer.fresh(Database.layer)))

for (const part of ["system", "database", "table", "timeline", "file"] as const) {
  it.effect(`a database with another ${part} begins an epoch at its next start, and tells all of its content`, () =>
    fresh(
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        yield* run.commit({ items: [item("a"), item("b")] })
        yield* run.commit({ items: [item("c")] })
        const before = yield* store.epoch
        assert.strictEqual(before.number, 1)
        yield* moved(part, 1_000_000_000_000n)
        const { begun, epoch } = yield* Postgres.migrate
        assert.isTrue(begun)
        assert.deepStrictEqual([epoch.number, epoch.databaseId], [2, before.databaseId])
        assert.notStrictEqual(epoch.id, before.id)
        assert.deepStrictEqual(yield* Postgres.migrate, { before: supported, after: supported, epoch, begun: false })
        yield* awaitVisible
        assert.deepStrictEqual((yield* read()).told, ["a stored", "b stored", "c stored"])
        const { commit } = yield* nextRun(run)
        yield* commit({ items: [item("a", { text: "other" })] })
        yield* awaitVisible
        assert.deepStrictEqual((yield* read()).told, ["b stored", "c stored", "a updated"])
      })
    )
  )
}

for (const part of ["system", "database", "table", "timeline", "file"] as const) {
  const goesOn = part === "timeline"
  it.effect(`a webhook ${goesOn ? "goes on where it was" : "begins again"} in a database with another ${part}`, () =>
    fresh(
      Effect.gen(function* () {
        const store = yield* WholeStore
        const webhooks = yield* WebhookStore
        const { commit } = yield* running()
        yield* commit({ items: [item("a"), item("b")] })
        yield* awaitVisible
        const cursorAt = Effect.gen(function* () {
          const { epoch, next } = yield* store.changes({ limit: 10 })
          return Cursor.ofChange(epoch, undefined, next)
        })
        const seen = yield* create({ cursor: yield* cursorAt })
        yield* commit({ items: [item("c")] })
        yield* awaitVisible
        const lost = yield* cursorAt
        yield* moved(part, 0n)
        // A page that was read before, and that the database may have lost since then.
        assert.isFalse(yield* webhooks.enqueue(seen, { to: lost, message: null }))
        yield* Postgres.migrate
        if (goesOn) assert.isFalse(yield* webhooks.enqueue(seen, { to: lost, message: null }))
        const { cursor } = Option.getOrThrow(yield* webhooks.webhook(seen.id))
        const place = yield* Cursor.changePlace(undefined, cursor ?? "")
        const check = yield* Effect.result(place.check(yield* store.epoch))
        assert.strictEqual(Result.isSuccess(check), goesOn)
        if (goesOn) assert.deepStrictEqual((yield* read(place.place)).told, ["c stored"])
      }).pipe(Effect.provide(PostgresWebhooks.layer))
    )
  )
}

it.effect("a running process notices a move of the database when it next reads the feed, once for all readers", () =>
  fresh(
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { commit } = yield* running()
      yield* commit({ items: [item("a")], page: page({}) })
      const before = yield* store.epoch
      yield* moved("timeline", 5_000_000n)
      const pages = yield* Effect.all(
        Array.from({ length: 8 }, () => store.changes({ limit: 10 })),
        { concurrency: "unbounded" }
      )
      const epochs = new Set(pages.map(({ epoch }) => epoch.id))
      assert.strictEqual(epochs.size, 1)
      assert.isFalse(epochs.has(before.id))
      assert.strictEqual((yield* store.epoch).number, 2)
      yield* awaitVisible
      assert.deepStrictEqual((yield* read()).told, ["a stored"])
    })
  )
)

it.effect("each request for a new epoch begins another one", () =>
  fresh(
    Effect.gen(function* () {
      const first = yield* Postgres.migrateWith({ newEpoch: true })
      const second = yield* Postgres.migrateWith({ newEpoch: true })
      assert.deepStrictEqual([first.begun, second.begun], [true, true])
      assert.deepStrictEqual([first.epoch.number, second.epoch.number], [2, 3])
      assert.notStrictEqual(first.epoch.id, second.epoch.id)
    })
  )
)

it.effect("a database role that may read less about the server begins no epoch, nor does one that may read more", () =>
  fresh(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { config } = yield* PgClient.PgClient
      const parts = Effect.map(
        sql`SELECT ARRAY(SELECT jsonb_object_keys(home::jsonb) ORDER BY 1) AS parts FROM meta`,
        ([row]) => row?.["parts"]
      )
      assert.deepStrictEqual(yield* parts, ["database", "file", "system", "table", "timeline"])
      const role = `role_${process.pid}_${Date.now()}`
      const password = "a password of a test"
      yield* sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`)
      yield* sql.unsafe(`GRANT ALL ON ALL TABLES IN SCHEMA public TO ${role}`)
      const ordinary = PgClient.layer({
        ...(config.path === undefined ? {} : { path: config.path }),
        ...(config.database === undefined ? {} : { database: config.database }),
        username: role,
        password: Redacted.make(password),
        maxConnections: 1
      })
      const settle = FeedEpoch.beginIfMoved({ always: false })
      const theirs = Effect.provide(settle, Layer.fresh(ordinary))
      assert.isFalse((yield* theirs).begun)
      yield* sql`UPDATE meta SET home = home::jsonb - 'file'`
      assert.isFalse((yield* theirs).begun)
      assert.isFalse((yield* settle).begun)
      assert.deepStrictEqual(yield* parts, ["database", "file", "system", "table", "timeline"])
      yield* moved("system", 0n)
      assert.isTrue((yield* theirs).begun)
      assert.deepStrictEqual(yield* parts, ["database", "system", "table", "timeline"])
      assert.isFalse((yield* settle).begun)
      yield* sql.unsafe(`DROP OWNED BY ${role}`)
      yield* sql.unsafe(`DROP ROLE ${role}`)
    })
  )
)

it.effect(
  "content from before there was a feed is told as it is, also where its transactions were another cluster's",
  () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* Migrator.make({})({ loader: Migrator.fromRecord({ "0001_first": first }), table: "idem_migration" })
      yield* sql`INSERT INTO connection (name, domain, account, config, every_ms)
        VALUES ('one', 'gmail', 'me', '{}', 60000)`
      yield* sql`INSERT INTO content (connection_id, external_id, state, pending, created_at, updated_at, changed_xid)
      SELECT connection.id, given.id, state, pending, now(), now(), xid::xid8
      FROM connection, (VALUES ('a', 'stored', NULL, '1'), ('b', 'deleted', NULL, '2'), ('c', 'failed', 'failed', '3'),
        ('d', 'failed', 'failed', NULL), ('e', 'stored', 'failed', '1000000000000'), ('f', 'gone', NULL, NULL))
        AS given(id, state, pending, xid)`
      const { after, before, begun } = yield* Postgres.migrate
      assert.deepStrictEqual({ before, after, begun }, { before: 1, after: supported, begun: false })
      yield* awaitVisible
      const { told } = yield* Effect.provide(read(), Postgres.layer.pipe(Layer.provide(Blobs.layer)))
      assert.deepStrictEqual(told, ["a stored", "b deleted", "c deleted", "e stored"])
    }).pipe(Effect.provide(Database.layerEmpty))
)

it.effect("the feed has the changes of a transaction that was open while an epoch began", () =>
  fresh(
    Effect.gen(function* () {
      const one = yield* running()
      yield* one.commit({ items: [item("a")] })
      const end = yield* holding(one.commit({ items: [item("open")] }))
      yield* moved("database", 0n)
      const beginning = yield* Effect.forkChild(Postgres.migrate, { startImmediately: true })
      yield* end("commit")
      yield* Fiber.join(beginning)
      yield* awaitVisible
      assert.sameMembers([...(yield* read()).told], ["a stored", "open stored"])
    })
  )
)
