/** Retries that are in flight while a page reports a change of the same ids. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { Malformed } from "../../../src/contract/IntegrationError.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { bytes, failing, fault, MemorySource, only } from "../../support/MemorySource.ts"
import { moving, turn, until } from "../../support/Moving.ts"
import { connect, ids, layer, poll, sync, withConnection } from "../../support/TestEngine.ts"

describe("a retry in flight", () => {
  it.effect("is not begun for an id that the changes before it delete, though its bytes are still served", () =>
    withConnection(function* (source, connection) {
      source.add("a")
      source.add("b")
      source.answer = failing("a")
      yield* sync(connection)
      assert.deepStrictEqual(yield* ids(connection, "failed"), ["a"])
      // The page that deletes the item is not committed while another of its items is still being downloaded.
      source.log.push({ _tag: "Deleted", id: "a" })
      source.add("c")
      source.tellsAll = true
      const gate = yield* Deferred.make<void>()
      source.answer = only("download c", Deferred.await(gate))
      source.downloaded.length = 0
      const running = yield* Effect.forkChild(sync(connection))
      yield* Effect.repeat(turn, { times: 50 })
      yield* Deferred.succeed(gate, undefined)
      assert.deepInclude(yield* Fiber.join(running), { status: "succeeded" })
      assert.deepStrictEqual(source.downloaded, ["c"])
      assert.deepStrictEqual(yield* ids(connection), ["b", "c"])
      assert.deepStrictEqual(yield* (yield* WholeStore).ledger(connection.id, { limit: 10 }), [])
    })
  )

  it.effect("is begun for an id that the changes delete and list again", () =>
    withConnection(function* (source, connection) {
      source.add("a")
      source.answer = failing("a")
      yield* sync(connection)
      source.remove("a")
      source.add("a")
      source.tellsAll = true
      source.pageSize = 1
      source.answer = () => Effect.void
      yield* sync(connection)
      yield* sync(connection)
      assert.deepStrictEqual(yield* ids(connection), ["a"])
    })
  )

  /** A failed item is deleted and listed again in one slice, while the page that deletes it waits for a download. */
  const deletedAndListedAgain = (failsAgain: boolean) => {
    const source = new MemorySource()
    source.add("a")
    source.answer = failing("a")
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.add("c")
      source.remove("a")
      source.add("a")
      source.tellsAll = true
      source.pageSize = 2
      const gate = yield* Deferred.make<void>()
      const answerTo = failsAgain ? failing("a") : () => Effect.void
      source.answer = (method) => (method === "download c" ? Deferred.await(gate) : answerTo(method))
      // The retry is not due yet.
      const running = yield* Effect.forkChild(poll(connection))
      yield* Effect.repeat(turn, { times: 50 })
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(running)
      assert.deepStrictEqual(yield* ids(connection), failsAgain ? ["c"] : ["a", "c"])
      const ledger = yield* (yield* WholeStore).ledger(connection.id, { limit: 10 })
      assert.deepStrictEqual(
        ledger.map(({ externalId }) => externalId),
        failsAgain ? ["a"] : []
      )
    }).pipe(Effect.provide(layer(source)))
  }
  it.effect("is not needed where the changes delete the id and list it again", () => deletedAndListedAgain(false))
  it.effect("is kept where the changes delete the id and list it again, and it fails again", () =>
    deletedAndListedAgain(true)
  )

  it.effect("is kept where the changes list, delete and list an id, and its first download fails", () =>
    withConnection(function* (source, connection) {
      source.add("b")
      yield* sync(connection)
      source.add("a")
      source.remove("a")
      source.add("a")
      source.tellsAll = true
      source.pageSize = 1
      const gate = yield* Deferred.make<void>()
      let asked = 0
      source.answer = (method) => {
        if (method !== "download a") return Effect.void
        asked += 1
        return asked === 1
          ? Effect.andThen(Deferred.await(gate), fault(new Malformed({ message: "cut off" })))
          : Effect.void
      }
      const running = yield* Effect.forkChild(poll(connection))
      yield* Effect.repeat(turn, { times: 50 })
      yield* Deferred.succeed(gate, undefined)
      yield* moving(Fiber.join(running))
      assert.deepStrictEqual(yield* ids(connection), ["a", "b"])
    })
  )

  /**
   * Leaves a retry of `a` in its download while a page of the listing, which does not list `a`, is otherwise complete.
   */
  const duringListing = (aside: ReturnType<MemorySource["alter"]>, source: MemorySource) =>
    Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.answer = failing("a")
      source.add("a", { revision: "2", metadata: { label: "old" } })
      yield* sync(connection)
      source.addMany(5)
      source.unlisted.add("a")
      source.expiredBefore = source.log.length
      source.alter = ({ listing }) => (listing === undefined ? {} : aside)
      const gate = yield* Deferred.make<void>()
      source.answer = only("download a", Deferred.await(gate))
      const running = yield* Effect.forkChild(sync(connection))
      yield* until(Effect.map(ids(connection), (there) => there.length >= 6))
      yield* Deferred.succeed(gate, undefined)
      const result = yield* moving(Fiber.join(running))
      assert.deepInclude(result, { status: "succeeded" })
      return connection
    })

  it.effect("is committed before the page that deletes its id", () => {
    const source = new MemorySource()
    source.by = "revision"
    source.add("a", { revision: "1", body: bytes("first") })
    return Effect.gen(function* () {
      const connection = yield* duringListing({ deleted: ["a"] }, source)
      assert.deepStrictEqual(yield* ids(connection, "deleted"), ["a"])
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("is committed before the page that patches its id", () => {
    const source = new MemorySource()
    source.by = "revision"
    source.add("a", { revision: "1", body: bytes("first") })
    return Effect.gen(function* () {
      const patch = { externalId: "a", metadata: { label: "new" } }
      const connection = yield* duringListing({ patches: [patch] }, source)
      const row = yield* (yield* WholeStore).content(connection.id, "a")
      assert.deepStrictEqual(Option.getOrThrow(row).metadata, { label: "new" })
    }).pipe(Effect.provide(layer(source)))
  })
})
