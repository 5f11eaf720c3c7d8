import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import { Forbidden, IntegrationError } from "../../../src/contract/IntegrationError.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { bytes } from "../../support/MemorySource.ts"
import { connect, engineOver, ids, poll, sync, withConnection } from "../../support/TestEngine.ts"
import { inParts } from "./deletionFixture.ts"

describe("a dry run", () => {
  it.effect("says how many deletions would be held, and the run then holds as many", () =>
    withConnection(function* (source, connection) {
      source.addMany(300)
      yield* sync(connection)
      for (const id of [...source.items.keys()].slice(0, 150)) source.remove(id)
      const { planned } = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(planned, { download: 0, delete: 150, patch: 0, held: 150 })
      assert.deepInclude((yield* sync(connection)).counts, { deleted: 0, deletionsHeld: 150 })
      const later = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(later.planned, { download: 0, delete: 0, patch: 0, held: 150 })
      const few = [...source.items.keys()].slice(0, 3)
      for (const id of few) source.remove(id)
      const again = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(again.planned, { download: 0, delete: 3, patch: 0, held: 153 })
    })
  )

  it.effect("counts as absent what the listing does not show, not what it would download", () =>
    withConnection(function* (source, connection) {
      source.by = "revision"
      for (let index = 0; index < 15; index++) source.add(`a${index}`, { revision: "1" })
      yield* sync(connection)
      source.items.delete("a0")
      source.add("a1", { revision: "2", body: bytes("edited") })
      source.expiredBefore = source.log.length + 1
      const forced = yield* sync(connection, { dryRun: true, force: true })
      // Only the connection's own sync deletes what is absent.
      assert.deepStrictEqual(forced.planned, { download: 14, delete: 0, patch: 0, held: 0 })
      const { planned } = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(planned, { download: 1, delete: 1, patch: 0, held: 0 })
      assert.deepInclude((yield* sync(connection)).counts, { downloads: 1, updated: 1, deleted: 1 })
    })
  )

  it.effect("counts what is absent from parts that a listing covers one after the other", () =>
    Effect.gen(function* () {
      const connection = yield* connect()
      yield* poll(connection)
      assert.strictEqual((yield* ids(connection)).length, 120)
      const { planned } = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(planned, { download: 0, delete: 120, patch: 0, held: 120 })
      assert.deepInclude((yield* poll(connection)).counts, { deleted: 0, deletionsHeld: 120 })
    }).pipe(Effect.provide(engineOver(Memory.layer, inParts)))
  )

  it.effect("goes on with an interrupted listing, and counts nothing as absent that it has shown", () =>
    withConnection(function* (source, connection) {
      source.addMany(30)
      const pages = yield* Ref.make(0)
      source.answer = (method) =>
        method === "list"
          ? Effect.flatMap(
              Ref.updateAndGet(pages, (count) => count + 1),
              (count) =>
                count === 3
                  ? Effect.fail(new IntegrationError({ reason: new Forbidden({ message: "no" }) }))
                  : Effect.void
            )
          : Effect.void
      assert.deepInclude((yield* sync(connection)).counts, { stored: 20 })
      const { planned } = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(planned, { download: 10, delete: 0, patch: 0, held: 0 })
    })
  )

  it.effect("says what would be done and leaves the store as it was", () =>
    withConnection(function* (source, connection) {
      source.addMany(12)
      yield* sync(connection)
      source.addMany(2)
      source.remove("m000001")
      source.patch("m000002", { label: "x" })
      const store = yield* WholeStore
      const before = yield* store.connection(connection.id)
      const result = yield* sync(connection, { dryRun: true })
      assert.strictEqual(result.status, "planned")
      assert.isNull(result.run)
      assert.deepStrictEqual(result.planned, { download: 2, delete: 1, patch: 1, held: 0 })
      assert.deepStrictEqual(yield* store.connection(connection.id), before)
      assert.strictEqual((yield* ids(connection)).length, 12)
    })
  )
})
