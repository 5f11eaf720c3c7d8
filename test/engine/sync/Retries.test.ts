/** The delays after failures, and when an item is given up. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Forbidden, Malformed, RateLimited, TooLarge, Transient } from "../../../src/contract/IntegrationError.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { failing, fault, MemorySource } from "../../support/MemorySource.ts"
import { moving } from "../../support/Moving.ts"
import { connect, ids, layer, poll, sync, withConnection } from "../../support/TestEngine.ts"

/** A source with one item, whose download fails. */
const failingSource = () => {
  const source = new MemorySource()
  source.add("a")
  source.answer = failing("a")
  return source
}

/** Returns the milliseconds from now until this time. */
const until = (at: DateTime.Utc) => Effect.map(DateTime.now, (now) => Duration.toMillis(DateTime.distance(now, at)))

/** Asserts that a wait is about this many minutes, within a share. */
const about = (millis: number, minutes: number, share: number) => {
  const expected = minutes * 60_000
  assert.isAtLeast(millis, expected * (1 - share) - 1, `${minutes} minutes`)
  assert.isAtMost(millis, expected * (1 + share) + 1, `${minutes} minutes`)
}

describe("a wait", () => {
  it.effect("of an item that fails grows from a minute to two days, and then the item is dead", () => {
    const source = failingSource()
    return Effect.gen(function* () {
      const connection = yield* connect()
      const store = yield* WholeStore
      const row = Effect.map(store.ledger(connection.id, { limit: 1 }), ([only]) => only)
      for (const minutes of [1, 5, 30, 120, 360, 1440, 2880]) {
        yield* sync(connection)
        const { nextAttemptAt } = (yield* row) ?? assert.fail("it is not in the ledger")
        const wait = yield* until(nextAttemptAt ?? assert.fail("it is dead"))
        about(wait, minutes, 0.2)
        yield* TestClock.adjust(wait)
      }
      yield* sync(connection)
      assert.deepInclude(yield* row, { state: "dead", attempts: 8, nextAttemptAt: null })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect(
    "of a connection whose runs fail doubles from a minute to an hour, and starts again after a success",
    () => {
      const source = new MemorySource()
      source.add("a")
      let failing = true
      source.answer = (method) =>
        failing && method !== "account" ? fault(new Forbidden({ message: "no access" })) : Effect.void
      return Effect.gen(function* () {
        const connection = yield* connect()
        const store = yield* WholeStore
        const wait = Effect.flatMap(Effect.map(store.connection(connection.id), Option.getOrThrow), (row) =>
          until(row.nextPollAt)
        )
        for (const minutes of [1, 2, 4, 8, 16, 32, 60, 60]) {
          assert.strictEqual((yield* sync(connection)).status, "failed")
          about(yield* wait, minutes, 0.1)
        }
        failing = false
        yield* sync(connection)
        about(yield* wait, Duration.toMinutes(connection.every), 0.1)
        failing = true
        yield* sync(connection)
        about(yield* wait, 1, 0.1)
      }).pipe(Effect.provide(layer(source)))
    }
  )

  for (const [name, reason, retryAfter] of [
    ["whose source is down", new Transient({ message: "503" }), 1],
    ["whose source asks to be left alone", new RateLimited({ message: "429", retryAfter: Duration.hours(1) }), 60]
  ] as const) {
    it.effect(`of a connection ${name} is not cut short by an item that is due again`, () => {
      const source = failingSource()
      return Effect.gen(function* () {
        const connection = yield* connect()
        const store = yield* WholeStore
        yield* sync(connection)
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual((yield* store.due(10)).length, 1)
        source.answer = () => fault(reason)
        yield* moving(poll(connection))
        assert.deepStrictEqual(yield* store.due(10), [])
        source.answer = () => Effect.void
        yield* TestClock.adjust(Duration.minutes(retryAfter * 1.2))
        assert.strictEqual((yield* store.due(10)).length, 1)
        assert.deepInclude((yield* moving(poll(connection))).counts, { retried: 1, stored: 1 })
      }).pipe(Effect.provide(layer(source)))
    })
  }

  it.effect("of a connection for its own quota is not cut short by an item that is due again", () => {
    const source = failingSource()
    return Effect.gen(function* () {
      // Changes can be requested once an hour.
      const quota = { unitsPerMinute: 60, weights: { changes: 3600 } }
      const connection = yield* moving(connect({ config: { quota } }))
      const store = yield* WholeStore
      yield* moving(sync(connection))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* store.due(10)).length, 1)
      const { next } = yield* moving(poll(connection))
      assert.isAbove(Duration.toMinutes(next._tag === "Wait" ? next.delay : Duration.zero), 40)
      assert.deepStrictEqual(yield* store.due(10), [])
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("of an item starts again at a minute where the item has another revision", () =>
    withConnection(function* (source, connection) {
      source.by = "revision"
      source.add("a", { revision: "r1" })
      source.answer = failing("a")
      const store = yield* WholeStore
      const attempts = Effect.map(store.ledger(connection.id, { limit: 1 }), ([row]) => row?.attempts)
      yield* sync(connection)
      yield* sync(connection)
      assert.strictEqual(yield* attempts, 2)
      source.add("a", { revision: "r2" })
      yield* sync(connection)
      assert.strictEqual(yield* attempts, 1)
    })
  )
})

describe("a sync", () => {
  it.effect("that is refused again and again without progress ends after ten refusals", () =>
    withConnection(function* (source, connection) {
      source.add("a")
      let refusals = 0
      source.answer = (method) =>
        Effect.suspend(() => {
          if (method !== "list") return Effect.void
          refusals += 1
          if (refusals > 200) return Effect.die(new Error("it goes on asking"))
          return fault(new RateLimited({ message: "429", retryAfter: Duration.seconds(1) }))
        })
      const result = yield* moving(sync(connection))
      assert.strictEqual(result.error?.reason, "RateLimited")
      const store = yield* WholeStore
      assert.strictEqual((yield* store.runs(connection.id, 100)).length, 10)
    })
  )

  it.effect("retries every failed item, more than a slice takes and behind any number of dead ones", () =>
    withConnection(
      function* (source, connection) {
        source.addMany(5, "dead")
        source.addMany(7, "failed")
        source.answer = (method) =>
          method.startsWith("download dead")
            ? fault(new TooLarge({ message: "8 GB" }))
            : method.startsWith("download failed")
              ? fault(new Malformed({ message: "cut off" }))
              : Effect.void
        yield* sync(connection)
        const again = yield* sync(connection)
        assert.deepInclude(again.counts, { retried: 7, failed: 7 })
        const attempts = (yield* (yield* WholeStore).ledger(connection.id, { limit: 100 })).map((row) => row.attempts)
        assert.deepStrictEqual(attempts, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2])
        source.answer = () => Effect.void
        assert.deepInclude((yield* sync(connection)).counts, { retried: 7, stored: 7 })
      },
      { retries: 3 }
    )
  )

  it.effect("goes on through failures with successes between them, and stores the rest", () =>
    withConnection(
      function* (source, connection) {
        source.addMany(40)
        const failing = new Set(["m000003", "m000009", "m000015", "m000021", "m000027", "m000033"])
        source.answer = (method) =>
          failing.has(method.replace("download ", "")) ? fault(new Transient({ message: "reset" })) : Effect.void
        const result = yield* moving(sync(connection))
        assert.deepStrictEqual([result.status, result.error], ["partial", null])
        assert.deepInclude(result.counts, { stored: 34, failed: 6, deferred: 0 })
      },
      { concurrency: 1 }
    )
  )

  it.effect("that fails after a page with deletions deletes nothing, and the next one does", () =>
    withConnection(function* (source, connection) {
      source.addMany(30)
      yield* sync(connection)
      for (const id of ["m000001", "m000002"]) source.remove(id)
      source.addMany(20, "n")
      let pages = 0
      source.answer = (method) => {
        if (method !== "changes") return Effect.void
        pages += 1
        return pages === 2 ? fault(new Forbidden({ message: "no access" })) : Effect.void
      }
      const failed = yield* sync(connection)
      assert.deepStrictEqual([failed.status, failed.counts.deleted], ["failed", 0])
      assert.includeMembers([...(yield* ids(connection))], ["m000001", "m000002"])
      const next = yield* sync(connection)
      assert.deepStrictEqual([next.status, next.counts.deleted], ["succeeded", 2])
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()].toSorted())
    })
  )
})

describe("a person's retry", () => {
  it.effect("that a refusal cut short tries each item once, and ends with those that it could not try", () => {
    const source = new MemorySource()
    source.addMany(2)
    const malformed = fault(new Malformed({ message: "cut off" }))
    source.answer = (method) => (method.startsWith("download") ? malformed : Effect.void)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.calls.length = 0
      let isRefused = false
      source.answer = (method) => {
        if (method === "download m000000") return malformed
        if (method !== "download m000001" || isRefused) return Effect.void
        isRefused = true
        return fault(new RateLimited({ message: "slow down", retryAfter: Duration.minutes(5) }))
      }
      const { counts } = yield* moving(Effect.flatMap(Engine, (engine) => engine.retry(connection, undefined)))
      assert.deepInclude(counts, { failed: 1, stored: 1 })
      assert.deepStrictEqual(source.calls.filter((method) => method.startsWith("download")).toSorted(), [
        "download m000000",
        "download m000001",
        "download m000001"
      ])
    }).pipe(Effect.provide(layer(source, { limits: { concurrency: 1 } })))
  })
})

describe("a sync of a window", () => {
  const window = { since: DateTime.makeUnsafe("2026-03-01T00:00:00Z") }

  /** Makes a source that refuses one download once, with this `retryAfter`. */
  const refusing = (retryAfter: Duration.Duration) => {
    const source = new MemorySource()
    source.addMany(10)
    let isRefused = false
    source.answer = (method) => {
      if (method !== "download m000004" || isRefused) return Effect.void
      isRefused = true
      return fault(new RateLimited({ message: "slow down", retryAfter }))
    }
    return source
  }

  it.effect("that a refusal cut short stores what was deferred, once it goes on", () => {
    const source = refusing(Duration.minutes(5))
    return Effect.gen(function* () {
      const connection = yield* connect()
      const result = yield* moving(sync(connection, { window }))
      assert.strictEqual(result.status, "succeeded")
      assert.isAbove(result.counts.deferred, 0)
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()])
      assert.deepStrictEqual(yield* (yield* WholeStore).ledger(connection.id, { limit: 10 }), [])
    }).pipe(Effect.provide(layer(source, { limits: { concurrency: 1 } })))
  })

  it.effect("stores what an earlier one left deferred or failed, and leaves alone what is not due", () => {
    const source = refusing(Duration.hours(8))
    return Effect.gen(function* () {
      const connection = yield* connect()
      const refused = yield* moving(sync(connection, { window }))
      assert.strictEqual(refused.error?.reason, "RateLimited")
      const before = source.answer
      yield* TestClock.adjust("30 hours")
      source.answer = failing("m000006")
      const { counts } = yield* moving(sync(connection, { window }))
      assert.deepInclude(counts, { listed: 10, existing: 4, stored: 5, failed: 1, retried: 0 })
      source.answer = before
      assert.deepInclude((yield* moving(sync(connection, { window }))).counts, { existing: 10, downloads: 0 })
      yield* TestClock.adjust("2 minutes")
      assert.deepInclude((yield* moving(sync(connection, { window }))).counts, { existing: 9, stored: 1 })
    }).pipe(Effect.provide(layer(source, { limits: { concurrency: 1 } })))
  })
})
