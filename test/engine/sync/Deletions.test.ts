/**
 * Deletions over many slices and polls: no deletion is applied before everything that may contradict it was read, and
 * either all of them are held or none.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import { CheckpointExpired, Forbidden, RateLimited } from "../../../src/contract/IntegrationError.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { bytes, fault, MemorySource, only } from "../../support/MemorySource.ts"
import { Limits } from "../../../src/engine/Limits.ts"
import { connect, engineOver, ids, layer, poll, sync } from "../../support/TestEngine.ts"
import { inParts, polls, stores } from "./deletionFixture.ts"

/** Makes a source of `count` items, and a connection that has stored them, with slices of three pages of 50. */
const mirrored = (count = 600) => {
  const source = new MemorySource()
  source.pageSize = 50
  source.addMany(count)
  return source
}
const limits = { slicePages: 3, retries: 500 }

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

/** Returns the number of held deletions of the connection. */
const held = (connection: Connection) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.deletions(connection.id, { which: "held", limit: 1 }), ({ total }) => total)
  )

for (const [name, store] of stores) {
  describe(`deletions over ${name}`, () => {
    it.effect("of everything, told by changes that take many slices, are all held", () => {
      const source = mirrored()
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        for (const id of source.items.keys()) source.remove(id)
        const result = yield* sync(connection)
        assert.deepInclude(result.counts, { deleted: 0, deletionsHeld: 600 })
        assert.strictEqual((yield* ids(connection)).length, 600)
        assert.strictEqual(yield* held(connection), 600)
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("of everything, told by changes that take many polls, are all held, also where a poll fails", () => {
      const source = mirrored()
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        for (const id of source.items.keys()) source.remove(id)
        yield* poll(connection)
        source.answer = only("changes", fault(new Forbidden({ message: "no" })))
        assert.strictEqual((yield* poll(connection)).error?.reason, "Forbidden")
        source.answer = () => Effect.void
        assert.strictEqual(yield* held(connection), 0)
        const deleted = yield* polls(connection)
        assert.isAtLeast(deleted.length, 3)
        assert.isTrue(deleted.every((count) => count === 0))
        assert.strictEqual(yield* held(connection), 600)
        assert.strictEqual((yield* ids(connection)).length, 600)
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("of everything are held though as much is new in the same reading of the changes", () => {
      const source = mirrored(110)
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        const before = [...source.items.keys()]
        source.addMany(600)
        for (const id of before) source.remove(id)
        const result = yield* sync(connection)
        assert.deepInclude(result.counts, { stored: 600, deleted: 0, deletionsHeld: 110 })
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("told by changes whose rest the source has forgotten wait for the listing, and all are held", () => {
      const source = mirrored()
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        for (const id of [...source.items.keys()].slice(0, 500)) source.remove(id)
        // The two pages that are read report 100 deletions, which would be below the threshold by themselves.
        let asked = 0
        source.answer = (method) => {
          asked += method === "changes" ? 1 : 0
          return asked > 2 ? fault(new CheckpointExpired({ message: "forgotten" })) : Effect.void
        }
        assert.deepInclude((yield* poll(connection)).counts, { deleted: 0 })
        source.addMany(600, "n")
        source.expiredBefore = source.log.length
        source.answer = () => Effect.void
        const deleted = yield* polls(connection)
        assert.isAtLeast(deleted.length, 4)
        assert.isTrue(deleted.every((count) => count === 0))
        assert.strictEqual(yield* held(connection), 500)
        assert.strictEqual((yield* ids(connection)).length, 1200)
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("that are few are applied once the changes are read, and not before", () => {
      const source = mirrored()
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        for (const id of [...source.items.keys()].slice(0, 110)) source.remove(id)
        source.addMany(300, "n")
        const deleted = yield* polls(connection)
        assert.isAtLeast(deleted.length, 3)
        assert.deepStrictEqual(
          deleted.filter((count) => count > 0),
          [110]
        )
        assert.strictEqual(deleted.at(-1), 110)
        assert.strictEqual((yield* ids(connection)).length, 790)
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("that a later slice of the same reading revokes are downloaded again", () => {
      const source = mirrored(60)
      source.tellsAll = true
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        source.downloaded.length = 0
        source.remove("m000000")
        source.addMany(200, "n")
        source.add("m000000", { body: bytes("another body") })
        yield* sync(connection)
        const row = Option.getOrThrow(yield* (yield* WholeStore).content(connection.id, "m000000"))
        assert.deepInclude(row, { state: "stored", hash: sha256("another body") })
        assert.strictEqual(source.downloaded.filter((id) => id === "m000000").length, 1)
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("that are held are taken back by a listing that shows them, without a download", () => {
      const source = mirrored(600)
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        const before = [...source.items]
        for (const [id] of before) source.remove(id)
        yield* sync(connection)
        assert.strictEqual(yield* held(connection), 600)
        source.downloaded.length = 0
        for (const [id, item] of before) source.items.set(id, item)
        source.add("other")
        source.expiredBefore = source.log.length
        yield* sync(connection)
        assert.strictEqual(yield* held(connection), 0)
        assert.deepStrictEqual(source.downloaded, ["other"])
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("found by a pass over many slices are all held, or applied at its end", () => {
      const source = mirrored()
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        const all = [...source.items.keys()]
        for (const id of all.slice(0, 50)) source.items.delete(id)
        source.patch("m000599", {})
        source.expiredBefore = source.log.length
        const few = yield* polls(connection)
        assert.isAtLeast(few.indexOf(50), 3)
        assert.deepStrictEqual(
          few.filter((count) => count > 0),
          [50]
        )

        for (const id of all.slice(50, 300)) source.items.delete(id)
        source.patch("m000599", {})
        source.expiredBefore = source.log.length
        assert.isTrue((yield* polls(connection)).every((count) => count === 0))
        assert.strictEqual(yield* held(connection), 250)
        assert.strictEqual((yield* ids(connection)).length, 550)
        // The source has these items again, so their deletions are removed from the list without a person.
        for (const id of all.slice(50, 300)) source.add(id)
        yield* sync(connection)
        assert.strictEqual(yield* held(connection), 0)
        assert.strictEqual((yield* ids(connection)).length, 550)
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("found part by part wait for the page that says that the pass is complete", () =>
      Effect.gen(function* () {
        const connection = yield* connect()
        for (let slice = 0; slice < 3; slice += 1) yield* poll(connection)
        assert.strictEqual((yield* ids(connection)).length, 120)
        // Each part alone would be below the threshold.
        for (let slice = 0; slice < 2; slice += 1) {
          const { counts } = yield* poll(connection)
          assert.deepInclude(counts, { deleted: 0, deletionsHeld: 0 })
        }
        const { counts } = yield* poll(connection)
        assert.deepInclude(counts, { deleted: 0, deletionsHeld: 120 })
        assert.strictEqual((yield* ids(connection)).length, 120)
      }).pipe(
        Effect.provide(
          Layer.provideMerge(
            engineOver(store, inParts),
            Layer.effect(
              Limits,
              Effect.map(Limits, (defaults) => ({ ...defaults, slicePages: 1 }))
            )
          )
        )
      )
    )

    it.effect("wait for pages that the source kept from being committed", () => {
      const source = mirrored(60)
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        source.remove("m000000")
        source.addMany(50, "later")
        source.answer = (method) =>
          method === "download later000108"
            ? fault(new RateLimited({ message: "slow down", retryAfter: Duration.hours(1) }))
            : Effect.void
        const first = yield* poll(connection)
        assert.deepInclude(first.counts, { deleted: 0 })
        source.answer = () => Effect.void
        yield* TestClock.adjust("2 hours")
        yield* polls(connection)
        assert.deepStrictEqual(yield* ids(connection, "deleted"), ["m000000"])
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })

    it.effect("are not applied by a run that fails after the page that told them", () => {
      const source = mirrored(60)
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        source.remove("m000000")
        source.addMany(60)
        let asked = 0
        source.answer = (method) => {
          asked += method === "changes" ? 1 : 0
          return asked > 1 ? fault(new Forbidden({ message: "no" })) : Effect.void
        }
        assert.strictEqual((yield* poll(connection)).error?.reason, "Forbidden")
        assert.deepStrictEqual(yield* ids(connection, "deleted"), [])
        source.answer = () => Effect.void
        yield* polls(connection)
        assert.deepStrictEqual(yield* ids(connection, "deleted"), ["m000000"])
      }).pipe(Effect.provide(layer(source, { store, limits })))
    })
  })
}
