/** Copies that are interrupted or fail, and copies during changes of the source and the target. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { assertSame, copy, everything, lived, sides, tables } from "./copyFixture.ts"
import { bytesOf, item, page, running, sha256, stored } from "./scenario.ts"

/** Runs an effect as another process would, outside of this fiber's transactions. */
const elsewhere = <A, E>(effect: Effect.Effect<A, E>) => Effect.promise(() => Effect.runPromise(effect))

it.layer(Layer.empty, { excludeTestServices: true })("copying", (it) => {
  it.effect("a copy that is cut off leaves no part of a connection, and can be begun again", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      const run = yield* Effect.provideContext(lived, source.context)
      const before = yield* everything(source.sql)
      const full = yield* Effect.exit(copy(source, target, { write: () => Effect.die("the disk is full") }))
      assert.isTrue(Exit.isFailure(full))
      // Runs are copied last, so the session ends when all rows were copied.
      yield* target.sql`CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'`
      yield* target.sql`CREATE TRIGGER ends AFTER INSERT ON run EXECUTE FUNCTION end_session()`
      assert.strictEqual((yield* Effect.flip(copy(source, target)))._tag, "StoreError")
      yield* target.sql`DROP TRIGGER ends ON run`
      for (const table of tables)
        assert.deepStrictEqual(yield* target.sql`SELECT 1 FROM ${target.sql(table)}`, [], table)
      assert.strictEqual((yield* copy(source, target)).copied[0]?.name, run.name)
      assertSame(yield* everything(target.sql), before)
    }).pipe(Effect.scoped)
  )

  it.effect("a place of large bodies that is slow ends no transaction, since none is open while it is asked", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      yield* Effect.provideContext(lived, source.context)
      const idle = target.sql`SELECT state FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
      const open: Array<unknown> = []
      let asked = 0
      const has = (hash: string) =>
        Effect.gen(function* () {
          asked += 1
          open.push(...(yield* elsewhere(idle)))
          return yield* target.blobs.has(hash)
        })
      // The source may be slow too: the transaction that writes the rows may wait for the source for minutes.
      yield* target.sql`CREATE TABLE limits (value text)`
      yield* target.sql`CREATE FUNCTION note_limit() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN INSERT INTO limits VALUES (current_setting(''idle_in_transaction_session_timeout'')); RETURN NULL; END'`
      yield* target.sql`CREATE TRIGGER notes AFTER INSERT ON content EXECUTE FUNCTION note_limit()`
      yield* copy(source, target, { has })
      assert.deepStrictEqual([asked, open], [2, []])
      assert.deepStrictEqual(yield* target.sql`SELECT DISTINCT value FROM limits`, [{ value: "10min" }])
    }).pipe(Effect.scoped)
  )

  it.effect("a large body that a purge removes before its row is written fails the copy", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      yield* Effect.provideContext(lived, source.context)
      yield* target.blobs.write(Stream.succeed(bytesOf("large")))
      // Simulates a purge that found no row: the blob is removed after the copy has found it.
      const read = (hash: string) =>
        Stream.ensuring(target.blobs.read(hash), Effect.ignore(elsewhere(target.blobs.remove(hash, Duration.zero))))
      const error = yield* Effect.flip(copy(source, target, { read }))
      assert.include(error.message, "a large body of")
      assert.strictEqual((yield* copy(source, target)).copied.length, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("a large body that the target has damaged fails the copy", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      yield* Effect.provideContext(lived, source.context)
      yield* target.blobs.write(Stream.succeed(bytesOf("large")))
      yield* target.sql`UPDATE blob_chunk SET bytes = 'lar'::bytea`
      assert.include((yield* Effect.flip(copy(source, target))).message, "is damaged")
      assert.deepStrictEqual(yield* target.sql`SELECT 1 FROM connection`, [])
    }).pipe(Effect.scoped)
  )

  it.effect("a body that is removed in the target while it is copied fails the copy, and the next one is whole", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      yield* Effect.provideContext(lived, source.context)
      const theirs = yield* Effect.provideContext(running(), target.context)
      // The target has all bodies, because it depends on the database's plan which of them were found when the large
      // one is requested.
      const items = Array.from({ length: 400 }, (_, n) => item(`theirs ${n}`, { text: `body ${n}` }))
      yield* theirs.commit({ items }).pipe(Effect.provideContext(target.context))
      const removed = copy(source, target, {
        has: (hash) => Effect.andThen(elsewhere(target.store.disconnect(theirs.id, true)), target.blobs.has(hash))
      })
      const error = yield* Effect.flip(removed)
      assert.match(error.message, /[1-9]\d* bodies of/)
      assert.strictEqual((yield* copy(source, target)).copied.length, 1)
      assertSame(yield* everything(target.sql), yield* everything(source.sql))
    }).pipe(Effect.scoped)
  )

  it.effect("what the source stores meanwhile is not in the copy, nor in its checkpoint", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      const run = yield* Effect.provideContext(lived, source.context)
      const before = yield* everything(source.sql)
      const later = run.commit({ items: [item("later")], page: page({ checkpoint: { at: 2 } }) })
      yield* copy(source, target, {
        has: (hash) => Effect.andThen(elsewhere(Effect.provideContext(later, source.context)), target.blobs.has(hash))
      })
      assertSame(yield* everything(target.sql), before)
      const ids = yield* Effect.provideContext(stored(run.id), source.context)
      assert.include(ids, "later")
    }).pipe(Effect.scoped)
  )

  it.effect("a body that is damaged in the source fails the copy", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      yield* Effect.provideContext(lived, source.context)
      yield* source.sql`UPDATE body SET bytes = 'damaged' WHERE hash = ${sha256(bytesOf("body 9"))}`
      assert.include((yield* Effect.flip(copy(source, target))).message, "the source's data is damaged")
      assert.deepStrictEqual(yield* target.store.connections, [])
    }).pipe(Effect.scoped)
  )
})
