import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import { item, running } from "./scenario.ts"
import { awaitVisible } from "./awaitVisible.ts"
import { read, holding } from "./changesFixture.ts"

const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))

it.layer(layer)("changes while transactions are open", (it) => {
  it.effect("a transaction that commits late holds back later changes, and its own come first", () =>
    Effect.gen(function* () {
      const one = yield* running()
      const other = yield* running()
      yield* awaitVisible
      const { next } = yield* read()
      const end = yield* holding(one.commit({ items: [item("late")] }))
      yield* other.commit({ items: [item("early")] })
      yield* other.commit({ items: [item("again")] })
      const meanwhile = yield* read(next)
      assert.deepStrictEqual(meanwhile.told, [])
      yield* end("commit")
      yield* awaitVisible
      const after = yield* read(meanwhile.next)
      assert.deepStrictEqual(after.told, ["late stored", "early stored", "again stored"])
      assert.deepStrictEqual((yield* read(next)).told, after.told)
    })
  )

  it.effect(
    "a transaction that commits late appears in the next query, though an earlier query looked for later ones",
    () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const one = yield* running()
        const other = yield* running()
        yield* awaitVisible
        const { next } = yield* store.changed((yield* read()).next.transaction)
        const end = yield* holding(one.commit({ items: [item("late")] }))
        yield* other.commit({ items: [item("early")] })
        const meanwhile = yield* store.changed(next)
        assert.deepStrictEqual([...meanwhile.connections], [])
        yield* end("commit")
        yield* awaitVisible
        const found = yield* store.changed(meanwhile.next)
        assert.deepStrictEqual([...found.connections].toSorted(), [one.id, other.id].toSorted())
      })
  )

  it.effect("the transaction that holds the feed back is reported with its session", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const one = yield* running()
      const end = yield* holding(one.commit({ items: [item("held")] }))
      const holder = yield* store.holder
      assert.isAtLeast(holder?.seconds ?? -1, 0)
      assert.isAbove(holder?.process ?? 0, 0)
      assert.isString(holder?.application)
      yield* end("roll back")
    })
  )

  it.effect("a transaction that is rolled back has no changes, and no longer holds the feed back", () =>
    Effect.gen(function* () {
      const one = yield* running()
      const other = yield* running()
      yield* awaitVisible
      const { next } = yield* read()
      const end = yield* holding(one.commit({ items: [item("never")] }))
      yield* other.commit({ items: [item("a")] })
      assert.deepStrictEqual((yield* read(next)).told, [])
      yield* end("roll back")
      yield* awaitVisible
      assert.deepStrictEqual((yield* read(next)).told, ["a stored"])
    })
  )

  it.effect(
    "one that began early and writes late is told after a reader has passed, and reading alone holds nothing",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const one = yield* running()
        const other = yield* running()
        yield* awaitVisible
        const { next } = yield* read()
        const mayWrite = yield* Deferred.make<void>()
        const begun = yield* Deferred.make<void>()
        const early = yield* Effect.forkChild(
          Effect.gen(function* () {
            yield* sql`SELECT count(*) FROM content`
            yield* Deferred.succeed(begun, undefined)
            yield* Deferred.await(mayWrite)
            yield* one.commit({ items: [item("written late")] })
          }).pipe(sql.withTransaction)
        )
        yield* Deferred.await(begun)
        yield* other.commit({ items: [item("a")] })
        yield* awaitVisible
        const passed = yield* read(next)
        assert.deepStrictEqual(passed.told, ["a stored"])
        yield* Deferred.succeed(mayWrite, undefined)
        yield* Fiber.join(early)
        yield* awaitVisible
        assert.deepStrictEqual((yield* read(passed.next)).told, ["written late stored"])
      })
  )

  it.effect("changes within a savepoint have the id of the whole transaction", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { commit, id } = yield* running()
      const ids = yield* sql.withTransaction(
        Effect.gen(function* () {
          const [outer] = yield* sql`SELECT pg_current_xact_id()::text AS id`
          yield* Effect.ignore(sql.withTransaction(Effect.andThen(commit({ items: [item("x")] }), Effect.fail("no"))))
          yield* commit({ items: [item("a")] })
          yield* sql.withTransaction(commit({ items: [item("b")] }))
          const rows = yield* sql`SELECT external_id AS id, changed_xid::text AS changed FROM content
            WHERE connection_id = ${id} ORDER BY external_id`
          return { outer: outer?.["id"], rows }
        })
      )
      assert.deepStrictEqual(
        ids.rows.map((row) => ({ ...row })),
        ["a", "b"].map((id) => ({ id, changed: ids.outer }))
      )
    })
  )
})
