import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Malformed } from "../../../src/contract/IntegrationError.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { WholeStore, replaceMethods } from "../../../src/testing/WholeStore.ts"
import { moving } from "../../support/Moving.ts"
import { fault, MemorySource } from "../../support/MemorySource.ts"
import { connect, faulty, ids, layer, shared, sync, withConnection } from "../../support/TestEngine.ts"

describe("a checkpoint", () => {
  it.effect("that the source has forgotten means a full listing that downloads only what is missing", () =>
    withConnection(function* (source, connection) {
      source.addMany(30)
      yield* sync(connection)
      source.addMany(2)
      source.remove("m000001")
      source.expiredBefore = source.log.length
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "succeeded")
      assert.deepInclude(result.counts, { listed: 31, existing: 29, stored: 2, downloads: 2, deleted: 1 })
      assert.include(result.notes.join(), "listing in full")
    })
  )

  it.effect("of another scope means a full listing that deletes nothing, then or later", () =>
    withConnection(function* (source, connection) {
      source.addMany(10, "a/")
      source.addMany(10, "b/")
      assert.deepStrictEqual((yield* sync(connection)).notes, [])
      yield* connect({ config: { folder: "a/" } })
      const result = yield* sync(connection)
      assert.deepInclude(result.counts, { listed: 10, existing: 10, deleted: 0, deletionsHeld: 0 })
      assert.include(result.notes.join(), "deleting nothing")
      source.expiredBefore = source.log.length + 1
      yield* Effect.sync(() => source.remove("a/000003"))
      source.expiredBefore = source.log.length
      const later = yield* sync(connection)
      assert.deepInclude(later.counts, { deleted: 1 })
      assert.strictEqual((yield* ids(connection)).length, 19)
    })
  )

  it.effect("stays where a change of config does not touch the scope", () =>
    withConnection(function* (source, connection) {
      source.addMany(10)
      yield* sync(connection)
      yield* connect({ config: { note: "only a note" } })
      assert.deepInclude((yield* sync(connection)).counts, { listed: 0, apiCalls: 1 })
    })
  )
})

describe("a run that ends in the middle", () => {
  const killed = (task: { readonly force: boolean }) => {
    const source = new MemorySource()
    source.pageSize = 50
    source.addMany(200)
    return Effect.gen(function* () {
      const store = yield* shared
      const gate = yield* Deferred.make<void>()
      if (task.force) {
        yield* Effect.gen(function* () {
          yield* sync(yield* connect())
        }).pipe(Effect.provide(layer(source, { store })))
      }
      const before = source.downloaded.length
      let commits = 0
      const crashing = faulty(store, (method) => {
        commits += method === "commit" ? 1 : 0
        return commits > 7 ? Effect.andThen(Deferred.succeed(gate, undefined), Effect.never) : Effect.void
      })
      const connection = yield* connect().pipe(Effect.provide(layer(source, { store })))
      const limits = { batchItems: 10, groupItems: 15, concurrency: 4 }
      const fiber = yield* sync(connection, task).pipe(
        Effect.provide(layer(source, { store: crashing, limits })),
        Effect.forkDetach
      )
      yield* Deferred.await(gate)
      // The dead process no longer runs, and its lease is still held. The test does not wait for the process, because
      // it is dead.
      const held = Option.getOrThrow(
        yield* Effect.flatMap(WholeStore, (one) => one.connection(connection.id)).pipe(Effect.provide(store))
      )
      assert.isNotNull(held.lease)
      yield* TestClock.adjust("1 minute")
      const result = yield* sync(connection, task).pipe(Effect.provide(layer(source, { store, limits })))
      assert.strictEqual(result.status, "succeeded")
      const again = source.downloaded.length - before - 200
      assert.isAtMost(again, 2 * limits.groupItems + limits.concurrency + 16, "two batches and what was in flight")
      const there = yield* ids(connection).pipe(Effect.provide(store))
      assert.deepStrictEqual(there, [...source.items.keys()].toSorted())
      fiber.interruptUnsafe()
    }).pipe(Effect.scoped)
  }

  it.effect("is taken up by the next, which loses and repeats no more than two batches", () => killed({ force: false }))
  it.effect("is taken up where it was when it was forced, too", () => killed({ force: true }))

  it.effect("gives both commands that asked for it the same result, whichever of them ends it", () =>
    withConnection(function* (source, connection) {
      source.addMany(3)
      const asked = yield* Deferred.make<void>()
      const answered = yield* Deferred.make<void>()
      source.answer = (method) =>
        method === "download m000001"
          ? fault(new Malformed({ message: "no" }))
          : method === "download m000002"
            ? Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(answered))
            : Effect.void
      const first = yield* Effect.forkChild(sync(connection, { force: true }))
      yield* Deferred.await(asked)
      const second = yield* Effect.forkChild(sync(connection, { force: true }))
      yield* TestClock.adjust("1 second")
      yield* Deferred.succeed(answered, undefined)
      const one = yield* moving(Fiber.join(first))
      const other = yield* moving(Fiber.join(second))
      assert.deepInclude(one, { status: "partial" })
      assert.strictEqual(one.counts.failed, 1)
      const said = ({ counts, run, status, task }: typeof one) => ({ counts, run, status, task })
      assert.deepStrictEqual(said(other), said(one))
    })
  )
})

describe("a forced sync whose task's end can't be written", () => {
  it.effect("fails, so that the same command continues the task and a later one downloads all again", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      const store = yield* shared
      const away = new StoreError({ message: "writing the end of a task: the connection was lost", cause: "reset" })
      const failing = replaceMethods((real) => ({ ...real, finishTask: () => Effect.fail(away) }))
      const over = layer(source, { store: Layer.provide(failing, store) })
      const connection = yield* connect().pipe(Effect.provide(over))
      const first = yield* sync(connection, { force: true }).pipe(Effect.provide(over))
      assert.deepInclude(first, { status: "failed", error: { reason: "StoreError", message: away.message } })
      assert.strictEqual(source.downloaded.length, 3)
      const again = () => sync(connection, { force: true }).pipe(Effect.provide(layer(source, { store })))
      const second = yield* again()
      assert.deepInclude(second, { status: "succeeded", task: first.task })
      assert.strictEqual(source.downloaded.length, 3)
      const third = yield* again()
      assert.notStrictEqual(third.task, first.task)
      assert.strictEqual(source.downloaded.length, 6)
    }).pipe(Effect.scoped)
  })
})
