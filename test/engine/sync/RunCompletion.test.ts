/** The end of a run: its deletions, its row, and the rule that its counts add up. */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import type { Store } from "../../../src/engine/Store.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { replaceMethods, WholeStore } from "../../../src/testing/WholeStore.ts"
import { moving } from "../../support/Moving.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import { connect, ids, layer, poll, shared, sync, withConnection } from "../../support/TestEngine.ts"

const lost = new StoreError({ message: "the connection was lost", cause: "reset" })

const staged = (connection: Connection) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.deletions(connection.id, { which: "staged", limit: 10 }), ({ total }) => total)
  )

const lastRun = (connection: Connection) =>
  Effect.flatMap(WholeStore, (store) => Effect.map(store.runs(connection.id, 1), ([run]) => run))

/** Makes a synced connection over two stores: the real store, and a store with replaced methods. */
const withFaults = (
  source: MemorySource,
  faults: Parameters<typeof replaceMethods>[0],
  test: (given: {
    readonly connection: Connection
    readonly real: ReturnType<typeof layer>
    readonly faulty: ReturnType<typeof layer>
  }) => Effect.fn.Return<void, unknown>
) =>
  Effect.gen(function* () {
    const store: Layer.Layer<Store> = yield* shared
    const real = layer(source, { store })
    const connection = yield* Effect.provide(Effect.tap(connect(), sync), real)
    const faulty = layer(source, { store: Layer.provide(replaceMethods(faults), store) })
    yield* Effect.gen(() => test({ connection, real, faulty }))
  }).pipe(Effect.scoped)

it.effect("a run applies no deletions after a commit that failed", () => {
  const source = new MemorySource()
  source.addMany(20)
  const committed = Deferred.makeUnsafe<void>()
  const faults: Parameters<typeof replaceMethods>[0] = ({ commit }) => ({
    commit: (...args) =>
      args[1].items.some(({ externalId }) => externalId === "last")
        ? Effect.fail(lost)
        : Effect.tap(commit(...args), () => Deferred.succeed(committed, undefined))
  })
  return withFaults(source, faults, function* ({ connection, faulty, real }) {
    source.remove("m000000")
    source.addMany(source.pageSize)
    source.add("last")
    source.answer = (method) => (method === "download last" ? Deferred.await(committed) : Effect.void)
    const result = yield* Effect.provide(moving(poll(connection)), faulty)
    assert.strictEqual(result.error?.reason, "StoreError")
    yield* Effect.gen(function* () {
      assert.strictEqual(yield* staged(connection), 1)
      assert.deepStrictEqual(yield* ids(connection, "deleted"), [])
      assert.deepInclude((yield* sync(connection)).counts, { deleted: 1 })
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()].toSorted())
    }).pipe(Effect.provide(real))
  })
})

it.effect("a run that can't apply its deletions fails with its counts, and the next one applies them", () => {
  const source = new MemorySource()
  source.addMany(20)
  return withFaults(
    source,
    () => ({ applyDeletions: () => Effect.fail(lost) }),
    function* (given) {
      const { connection, faulty, real } = given
      source.remove("m000000")
      source.add("new")
      const result = yield* Effect.provide(poll(connection), faulty)
      assert.strictEqual(result.error?.reason, "StoreError")
      assert.deepInclude(result.counts, { stored: 1, deleted: 0 })
      yield* Effect.gen(function* () {
        assert.deepInclude(yield* lastRun(connection), { status: "failed", counts: result.counts, error: result.error })
        assert.deepInclude((yield* sync(connection)).counts, { stored: 0, deleted: 1 })
      }).pipe(Effect.provide(real))
    }
  )
})

it.effect("a run whose counts don't add up is not a success", () => {
  const source = new MemorySource()
  const faults: Parameters<typeof replaceMethods>[0] = ({ commit }) => ({
    commit: (...args) => Effect.map(commit(...args), (done) => ({ ...done, outcomes: new Map() }))
  })
  return withFaults(source, faults, function* ({ connection, faulty, real }) {
    source.add("new")
    const { error } = yield* Effect.provide(poll(connection), faulty)
    assert.strictEqual(error?.reason, "CountsDontAddUp")
    assert.deepInclude(yield* Effect.provide(lastRun(connection), real), { status: "failed", error })
  })
})

it.effect("a sync that finds nothing counts the deletions that are held, in its row too", () =>
  withConnection(
    function* (source, connection) {
      source.addMany(5)
      yield* sync(connection)
      for (const id of [...source.items.keys()].slice(0, 3)) source.remove(id)
      yield* sync(connection)
      const { counts } = yield* sync(connection)
      assert.deepInclude(counts, { listed: 0, apiCalls: 1, deletionsHeld: 3 })
      assert.deepStrictEqual((yield* lastRun(connection))?.counts, counts)
    },
    { deletions: 1 }
  )
)
