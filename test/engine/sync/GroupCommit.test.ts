/**
 * Commits are grouped: one is in flight at a time, and the next takes the items that have arrived meanwhile, within its
 * bounds.
 */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import type { JsonObject } from "effect/Schema"
import type { Limits } from "../../../src/engine/Limits.ts"
import { layer as wholeStoreLayer, replaceMethods, WholeStore } from "../../../src/testing/WholeStore.ts"
import { MemorySource, only } from "../../support/MemorySource.ts"
import { turn, until } from "../../support/Moving.ts"
import { connect, ids, layer, poll, shared, sync, withConnection } from "../../support/TestEngine.ts"

/** Syncs a page of items while the first commit is held up, and returns the sizes of the commits. */
const commitsOf = Effect.fnUntraced(function* (items: number, limits: Partial<Limits>, metadata: JsonObject = {}) {
  const source = new MemorySource()
  source.pageSize = items
  source.addMany(items)
  for (const id of source.items.keys()) source.add(id, { metadata })
  const store = yield* shared
  const open = yield* Deferred.make<void>()
  const sizes: Array<number> = []
  let inFlight = 0
  const slow = replaceMethods((real) => ({
    ...real,
    commit: (...args: Parameters<typeof real.commit>) =>
      Effect.gen(function* () {
        inFlight += 1
        assert.strictEqual(inFlight, 1, "one commit at a time")
        sizes.push(args[1].items.length)
        if (sizes.length === 1) yield* Deferred.await(open)
        const committed = yield* real.commit(...args)
        inFlight -= 1
        return committed
      })
  })).pipe(Layer.provide(store))
  const connection = yield* connect().pipe(Effect.provide(layer(source, { store })))
  const running = yield* Effect.forkChild(sync(connection).pipe(Effect.provide(layer(source, { store: slow, limits }))))
  yield* until(Effect.sync(() => sizes.length > 0))
  yield* Effect.repeat(turn, { times: 200 })
  const meanwhile = source.downloaded.length
  yield* Deferred.succeed(open, undefined)
  const { counts } = yield* Fiber.join(running)
  assert.strictEqual(counts.stored, items)
  assert.strictEqual((yield* ids(connection).pipe(Effect.provide(store))).length, items)
  return { sizes, meanwhile }
}, Effect.scoped)

it.effect("what comes in while a commit is in flight is the next commit", () =>
  Effect.gen(function* () {
    const { sizes } = yield* commitsOf(40, { batchItems: 10, groupItems: 100, concurrency: 4 })
    assert.deepStrictEqual(sizes, [10, 30])
  })
)

it.effect("a group has at most so many items, and no more is downloaded while it waits", () =>
  Effect.gen(function* () {
    const { meanwhile, sizes } = yield* commitsOf(60, { batchItems: 10, groupItems: 25, concurrency: 4 })
    assert.deepStrictEqual(sizes.slice(0, 2), [10, 25])
    assert.isTrue(sizes.every((size) => size <= 25))
    assert.isAtMost(meanwhile, 10 + 25 + 4 + 16)
  })
)

it.effect("items wait for the age of their batch, and no longer", () =>
  withConnection(function* (source, connection) {
    source.addMany(10)
    source.answer = only("download m000009", Effect.never)
    yield* TestClock.adjust("1 hour")
    const running = yield* Effect.forkChild(sync(connection))
    yield* until(Effect.sync(() => source.downloaded.length === 9))
    yield* TestClock.adjust("3 seconds")
    assert.deepStrictEqual(yield* ids(connection), [])
    yield* TestClock.adjust("3 seconds")
    assert.strictEqual((yield* ids(connection)).length, 9)
    yield* Fiber.interrupt(running)
  })
)

/** A store that counts its commits, and records the deletions of each. */
const counting = (commits: Array<ReadonlyArray<string>>, before: Effect.Effect<void> = Effect.void) =>
  Effect.map(WholeStore, (store) =>
    wholeStoreLayer({
      ...store,
      commit: (...args) => {
        commits.push(args[1].page?.deleted ?? [])
        return Effect.andThen(before, store.commit(...args))
      }
    })
  )

it.effect("several pages of known content end in one commit", () =>
  withConnection(function* (source, connection) {
    source.pageSize = 10
    source.addMany(150)
    yield* sync(connection)
    source.patch("m000000", {})
    source.expiredBefore = source.log.length
    const commits: Array<ReadonlyArray<string>> = []
    const { counts } = yield* poll(connection).pipe(Effect.provide(yield* counting(commits)))
    assert.strictEqual(counts.existing, 150)
    // The last page completes the pass.
    assert.isAtMost(commits.length, 2)
  })
)

it.effect("a page that deletes what is being committed ends in the same run", () =>
  withConnection(
    function* (source, connection) {
      yield* sync(connection)
      source.pageSize = 1
      source.tellsAll = true
      source.add("a")
      source.log.push({ _tag: "Deleted", id: "a" })
      const commits: Array<ReadonlyArray<string>> = []
      const open = yield* Deferred.make<void>()
      const store = yield* counting(commits, Deferred.await(open))
      const running = yield* Effect.forkChild(poll(connection).pipe(Effect.provide(store)))
      yield* until(Effect.sync(() => commits.length === 1))
      yield* Effect.repeat(turn, { times: 50 })
      yield* Deferred.succeed(open, undefined)
      yield* Fiber.join(running)
      assert.deepStrictEqual(commits.flat(), ["a"])
    },
    { batchItems: 1 }
  )
)

it.effect("a group has at most so many bytes of bodies and metadata", () =>
  Effect.gen(function* () {
    const whole = yield* commitsOf(40, { batchItems: 10, concurrency: 4, batchBytes: 1e6 })
    assert.deepStrictEqual(whole.sizes, [10, 30])
    const { sizes } = yield* commitsOf(40, { batchItems: 10, concurrency: 4, batchBytes: 100 })
    assert.isTrue(sizes.every((size) => size < 30))
    const metadata = { text: "x".repeat(100_000) }
    const large = yield* commitsOf(40, { batchItems: 10, concurrency: 4, batchBytes: 1e6 }, metadata)
    assert.isTrue(large.sizes.every((size) => size <= 10))
  })
)
