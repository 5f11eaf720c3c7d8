import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import {
  Forbidden,
  IntegrationError,
  RateLimited,
  Transient,
  Unauthorized
} from "../../../src/contract/IntegrationError.ts"
import { pausedByPerson } from "../../../src/engine/model/Connection.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { moving } from "../../support/Moving.ts"
import { fault, MemorySource, only } from "../../support/MemorySource.ts"
import { connect, ids, layer, poll, sync, withConnection } from "../../support/TestEngine.ts"

describe("a source that refuses", () => {
  it.effect("for a lost grant pauses the connection, and connecting again resumes it", () =>
    withConnection(function* (source, connection) {
      source.addMany(3)
      source.answer = only("list", fault(new Unauthorized({ message: "the grant was revoked" })))
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "failed")
      assert.deepStrictEqual(result.error, { reason: "Unauthorized", message: "the grant was revoked" })
      const store = yield* WholeStore
      const paused = Option.getOrThrow(yield* store.connection(connection.id))
      assert.include(paused.paused ?? "", "the grant was revoked")
      source.answer = () => Effect.void
      assert.isNull((yield* connect()).paused)
      assert.strictEqual((yield* sync(connection)).counts.stored, 3)
    })
  )

  it.effect("has its pause lifted by a sync that works; a person's pause stays", () =>
    withConnection(function* (source, connection) {
      source.addMany(3)
      const store = yield* WholeStore
      const paused = Effect.map(store.connection(connection.id), (row) => Option.getOrThrow(row).paused)
      yield* store.setPaused(connection.id, pausedByPerson)
      assert.strictEqual((yield* sync(connection)).counts.stored, 3)
      assert.strictEqual(yield* paused, pausedByPerson)
      yield* store.setPaused(connection.id, "the grant was revoked")
      yield* sync(connection)
      assert.isNull(yield* paused)
    })
  )

  it.effect("for quota costs no item an attempt: the sync waits as long as asked and goes on", () =>
    withConnection(function* (source, connection) {
      source.addMany(30)
      let refusals = 0
      source.answer = (method) => {
        if (method !== "download m000012" || refusals >= 3) return Effect.void
        refusals += 1
        return fault(new RateLimited({ message: "slow down" }))
      }
      const result = yield* moving(sync(connection))
      assert.strictEqual(result.status, "succeeded")
      assert.deepInclude(result.counts, { failed: 0 })
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()].toSorted())
    })
  )

  it.effect("by our own quota ends the slice, not the sync: nothing is deferred, and nothing is fetched twice", () => {
    const source = new MemorySource()
    source.pageSize = 50
    source.addMany(400)
    return Effect.gen(function* () {
      // At two units a second, a slice of a minute lists and downloads about a page and a half.
      const connection = yield* connect({ config: { quota: { unitsPerMinute: 120 } } })
      const result = yield* moving(sync(connection))
      assert.strictEqual(result.status, "succeeded")
      assert.deepInclude(result.counts, { stored: 400, deferred: 0, retried: 0, downloads: 400 })
      const store = yield* WholeStore
      assert.isAbove((yield* store.runs(connection.id, 100)).length, 2)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("for a long time ends the sync, with what is left deferred", () =>
    withConnection(function* (source, connection) {
      source.addMany(30)
      source.answer = only(
        "download m000012",
        fault(new RateLimited({ message: "come back tomorrow", retryAfter: Duration.hours(8) }))
      )
      const result = yield* moving(sync(connection))
      assert.strictEqual(result.error?.reason, "RateLimited")
      assert.isAbove(result.counts.deferred, 1)
      assert.strictEqual(result.counts.failed, 0)
      const store = yield* WholeStore
      assert.include(yield* ids(connection, "deferred"), "m000012")
      const after = Option.getOrThrow(yield* store.connection(connection.id))
      assert.isNull(after.paused)
      const wait = DateTime.distance(yield* DateTime.now, after.nextPollAt)
      assert.isAbove(Duration.toHours(wait), 7)
    })
  )

  it.effect("for a long time ends a task of its own, which only the same command continues", () =>
    withConnection(function* (source, connection) {
      source.addMany(3)
      source.answer = only("list", fault(new RateLimited({ message: "tomorrow", retryAfter: Duration.hours(8) })))
      const live = yield* moving(sync(connection))
      assert.include(live.error?.message ?? "", "a later poll continues")
      const { error } = yield* moving(sync(connection, { force: true }))
      assert.notInclude(error?.message ?? "", "poll")
      assert.include(error?.message ?? "", "the same command continues it within 1d")
    })
  )

  it.effect("for a century is asked again after a day, and the connection says until when", () =>
    withConnection(function* (source, connection) {
      source.addMany(3)
      const asked = new RateLimited({ message: "slow down", retryAfter: Duration.seconds(9_999_999_999) })
      source.answer = only("download m000001", fault(asked))
      const result = yield* moving(sync(connection))
      assert.include(result.error?.message ?? "", "asks to wait 1d")
      const store = yield* WholeStore
      const after = Option.getOrThrow(yield* store.connection(connection.id))
      const wait = DateTime.distance(yield* DateTime.now, after.nextPollAt)
      assert.isAtMost(Duration.toHours(wait), 24)
      assert.isAbove(Duration.toHours(wait), 23)
      assert.deepStrictEqual(after.askedWaitUntil, after.nextPollAt)

      source.answer = () => Effect.void
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* moving(sync(connection))).error, null)
      assert.isNull(Option.getOrThrow(yield* store.connection(connection.id)).askedWaitUntil)
    })
  )

  it.effect(
    "shows on the connection that it asked to wait, also if a forced task or an earlier run was refused",
    () => {
      const source = new MemorySource()
      source.addMany(3)
      const asked = new RateLimited({ message: "slow down", retryAfter: Duration.hours(2) })
      return Effect.gen(function* () {
        const store = yield* WholeStore
        const connection = yield* connect()
        const other = yield* connect({ name: "other" })
        const hoursAsked = Effect.gen(function* () {
          const { askedWaitUntil } = Option.getOrThrow(yield* store.connection(connection.id))
          return askedWaitUntil === null
            ? null
            : Duration.toHours(DateTime.distance(yield* DateTime.now, askedWaitUntil))
        })
        source.answer = only("list", fault(asked))
        const { status } = yield* moving(sync(connection, { force: true }))
        assert.strictEqual(status, "failed")
        assert.closeTo((yield* hoursAsked) ?? 0, 2, 0.1)
        // A connection of the same account that got no refusal waits too, because of the shared budget.
        assert.strictEqual((yield* poll(other)).next._tag, "Wait")
        const { askedWaitUntil, lastCheckedAt } = Option.getOrThrow(yield* store.connection(other.id))
        assert.isNotNull(askedWaitUntil)
        assert.isNull(lastCheckedAt)
        source.answer = () => Effect.void
        yield* TestClock.adjust("2 hours")
        yield* poll(connection)
        assert.isNull(yield* hoursAsked)
      }).pipe(Effect.provide(layer(source)))
    }
  )

  it.effect("by the stream of a body is bounded too", () =>
    withConnection(function* (source, connection) {
      const asked = new RateLimited({ message: "slow down", retryAfter: Duration.infinity })
      source.add("a", { body: Stream.fail(new IntegrationError({ reason: asked })) })
      yield* moving(sync(connection))
      const after = Option.getOrThrow(yield* (yield* WholeStore).connection(connection.id))
      assert.isAtMost(Duration.toHours(DateTime.distance(yield* DateTime.now, after.nextPollAt)), 24)
    })
  )

  for (const [name, reason] of [
    ["is down", new Transient({ message: "503" })],
    ["refuses the account", new Forbidden({ message: "suspended", ofAccount: true })]
  ] as const) {
    it.effect(`that ${name} costs no item an attempt, and fails the run`, () =>
      withConnection(function* (source, connection) {
        source.addMany(40)
        source.answer = (method) =>
          method.startsWith("download") && source.downloaded.length >= 10 ? fault(reason) : Effect.void
        const result = yield* moving(sync(connection))
        assert.strictEqual(result.status, "failed")
        assert.strictEqual(result.error?.reason, reason._tag)
        assert.deepInclude(result.counts, { failed: 0 })
        const store = yield* WholeStore
        const ledger = yield* store.ledger(connection.id, { limit: 100 })
        assert.isTrue(ledger.every((row) => row.state === "deferred" && row.attempts === 0))

        source.answer = () => Effect.void
        assert.strictEqual((yield* sync(connection)).status, "succeeded")
        assert.strictEqual((yield* ids(connection)).length, 40)
      })
    )
  }

  it.effect("because it is down gets no more requests in this slice, though it would answer again", () =>
    withConnection(
      function* (source, connection) {
        source.addMany(40)
        source.answer = (method) =>
          /^download m00001[0-4]$/.test(method) ? fault(new Transient({ message: "503" })) : Effect.void
        assert.strictEqual((yield* moving(poll(connection))).error?.reason, "Transient")
        assert.strictEqual(source.downloaded.length, 10)
      },
      { concurrency: 1 }
    )
  )

  it.effect("one item with a fault that passes is asked again at once", () => {
    const source = new MemorySource()
    source.add("a")
    let faults = 2
    source.answer = () => {
      faults -= 1
      return faults >= 0 ? fault(new Transient({ message: "reset" })) : Effect.void
    }
    return Effect.gen(function* () {
      const connection = yield* moving(connect())
      const result = yield* moving(sync(connection))
      assert.deepInclude(result.counts, { stored: 1, failed: 0 })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("the whole listing fails the run, and reads as no deletion", () =>
    withConnection(function* (source, connection) {
      source.addMany(5)
      yield* sync(connection)
      source.answer = only("changes", fault(new Forbidden({ message: "no access" })))
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "failed")
      assert.strictEqual((yield* ids(connection)).length, 5)
    })
  )
})
