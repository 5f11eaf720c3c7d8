/** When a deletion is applied: not before all that may revoke it was read and committed, and not later. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RateLimited } from "../../../src/contract/IntegrationError.ts"
import { bytes, fault, MemorySource } from "../../support/MemorySource.ts"
import { moving } from "../../support/Moving.ts"
import { connect, ids, layer, poll, sync } from "../../support/TestEngine.ts"
import { polls } from "./deletionFixture.ts"

const refused = fault(new RateLimited({ message: "slow down", retryAfter: Duration.hours(1) }))

/** Makes a source of 60 items in pages of 10, of which a connection has stored 20: its backfill goes on. */
const backfilling = () => {
  const source = new MemorySource()
  source.addMany(60)
  return source
}

describe("a deletion", () => {
  it.effect("is applied with the last page of the changes, though the backfill goes on and is cut off", () => {
    const source = backfilling()
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* poll(connection)
      source.remove("m000000")
      let refusals = 0
      source.answer = (method) => {
        if (!method.startsWith("download")) return Effect.void
        refusals += 1
        return refused
      }
      assert.deepInclude((yield* poll(connection)).counts, { deleted: 1, stored: 0 })
      assert.isAbove(refusals, 0)
      assert.deepStrictEqual(yield* ids(connection, "deleted"), ["m000000"])
    }).pipe(Effect.provide(layer(source, { limits: { slicePages: 2 } })))
  })

  it.effect("waits for a page of the changes that could not be committed, though the backfill goes on", () => {
    const source = backfilling()
    source.tellsAll = true
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* poll(connection)
      const listed = yield* Deferred.make<void>()
      // The first page of the changes tells the deletion, and the second one takes it back.
      source.remove("m000000")
      source.addMany(9, "n")
      source.add("m000000", { body: bytes("another body") })
      source.answer = (method) => {
        if (method === "list") return Effect.asVoid(Deferred.succeed(listed, undefined))
        return method === "download m000000" ? Effect.andThen(Deferred.await(listed), refused) : Effect.void
      }
      assert.deepInclude((yield* poll(connection)).counts, { deleted: 0 })
      assert.isTrue(yield* Deferred.isDone(listed))
      source.answer = () => Effect.void
      yield* TestClock.adjust("2 hours")
      assert.isTrue((yield* polls(connection)).every((count) => count === 0))
      assert.include(yield* ids(connection), "m000000")
    }).pipe(Effect.provide(layer(source, { limits: { slicePages: 3 } })))
  })

  it.effect("waits for a page of the changes that could not be committed, though all were read", () => {
    const source = new MemorySource()
    source.addMany(20)
    source.tellsAll = true
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.remove("m000000")
      source.addMany(9, "n")
      source.add("m000000", { body: bytes("another body") })
      // The refusal comes after the source has told that it has no more pages.
      source.answer = (method) =>
        method === "download m000000" ? Effect.andThen(Effect.sleep("1 second"), refused) : Effect.void
      assert.deepInclude((yield* moving(poll(connection))).counts, { deleted: 0 })
      source.answer = () => Effect.void
      yield* TestClock.adjust("2 hours")
      assert.isTrue((yield* polls(connection)).every((count) => count === 0))
      assert.strictEqual((yield* ids(connection)).length, 29)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("waits for the pass that replaces forgotten changes, though its first page could not be committed", () => {
    const source = new MemorySource()
    source.by = "revision"
    source.addMany(60)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.remove("m000000")
      source.addMany(20, "n")
      assert.strictEqual((yield* poll(connection)).next._tag, "More")
      // The source has forgotten that the id came back. The last page of the pass shows it.
      source.add("m000000")
      source.expiredBefore = source.log.length
      source.items.set("m000001", { body: bytes("another body"), revision: "2" })
      source.answer = (method) => (method === "download m000001" ? refused : Effect.void)
      assert.deepInclude((yield* poll(connection)).counts, { listed: 10, deleted: 0 })
      source.answer = () => Effect.void
      yield* TestClock.adjust("2 hours")
      assert.isTrue((yield* polls(connection)).every((count) => count === 0))
      assert.strictEqual((yield* ids(connection)).length, 80)
    }).pipe(Effect.provide(layer(source, { limits: { slicePages: 1 } })))
  })

  it.effect("that a page of a listing tells is applied once the listing ends, though it covers nothing", () => {
    const source = new MemorySource()
    source.addMany(30)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.remove("m000000")
      source.expiredBefore = source.log.length
      source.alter = ({ listed }) => ({
        deleted: listed[0]?.externalId === "m000001" ? ["m000000"] : [],
        covers: []
      })
      assert.deepStrictEqual(yield* polls(connection), [0, 1])
      assert.deepStrictEqual(yield* ids(connection, "deleted"), ["m000000"])
    }).pipe(Effect.provide(layer(source, { limits: { slicePages: 2 } })))
  })
})
