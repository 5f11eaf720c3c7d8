import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import { randomUUID } from "node:crypto"
import * as Feed from "../../src/engine/feed/Feed.ts"
import { MessageId, type WebhookId } from "../../src/engine/model/Webhook.ts"
import { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import * as Payload from "../../src/engine/webhooks/Payload.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as WholePostgres from "../../src/stores/Postgres.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Memory from "../../src/stores/Memory.ts"
import * as Postgres from "../../src/stores/postgres/WebhookStore.ts"
import * as Database from "../support/Postgres.ts"
import * as PostgresTime from "./postgresTime.ts"
import * as Laws from "./lawsOfWebhooks.ts"
import { waiting, whileLocked } from "./locking.ts"
import { create, createAtMost, enqueue } from "./webhookFixture.ts"
import { item, page, running, settle, Time, AwaitVisible } from "./scenario.ts"

/** Simulates the passing of time by making all stored times older. */
const aging = Layer.effect(
  Time,
  SqlClient.SqlClient.use((sql) =>
    Effect.succeed({
      pass: (by: Duration.Duration) => {
        const span = sql`${Duration.toMillis(by)}::float8 * interval '1 millisecond'`
        return Effect.andThen(
          sql`UPDATE webhook SET failing_since = failing_since - ${span}, created_at = created_at - ${span}`,
          sql`UPDATE webhook_message SET next_attempt_at = next_attempt_at - ${span},
            attempted_at = attempted_at - ${span}, created_at = created_at - ${span}`
        ).pipe(Effect.orDie, Effect.asVoid)
      }
    })
  )
)

Laws.suite("Memory", Layer.merge(Memory.layer, Layer.succeed(Time, { pass: (by) => TestClock.adjust(by) })))
Laws.suite("Postgres", Layer.merge(Postgres.layer, aging).pipe(Layer.provide(Database.layer)))

/** Returns the tables of the database that contain this text. */
const tablesWith = (text: string) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.gen(function* () {
      const tables = yield* sql<{
        name: string
      }>`SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name
        FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`
      const found = yield* Effect.forEach(tables, ({ name }) =>
        Effect.map(
          sql.unsafe(`SELECT 1 FROM ${name} AS whole WHERE strpos(whole::text, $1) > 0 LIMIT 1`, [text]),
          (rows) => (rows.length > 0 ? [name] : [])
        )
      )
      return found.flat()
    })
  )

const postgres = Feed.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(Postgres.layer, WholePostgres.layer, PostgresTime.layer)),
  Layer.provide(Blobs.layer),
  Layer.provideMerge(Database.layer)
)

/** Reads all changes, and returns the move of a webhook's cursor past them, with their message. */
const read = Effect.gen(function* () {
  const feed = yield* Feed.Feed
  const { changes, next } = yield* feed.changes({ limit: 10, wait: Duration.zero })
  const body = yield* Payload.text({
    type: "content.changed",
    timestamp: yield* DateTime.now,
    data: { changes, cursor: next }
  })
  return { to: next, message: { id: MessageId.make(randomUUID()), body, changes } }
})

/**
 * Makes a connection whose only content was deleted by the source. Returns effects that purge the content and remove
 * the connection.
 */
const deleted = Effect.gen(function* () {
  const store = yield* WholeStore
  const run = yield* running()
  yield* run.commit({ items: [item("id-marker", { title: "title-marker" })] })
  yield* run.commit({ page: page({ deleted: ["id-marker"] }) })
  yield* settle(run.fence, { atMost: 9, share: 1 })
  yield* Effect.flatten(AwaitVisible)
  const purge = Effect.flatMap(DateTime.now, (now) => store.purge(run.id, DateTime.add(now, { minutes: 1 })))
  return { purge, disconnect: store.disconnect(run.id, true) }
})

for (const [name, layer] of [
  ["Memory", Feed.layer.pipe(Layer.provideMerge(Memory.layer))],
  ["Postgres", postgres]
] as const) {
  it.live(`${name}: changes that were read before a purge or a disconnection make no message`, () =>
    Effect.gen(function* () {
      const webhooks = yield* WebhookStore
      const { disconnect, purge } = yield* deleted
      const webhook = yield* create()
      const beforePurge = yield* read
      assert.include(beforePurge.message.body, "title-marker")
      yield* purge
      assert.isFalse(yield* webhooks.enqueue(webhook, beforePurge))
      const beforeDisconnection = yield* read
      assert.notInclude(beforeDisconnection.message.body, "title-marker")
      assert.isTrue(yield* webhooks.enqueue(yield* create(), beforeDisconnection))
      yield* disconnect
      assert.isFalse(yield* webhooks.enqueue(webhook, beforeDisconnection))
      assert.isTrue(yield* webhooks.enqueue(webhook, yield* read))
    }).pipe(Effect.provide(layer))
  )
}

