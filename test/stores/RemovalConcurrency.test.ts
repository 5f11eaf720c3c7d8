/** Permanent removal while other commits store the same bytes, which requires two sessions of a real database. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Stream from "effect/Stream"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { BlobStore } from "../../src/stores/Blobs.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Purge from "../../src/stores/postgres/Purge.ts"
import * as Database from "../support/Postgres.ts"
import { awaitVisible } from "./awaitVisible.ts"
import { forkWaiting, waiting, whileLocked } from "./locking.ts"
import { bytesOf, item, largeItem, row, running, sha256, stored } from "./scenario.ts"

const layer = Postgres.layer.pipe(Layer.provideMerge(Blobs.layer), Layer.provideMerge(Database.layer))

const read = (hash: string) => Effect.flatMap(WholeStore, (store) => Effect.exit(Stream.runDrain(store.body(hash))))

const assertWhole = Effect.fnUntraced(function* (id: Parameters<typeof row>[0], externalId: string) {
  const { hash } = yield* row(id, externalId)
  assert.strictEqual((yield* read(hash ?? ""))._tag, "Success", `the body of ${externalId}`)
})

it.layer(layer, { excludeTestServices: true })("Postgres, removing at once", (it) => {
  for (const kind of ["body", "blob"] as const) {
    it.effect(
      `a ${kind} that a commit has found, and not committed yet, outlives the removal of all else that names it`,
      () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const store = yield* WholeStore
          const goes = yield* running()
          const stays = yield* running()
          const make = (id: string) =>
            kind === "body" ? Effect.succeed(item(id, { text: "of two" })) : largeItem(id, "large, of two")
          yield* goes.commit({ items: [yield* make("a")] })
          const found = yield* make("b")
          const [committer, remover] = yield* whileLocked(
            sql`SELECT 1 FROM run WHERE id = ${stays.runId} FOR UPDATE`,
            forkWaiting(stays.commit({ items: [found] }), store.disconnect(goes.id, true))
          )
          yield* Fiber.join(committer)
          yield* Fiber.join(remover)
          assert.isTrue(Option.isNone(yield* store.connection(goes.id)))
          yield* assertWhole(stays.id, "b")
        })
    )
  }

  it.effect("a commit that comes to a body which is being removed waits, and writes it anew", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const goes = yield* running()
      const stays = yield* running()
      // Bodies are locked in the order of their hashes, so the removal has locked the first when it waits for the
      // second.
      const [first = "", second = ""] = ["one of two bodies", "another of two bodies"].toSorted((a, b) =>
        Buffer.compare(sha256(bytesOf(a)), sha256(bytesOf(b)))
      )
      yield* goes.commit({ items: [item("1", { text: first }), item("2", { text: second })] })
      const [remover, committer] = yield* whileLocked(
        sql`SELECT 1 FROM body WHERE hash = ${sha256(bytesOf(second))} FOR UPDATE`,
        forkWaiting(store.disconnect(goes.id, true), stays.commit({ items: [item("a", { text: first })] }))
      )
      yield* Fiber.join(remover)
      yield* Fiber.join(committer)
      yield* assertWhole(stays.id, "a")
    })
  )

  it.effect(
    "a commit whose blob was removed since it was written fails, and writes nothing; the next one is whole",
    () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const goes = yield* running()
        const stays = yield* running()
        // An attempt before this one has left the same body.
        const text = `large, and removed from ${goes.id}`
        yield* goes.commit({ items: [yield* largeItem("a", text)] })
        const found = yield* largeItem("b", text)
        yield* store.disconnect(goes.id, true)
        const error = yield* Effect.flip(stays.commit({ items: [item("c"), found] }))
        assert.strictEqual(error._tag, "StoreError")
        assert.include(error.message, "the body of b was removed")
        assert.deepStrictEqual(yield* stored(stays.id), [])
        yield* stays.commit({ items: [item("c"), yield* largeItem("b", text)] })
        yield* assertWhole(stays.id, "b")
      })
  )

  it.effect("a body that a copy's commit has looked at is not removed before that commit has ended", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const goes = yield* running()
      const stays = yield* running()
      yield* goes.commit({ items: [item("a", { text: "to be copied" })] })
      const bytes = bytesOf("to be copied")
      const copy = { ...item("b"), body: { _tag: "Kept", hash: sha256(bytes), size: bytes.length } as const }
      const { first, remover } = yield* whileLocked(
        Purge.lockKept(sql, [copy]),
        Effect.gen(function* () {
          const remover = yield* Effect.forkChild(store.disconnect(goes.id, true))
          const removed = Effect.as(Fiber.await(remover), "removed" as const)
          return { first: yield* Effect.raceFirst(removed, Effect.as(waiting(1), "waits" as const)), remover }
        })
      )
      assert.strictEqual(first, "waits")
      yield* Fiber.join(remover)
      // In the end no row of the commit references the body. The next commit finds the body removed, and writes
      // nothing.
      const error = yield* Effect.flip(stays.commit({ items: [item("c"), copy] }))
      assert.include(error.message, "a body was removed")
      assert.deepStrictEqual(yield* stored(stays.id), [])
    })
  )

  it.effect("a blob whose body was stored again meanwhile stays when its removal comes to it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const blobs = yield* BlobStore
      const { commit, id } = yield* running()
      // The state after a commit that stored the body again after the row was dropped, and before the blob was removed.
      yield* commit({ items: [yield* largeItem("a", "large, and stored again")] })
      const hash = sha256(bytesOf("large, and stored again"))
      assert.isFalse(yield* Purge.removeBlob(sql, blobs, hash, Duration.zero))
      yield* assertWhole(id, "a")
    })
  )

  it.effect("a commit in the middle of a purge of its own connection waits for it, and both are whole", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const run = yield* running()
      yield* run.commit({ items: [item("a", { text: "purged and back" })] })
      yield* sql`UPDATE content SET state = 'deleted', updated_at = now() - interval '1 day'
        WHERE connection_id = ${run.id}`
      const { createdAt } = yield* row(run.id, "a")
      const [purger, committer] = yield* whileLocked(
        sql`SELECT 1 FROM body WHERE hash = ${sha256(bytesOf("purged and back"))} FOR UPDATE`,
        forkWaiting(store.purge(run.id, createdAt), run.commit({ items: [item("a", { text: "purged and back" })] }))
      )
      assert.strictEqual((yield* Fiber.join(purger)).deleted, 1)
      assert.strictEqual((yield* Fiber.join(committer)).outcomes.get("a"), "stored")
      yield* assertWhole(run.id, "a")
    })
  )

  it.effect("a disconnection that is cut short while it deletes contents is finished when it is repeated", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const run = yield* running()
      yield* run.commit({ items: [item("a", { text: "deleted at the second attempt" })] })
      const hash = sha256(bytesOf("deleted at the second attempt"))
      yield* whileLocked(
        sql`SELECT 1 FROM body WHERE hash = ${hash} FOR UPDATE`,
        Effect.gen(function* () {
          const remover = yield* Effect.forkChild(store.disconnect(run.id, true))
          yield* waiting(1)
          yield* Fiber.interrupt(remover)
        })
      )
      const { credentials, paused } = Option.getOrThrow(yield* store.connection(run.id))
      assert.deepStrictEqual([credentials, paused], [null, "disconnected"])
      assert.strictEqual((yield* Effect.flip(run.commit({ items: [item("b")] })))._tag, "Superseded")
      yield* store.disconnect(run.id, true)
      assert.isTrue(Option.isNone(yield* store.connection(run.id)))
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM content WHERE connection_id = ${run.id}`, [])
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM body WHERE hash = ${hash}`, [])
    })
  )

  it.effect("what a removal that was cut short has left, the feed hides, and the collector finishes", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const run = yield* running()
      const stays = yield* running()
      yield* stays.commit({ items: [item("kept")] })
      yield* run.commit({ items: [item("a", { text: "left behind" })] })
      // The state after the first transaction: the connection is removed, but its contents are not.
      yield* sql`DELETE FROM connection WHERE id = ${run.id}`
      yield* awaitVisible
      const { changes } = yield* store.changes({ limit: 1000 })
      const told = new Set(changes.map(({ connectionId }) => connectionId))
      assert.deepStrictEqual([told.has(stays.id), told.has(run.id)], [true, false])
      yield* store.collectBodies(Duration.days(1))
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM content WHERE connection_id = ${run.id}`, [])
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM body WHERE hash = ${sha256(bytesOf("left behind"))}`, [])
      yield* assertWhole(stays.id, "kept")
    })
  )
})
