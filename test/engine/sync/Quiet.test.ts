/** Scheduled polls: those that find nothing leave no row, but are complete polls. */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../../src/testing/WholeStore.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import { connect, ids, layer, poll, sync, withConnection } from "../../support/TestEngine.ts"

it.effect("a poll that lists everything again and finds it all there keeps its checkpoint, and leaves no row", () =>
  withConnection(function* (source, connection) {
    source.addMany(25)
    const store = yield* WholeStore
    yield* sync(connection)
    source.patch("m000000", {})
    source.expiredBefore = source.log.length
    const result = yield* poll(connection)
    assert.isNull(result.error)
    assert.strictEqual(result.counts.existing, 25)
    assert.strictEqual((yield* store.runs(connection.id, 10)).length, 1)
    const { checkpoint } = Option.getOrThrow(yield* store.connection(connection.id))
    assert.deepStrictEqual(checkpoint, Option.some({ position: 26 }))
  })
)

it.effect("a poll that finds by absence alone that something is gone leaves a row that says so", () =>
  withConnection(function* (source, connection) {
    source.addMany(25)
    const store = yield* WholeStore
    yield* sync(connection)
    source.items.delete("m000003")
    source.patch("m000000", {})
    source.expiredBefore = source.log.length
    const result = yield* poll(connection)
    assert.isNull(result.error)
    assert.strictEqual(result.counts.deleted, 1)
    assert.strictEqual((yield* ids(connection)).length, 24)
    const [run] = yield* store.runs(connection.id, 10)
    assert.strictEqual(run?.id, result.runId)
    assert.deepStrictEqual(run?.counts, result.counts)
  })
)

it.effect("a poll that finds nothing takes its lease and gives it back, and asks the store nothing else", () => {
  const source = new MemorySource()
  source.addMany(5)
  return Effect.gen(function* () {
    const store = yield* WholeStore
    const connection = yield* connect()
    yield* sync(connection)
    const asked: Array<string> = []
    const counting = new Proxy(store, {
      get: (target, name, receiver) => {
        if (typeof name === "string") asked.push(name)
        return Reflect.get(target, name, receiver)
      }
    })
    yield* poll(connection).pipe(Effect.provide(wholeStoreLayer(counting)))
    assert.deepStrictEqual(asked, ["acquire", "release"])
  }).pipe(Effect.provide(layer(source)))
})

it.effect("deletions that a crash left staged are applied by the next poll, though nothing else has changed", () => {
  const source = new MemorySource()
  source.addMany(25)
  return Effect.gen(function* () {
    const store = yield* WholeStore
    const connection = yield* connect()
    yield* sync(connection)
    source.remove("m000003")
    const died = yield* Deferred.make<void>()
    const dying = yield* poll(connection).pipe(
      Effect.provide(
        wholeStoreLayer({
          ...store,
          applyDeletions: () => Effect.andThen(Deferred.succeed(died, undefined), Effect.never),
          // Not even the release of the lease reaches the store.
          release: () => Effect.void
        })
      ),
      Effect.forkChild
    )
    yield* Deferred.await(died)
    assert.strictEqual((yield* store.deletions(connection.id, { which: "staged", limit: 10 })).total, 1)
    yield* TestClock.adjust("31 seconds")
    const result = yield* poll(connection)
    assert.strictEqual(result.counts.deleted, 1)
    assert.strictEqual((yield* ids(connection)).length, 24)
    yield* Fiber.interrupt(dying)
  }).pipe(Effect.provide(layer(source)))
})

it.effect("a run whose row could not be written fails for that, and for nothing else", () => {
  const source = new MemorySource()
  source.addMany(5)
  let away = 1
  return Effect.gen(function* () {
    const store = yield* WholeStore
    const connection = yield* connect()
    const result = yield* poll(connection).pipe(
      Effect.provide(
        wholeStoreLayer({
          ...store,
          beginRun: (fence, run) =>
            Effect.suspend(() =>
              away-- > 0
                ? Effect.fail(new StoreError({ message: "the database is away", cause: "gone" }))
                : store.beginRun(fence, run)
            )
        })
      )
    )
    assert.strictEqual(result.error?.reason, "StoreError")
    const [run] = yield* store.runs(connection.id, 10)
    assert.strictEqual(run?.status, "failed")
    assert.deepStrictEqual(run?.error, result.error)
    assert.isNull((yield* poll(connection)).error)
    assert.strictEqual((yield* ids(connection)).length, 5)
  }).pipe(Effect.provide(layer(source)))
})

it.effect("a poll asks the store once a page what is known, and asks the ledger nothing", () => {
  const source = new MemorySource()
  source.addMany(25)
  return Effect.gen(function* () {
    const store = yield* WholeStore
    const connection = yield* connect()
    const asked: Array<string> = []
    const counting = wholeStoreLayer({
      ...store,
      existing: (...args) => {
        asked.push("existing")
        return store.existing(...args)
      },
      ledger: (...args) => {
        asked.push("ledger")
        return store.ledger(...args)
      }
    })
    const { counts } = yield* poll(connection).pipe(Effect.provide(counting))
    assert.strictEqual(counts.stored, 25)
    assert.deepStrictEqual(asked, ["existing", "existing", "existing"])

    source.patch("m000000", {})
    source.expiredBefore = source.log.length
    assert.strictEqual((yield* poll(connection).pipe(Effect.provide(counting))).counts.existing, 25)
    assert.deepStrictEqual(asked.slice(3), ["existing", "existing", "existing"])
  }).pipe(Effect.provide(layer(source)))
})
