/** The decision about each item of a page: a download, a wait for the next attempt, a copy, or nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Malformed, TooLarge, Unsettled } from "../../../src/contract/IntegrationError.ts"
import type * as SyncTask from "../../../src/contract/SyncTask.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { replaceMethods, WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { bytes, failing, fault, MemorySource, only } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import { connect, ids, layer, poll, sync, withConnection } from "../../support/TestEngine.ts"

/** Stores `b`, and leaves `a` in the ledger. Pages choose every listed item, and list both again. */
const chosenAgain = Effect.fnUntraced(function* (
  source: MemorySource,
  connection: Connection,
  answer: MemorySource["answer"],
  revision: string
) {
  source.by = "revision"
  source.alter = ({ listed }) => ({ download: listed })
  source.add("a", { revision: "1" })
  source.add("b", { revision: "1" })
  source.answer = answer
  assert.deepInclude((yield* sync(connection)).counts, { stored: 1, failed: 1 })
  source.answer = () => Effect.void
  source.downloaded.length = 0
  source.add("a", { revision })
})

describe("a page that chooses an item that failed", () => {
  it.effect("waits for its next attempt, and then downloads it once", () =>
    withConnection(function* (source, connection) {
      yield* chosenAgain(source, connection, failing("a"), "1")
      assert.deepInclude((yield* poll(connection)).counts, { listed: 1, existing: 1, downloads: 0 })
      assert.deepStrictEqual(source.downloaded, [])
      yield* TestClock.adjust(Duration.minutes(2))
      source.add("a", { revision: "1" })
      assert.deepInclude((yield* poll(connection)).counts, { listed: 1, retried: 0, stored: 1 })
      assert.deepStrictEqual(source.downloaded, ["a"])
    })
  )

  it.effect("does not wait for another revision of it", () =>
    withConnection(function* (source, connection) {
      yield* chosenAgain(source, connection, failing("a"), "2")
      assert.deepInclude((yield* poll(connection)).counts, { listed: 1, stored: 1 })
    })
  )

  it.effect("leaves a dead one alone until it has another revision", () =>
    withConnection(function* (source, connection) {
      yield* chosenAgain(source, connection, only("download a", fault(new TooLarge({ message: "no" }))), "1")
      assert.deepStrictEqual(yield* ids(connection, "dead"), ["a"])
      yield* TestClock.adjust(Duration.days(3))
      assert.deepInclude((yield* poll(connection)).counts, { listed: 1, existing: 1, downloads: 0 })
      source.add("a", { revision: "2" })
      assert.deepInclude((yield* poll(connection)).counts, { listed: 1, stored: 1 })
    })
  )

  it.effect("stores content that comes with the listing at once", () =>
    withConnection(function* (source, connection) {
      yield* chosenAgain(source, connection, failing("a"), "1")
      const content = { kind: "message", metadata: {}, body: bytes("body of a") }
      source.alter = ({ listed }) => ({ download: listed.map((ref) => ({ ...ref, content })) })
      assert.deepInclude((yield* poll(connection)).counts, { listed: 1, stored: 1, downloads: 0 })
    })
  )
})

it.effect("a task of a window takes failed items of its window once they are due, and no others", () =>
  withConnection(function* (source, connection) {
    const at = DateTime.makeUnsafe("2026-06-01T00:00:00Z")
    const window = { since: DateTime.makeUnsafe("2026-03-01T00:00:00Z") }
    source.add("a", { at })
    source.add("old", { at: DateTime.makeUnsafe("2026-01-01T00:00:00Z") })
    source.add("b", { at })
    source.answer = (method) =>
      method === "download b" || method === "list" || method === "changes"
        ? Effect.void
        : fault(new Malformed({ message: "cut off" }))
    assert.deepInclude((yield* sync(connection)).counts, { stored: 1, failed: 2 })
    source.answer = () => Effect.void
    assert.deepInclude((yield* sync(connection, { window })).counts, { listed: 2, existing: 2, downloads: 0 })
    yield* TestClock.adjust(Duration.minutes(2))
    assert.deepInclude((yield* sync(connection, { window })).counts, { listed: 2, existing: 1, stored: 1, retried: 0 })
    assert.deepStrictEqual(yield* ids(connection, "failed"), ["old"])
  })
)

it.effect("an item that a page chooses and does not list is downloaded, and counted as listed", () =>
  withConnection(function* (source, connection) {
    source.addMany(15)
    source.alter = ({ listed }) => ({ listed: listed.slice(5) })
    assert.deepInclude((yield* sync(connection)).counts, { listed: 15, stored: 15, existing: 0 })
  })
)