it.live("Postgres: a webhook that another session is creating counts to the most that there may be", () =>
  Effect.gen(function* () {
    const store = yield* WebhookStore
    const before = (yield* store.webhooks).length
    const creation = Effect.provideService(createAtMost(before + 1), WebhookStore, store)
    const other = yield* whileLocked(
      creation,
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(creation)
        yield* Effect.raceFirst(waiting(1), Fiber.await(fiber))
        return fiber
      })
    )
    assert.isTrue(Option.isNone(yield* Fiber.join(other)))
  }).pipe(Effect.provide(postgres))
)

for (const removal of ["purge", "disconnect"] as const) {
  it.live(`Postgres: a message that is being written is seen by a ${removal}`, () =>
    Effect.gen(function* () {
      const webhooks = yield* WebhookStore
      const { [removal]: remove } = yield* deleted
      const move = yield* read
      const webhook = yield* create()
      const remover = yield* whileLocked(
        webhooks.enqueue(webhook, move),
        Effect.gen(function* () {
          const remover = yield* Effect.forkChild(remove)
          yield* Effect.raceFirst(waiting(1), Fiber.await(remover))
          return remover
        })
      )
      yield* Fiber.join(remover)
      assert.lengthOf(yield* webhooks.messages(webhook.id, { state: "pending", limit: 9, after: undefined }), 1)
      assert.deepStrictEqual(yield* tablesWith("title-marker"), [])
    }).pipe(Effect.provide(postgres))
  )
}

it.live("after a purge no table holds the title, and after a disconnection none holds an id", () =>
  Effect.gen(function* () {
    const store = yield* WholeStore
    const webhooks = yield* WebhookStore
    const kept = yield* running()
    yield* kept.commit({ items: [item("kept")] })
    const run = yield* running()
    yield* run.commit({ items: [item("id-marker", { title: "title-marker" })] })
    yield* Effect.flatten(AwaitVisible)
    assert.strictEqual((yield* read).message.changes.length, 2)
    const timestamp = yield* DateTime.now
    const made: Array<WebhookId> = []
    for (const connectionId of [null, run.id]) {
      const webhook = yield* create({ connectionId })
      made.push(webhook.id)
      assert.isTrue(yield* webhooks.enqueue(webhook, yield* read))
    }
    assert.sameMembers(yield* tablesWith("title-marker"), ["public.content", "public.webhook_message"])
    yield* run.commit({ page: page({ deleted: ["id-marker"] }) })
    yield* settle(run.fence, { atMost: 9, share: 1 })
    yield* store.purge(run.id, DateTime.add(timestamp, { minutes: 1 }))
    assert.deepStrictEqual(yield* tablesWith("title-marker"), [])
    assert.sameMembers(yield* tablesWith("id-marker"), ["public.content", "public.webhook_message"])
    yield* store.disconnect(run.id, true)
    assert.deepStrictEqual(yield* tablesWith("id-marker"), [])
    // A person created the connection's webhook, so it stays. Nothing else names the connection.
    assert.deepStrictEqual(yield* tablesWith(run.id), ["public.webhook"])
    const left = yield* Effect.forEach(made, (id) =>
      webhooks.messages(id, { state: "pending", limit: 9, after: undefined })
    )
    assert.deepStrictEqual(
      left.map((messages) => messages.map(({ changes }) => changes)),
      [[1], [1]]
    )
  }).pipe(Effect.provide(postgres))
)

it.live("a message is written where the server has no write-ahead log", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE SCHEMA without_log`
    yield* sql`CREATE FUNCTION without_log.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE plpgsql
      AS 'BEGIN RAISE feature_not_supported; END'`
    yield* Effect.provide(Effect.flatMap(create(), enqueue), Postgres.layer)
  }).pipe(Effect.provide(Database.layerWith({ startupOptions: "-c search_path=without_log,pg_catalog,public" })))
)
