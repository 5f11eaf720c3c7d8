/** The choice of what a page's items need: a download, a wait for their next attempt, a copy, or nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Malformed, TooLarge } from "../../../src/contract/IntegrationError.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { bytes, failing, fault, type MemorySource, only } from "../../support/MemorySource.ts"
import { ids, poll, sync, withConnection } from "../../support/TestEngine.ts"

/** Stores `b`, and leaves `a` in the ledger. Pages choose all that they list, and list both again. */
const chosenAgain = Effect.fnUntraced(function* (
  source: MemorySource,
  connection: Connection,
  answer: MemorySource["answer"],
  revision: string
) {
  source.by = "revision"
  source.choosesAll = true
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

  it.effect("takes the content that it brings at once", () =>
    withConnection(function* (source, connection) {
      yield* chosenAgain(source, connection, failing("a"), "1")
      source.isInline = true
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
