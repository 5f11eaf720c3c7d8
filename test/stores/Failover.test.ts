/** A failover to a standby that lacks the last commits of runs that continue. */
import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import * as PostgresCluster from "../support/PostgresCluster.ts"
import { item, page, running, take, ttl } from "./scenario.ts"

const store = Layer.unwrap(Effect.as(Postgres.migrate, Layer.provide(Postgres.layer, Blobs.layer)))
const layer = Layer.fresh(Layer.provideMerge(store, Database.layer))

/** Makes the database appear to be a standby that was promoted. */
const failOver = SqlClient.SqlClient.use(
  (sql) => sql`UPDATE meta SET home = jsonb_set(home::jsonb, ARRAY['timeline'], '"of the former primary"')::text`
)

it.effect("a run that continues after a failover writes nothing, because pages of it may be lost", () =>
  Effect.gen(function* () {
    const store = yield* WholeStore
    const { commit, fence, id, runId } = yield* running()
    yield* commit({ items: [item("a")], page: page({ checkpoint: { at: 1 } }) })
    yield* failOver
    const superseded = Effect.gen(function* () {
      const later = { items: [item("b")], page: page({ checkpoint: { at: 2 } }) }
      assert.strictEqual((yield* Effect.flip(commit(later)))._tag, "Superseded")
      const end = { runId, status: "succeeded", counts: {}, notes: [], error: null } as const
      assert.strictEqual((yield* Effect.flip(store.finishRun(fence, end)))._tag, "Superseded")
    })
    yield* superseded
    const next = yield* take(id)
    assert.strictEqual((yield* store.epoch).number, 2)
    yield* superseded
    const found = Option.getOrThrow(yield* store.connection(id))
    assert.deepStrictEqual(found.checkpoint, Option.some({ at: 1 }))
    assert.isTrue(next.fence > fence.fence)
  }).pipe(Effect.provide(layer))
)

it.effect("a fence whose acquisition was lost in a failover is not given out again", () =>
  Effect.gen(function* () {
    const store = yield* WholeStore
    const sql = yield* SqlClient.SqlClient
    const { commit, fence, id } = yield* running()
    yield* sql`UPDATE connection SET fence = fence - 1, lease_holder = NULL, lease_until = NULL WHERE id = ${id}`
    yield* failOver
    // The store's next reader of the feed begins the epoch.
    yield* store.epoch
    const taken = Option.getOrThrow(yield* store.acquire(id, { holder: "another holder", ttl }))
    assert.notStrictEqual(taken.fence, fence.fence)
    assert.strictEqual((yield* Effect.flip(commit({ items: [item("a")] })))._tag, "Superseded")
  }).pipe(Effect.provide(layer))
)

// A failover may restart Idem too, while its address already leads to the standby, and before that is promoted.
it.live("a process that started on the standby begins an epoch once the standby is promoted", () =>
  Effect.gen(function* () {
    const primary = yield* PostgresCluster.create()
    const password = Redacted.value(primary.password)
    yield* primary.query(`CREATE ROLE owner LOGIN PASSWORD '${password}'`)
    yield* primary.query("CREATE DATABASE mail OWNER owner")
    /** The owner of the database may not stat the server's files. */
    const mail = (cluster: PostgresCluster.Cluster) =>
      PgClient.layer({ path: cluster.socket(), username: "owner", password: cluster.password, database: "mail" })
    const began = yield* Effect.provide(Postgres.migrate, mail(primary))
    const standby = yield* primary.copyAsStandby
    yield* Effect.gen(function* () {
      const store = yield* WholeStore
      assert.strictEqual((yield* store.epoch).number, began.epoch.number)
      yield* primary.kill
      yield* standby.promote
      assert.strictEqual((yield* store.epoch).number, began.epoch.number + 1)
    }).pipe(Effect.provide(store), Effect.provide(mail(standby)))
  }).pipe(Effect.scoped)
)
