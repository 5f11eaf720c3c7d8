/**
 * After a change of scope, content outside the new scope is not deleted, and deletions inside the new scope continue.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Malformed } from "../../../src/contract/IntegrationError.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../../src/testing/WholeStore.ts"
import { fault, MemorySource } from "../../support/MemorySource.ts"
import { connect, ids, layer, poll, sync } from "../../support/TestEngine.ts"
import { polls, stores } from "./deletionFixture.ts"

for (const [name, store] of stores) {
  describe(`deletions over ${name}`, () => {
    it.effect("are none after a change of scope, whatever comes between it and the end of a listing", () => {
      const source = new MemorySource()
      source.pageSize = 3
      source.addMany(10, "a/")
      source.addMany(10, "b/")
      return Effect.gen(function* () {
        const port = yield* WholeStore
        const connection = yield* connect()
        yield* sync(connection)
        yield* connect({ config: { folder: "a/" } })
        // The process dies after the change is stored, before anything is listed.
        const away = new StoreError({ message: "the database is away", cause: "gone" })
        const died = yield* poll(connection).pipe(
          Effect.provide(wholeStoreLayer({ ...port, commit: () => Effect.fail(away) }))
        )
        assert.strictEqual(died.error?.reason, "StoreError")
        // The listing makes progress, its checkpoint expires, and it begins again under another name.
        assert.strictEqual((yield* poll(connection)).next._tag, "More")
        const passes = source.passes
        source.patch("a/000000", {})
        source.expiredBefore = source.log.length
        const later = yield* polls(connection)
        assert.isAbove(source.passes, passes)
        assert.isTrue(later.every((count) => count === 0))
        // Later listings delete nothing either.
        source.patch("a/000000", {})
        source.expiredBefore = source.log.length
        assert.isTrue((yield* polls(connection)).every((count) => count === 0))
        assert.strictEqual((yield* ids(connection)).length, 20)
        assert.strictEqual((yield* port.deletions(connection.id, { which: "staged", limit: 1 })).total, 0)
        // Content in the present scope is deleted as before.
        source.items.delete("a/000003")
        source.patch("a/000000", {})
        source.expiredBefore = source.log.length
        yield* polls(connection)
        assert.deepStrictEqual(yield* ids(connection, "deleted"), ["a/000003"])
      }).pipe(Effect.provide(layer(source, { store, limits: { slicePages: 2 } })))
    })

    it.effect("are none of content outside the scope that was stored by its id or by a task of another scope", () => {
      const source = new MemorySource()
      source.addMany(3, "a/")
      source.add("b/retried")
      const isBroken = (method: string) => method === "download b/retried"
      source.answer = (method) => (isBroken(method) ? fault(new Malformed({ message: "not now" })) : Effect.void)
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* poll(connection)
        const narrow = yield* connect({ config: { folder: "a/" } })
        yield* poll(connection)
        // A retry of an item that was listed under the wider scope.
        source.answer = () => Effect.void
        yield* TestClock.adjust("1 day")
        yield* polls(connection)
        // An id that a person forces.
        source.add("b/forced")
        yield* sync(narrow, { forceIds: ["b/forced"] })
        // A task that lists under a scope that no poll uses.
        source.add("b/listed")
        const wide = yield* connect({ config: { folder: "b/" } })
        yield* sync(wide, { force: true })
        yield* connect({ config: { folder: "a/" } })
        const outside = ["b/forced", "b/listed", "b/retried"]
        assert.deepStrictEqual((yield* ids(connection)).slice(3), outside)

        // A task of the present scope lists items in it.
        source.add("a/listed")
        yield* sync(narrow, { force: true })
        for (const id of ["a/000001", "a/listed"]) source.items.delete(id)
        source.patch("a/000000", {})
        source.expiredBefore = source.log.length
        yield* polls(connection)
        assert.deepStrictEqual(yield* ids(connection), ["a/000000", "a/000002", ...outside])
        assert.deepStrictEqual(yield* ids(connection, "deleted"), ["a/000001", "a/listed"])
      }).pipe(Effect.provide(layer(source, { store })))
    })

    it.effect("are none after a change of scope before the first listing came to its first page's end", () => {
      const source = new MemorySource()
      source.addMany(10, "a/")
      source.addMany(10, "b/")
      return Effect.gen(function* () {
        const port = yield* WholeStore
        const connection = yield* connect()
        // The downloaded items are stored; the page's checkpoint is not.
        const cut = yield* poll(connection).pipe(
          Effect.provide(
            wholeStoreLayer({
              ...port,
              commit: (fence, batch) => port.commit(fence, { ...batch, page: undefined })
            })
          )
        )
        assert.isNull(cut.error)
        assert.strictEqual((yield* ids(connection)).length, 20)
        assert.isTrue(Option.isNone(Option.getOrThrow(yield* port.connection(connection.id)).checkpoint))
        yield* connect({ config: { folder: "a/" } })
        assert.isTrue((yield* polls(connection)).every((count) => count === 0))
        assert.strictEqual((yield* ids(connection)).length, 20)
      }).pipe(Effect.provide(layer(source, { store })))
    })
  })
}