it.effect("an id that can't be stored never reaches the store", () => {
  const source = new MemorySource()
  const unusable = "bad\0id"
  const reached: Array<string> = []
  const store = replaceMethods(({ commit }) => ({
    commit: (fence, batch) => {
      reached.push(JSON.stringify([batch.items.map(({ externalId }) => externalId), batch.ledgerUpdates, batch.page]))
      return commit(fence, batch)
    }
  })).pipe(Layer.provide(Memory.layer))
  return Effect.gen(function* () {
    const connection = yield* connect()
    source.add("good")
    source.add(unusable)
    source.alter = () => ({ deleted: [unusable], patches: [{ externalId: unusable, metadata: { label: "new" } }] })
    assert.deepInclude((yield* sync(connection)).counts, { stored: 1, failed: 1, patched: 0, deleted: 0 })
    assert.notInclude(reached.join(), JSON.stringify(unusable).slice(1, -1))
  }).pipe(Effect.provide(layer(source, { store })))
})

it.effect("what is due again is read from the ledger once a slice, however many pages are listed", () => {
  const source = new MemorySource()
  let reads = 0
  const store = replaceMethods(({ retriesDue }) => ({
    retriesDue: (...args) => {
      reads += 1
      return retriesDue(...args)
    }
  })).pipe(Layer.provide(Memory.layer))
  return Effect.gen(function* () {
    const connection = yield* connect()
    source.addMany(30)
    source.answer = only("download m000003", fault(new Unsettled({ message: "still changes" })))
    assert.deepInclude((yield* sync(connection)).counts, { stored: 29, deferred: 1 })
    source.expiredBefore = source.log.length + 1
    source.patch("m000004", {})
    reads = 0
    assert.deepInclude((yield* poll(connection)).counts, { listed: 30, retried: 1, deferred: 1 })
    assert.strictEqual(reads, 1)
  }).pipe(Effect.provide(layer(source, { store })))
})

describe("what a task has downloaded", () => {
  /**
   * Interrupts a command during the download of `m000007`, and returns the downloads of the same command when it is
   * repeated.
   */
  const interrupted = (task: Partial<SyncTask.SyncTask>) =>
    withConnection(
      function* (source, connection) {
        source.addMany(10)
        source.answer = only("download m000007", Effect.never)
        const running = yield* Effect.forkChild(sync(connection, task))
        yield* until(Effect.sync(() => source.downloaded.length === 9))
        yield* Fiber.interrupt(running)
        source.answer = () => Effect.void
        source.downloaded.length = 0
        assert.strictEqual((yield* sync(connection, task)).status, "succeeded")
        assert.deepStrictEqual(source.downloaded, ["m000007"])
      },
      { concurrency: 16 }
    )
  const forceIds = Array.from({ length: 10 }, (_, index) => `m00000${index}`)

  it.effect("by force is not downloaded again once it goes on", () => interrupted({ force: true }))
  it.effect("by ids is not downloaded again once it goes on", () => interrupted({ forceIds }))

  it.effect("by an id is not downloaded again by its listing", () =>
    withConnection(function* (source, connection) {
      source.addMany(3)
      const { counts } = yield* sync(connection, { force: true, forceIds: ["m000001"] })
      assert.deepInclude(counts, { forced: 1, listed: 3, existing: 1, stored: 3, downloads: 3 })
    })
  )
})

describe("an item that is listed as a copy", () => {
  it.effect("of a stored one is not downloaded, and has its body", () =>
    withConnection(function* (source, connection) {
      source.add("original", { bodyKey: "key", body: bytes("the body") })
      yield* sync(connection)
      source.downloaded.length = 0
      source.add("copy", { copyOf: "key", body: bytes("the body") })
      assert.deepInclude((yield* sync(connection)).counts, { listed: 1, stored: 1, downloads: 0 })
      assert.deepStrictEqual(source.downloaded, [])
      const store = yield* WholeStore
      const [original, copy] = yield* Effect.forEach(["original", "copy"], (id) => store.content(connection.id, id))
      assert.deepStrictEqual(copy?.pipe(Option.map(({ hash }) => hash)), original?.pipe(Option.map(({ hash }) => hash)))
    })
  )

  it.effect("of one that is not there is downloaded", () =>
    withConnection(function* (source, connection) {
      source.add("copy", { copyOf: "key" })
      assert.deepInclude((yield* sync(connection)).counts, { listed: 1, stored: 1, downloads: 1 })
    })
  )
})
