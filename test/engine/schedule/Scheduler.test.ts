import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/testing/TestClock"
import type { Integration } from "../../../src/contract/Integration.ts"
import { Unauthorized } from "../../../src/contract/IntegrationError.ts"
import { unlimited } from "../../../src/contract/Quota.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { Bounds } from "../../../src/engine/schedule/ConcurrencyLimiter.ts"
import * as Scheduler from "../../../src/engine/schedule/Scheduler.ts"
import { WholeStore, replaceMethods } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { moving, until } from "../../support/Moving.ts"
import { fault, integration, MemorySource, only } from "../../support/MemorySource.ts"
import { connect, engineOver, ids, layer } from "../../support/TestEngine.ts"

const polling = Layer.build(Scheduler.layer)

describe("the poller", () => {
  it.effect("polls each connection on its schedule, and takes what is new", () => {
    const source = new MemorySource()
    source.addMany(5)
    const polls: Array<number> = []
    source.answer = only(
      "changes",
      Effect.map(Clock.currentTimeMillis, (now) => void polls.push(now))
    )
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* polling
      yield* until(Effect.map(ids(connection), (there) => there.length === 5))
      source.addMany(1)
      yield* until(Effect.map(ids(connection), (there) => there.length === 6))
      yield* until(Effect.sync(() => polls.length >= 6))
      const every = Duration.toMillis(connection.every)
      for (const [index, at] of polls.slice(1).entries()) {
        // The jitter is a tenth in either direction; due connections are queried once a second.
        const interval = at - (polls[index] ?? 0)
        assert.isAtLeast(interval, every * 0.9)
        assert.isAtMost(interval, every * 1.1 + 2000)
      }
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("measures how late a poll begins by the store's clock alone", () => {
    const source = new MemorySource()
    source.add("a")
    // The store's clock is an hour ahead of the process's.
    const ahead = replaceMethods((real) => ({
      acquire: (...args) =>
        Effect.map(
          real.acquire(...args),
          Option.map((connection) => {
            const nextPollAt = DateTime.add(connection.nextPollAt, { hours: 1 })
            return { ...connection, nextPollAt, acquiredAt: DateTime.add(nextPollAt, { seconds: 7 }) }
          })
        )
    }))
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* polling
      yield* until(Effect.map(ids(connection), (there) => there.length === 1))
      const lag = (yield* Metric.snapshot).find(({ id }) => id === "idem_schedule_lag_seconds")
      assert.deepInclude(lag?.state, { count: 1, sum: 7 })
    }).pipe(
      Effect.scoped,
      Effect.provide(layer(source, { store: Layer.provide(ahead, Memory.layer) })),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })

  it.effect("writes no run row for a quiet poll", () => {
    const source = new MemorySource()
    source.addMany(5)
    return Effect.gen(function* () {
      const connection = yield* connect()
      const store = yield* WholeStore
      yield* polling
      yield* until(Effect.sync(() => source.calls.filter((call) => call === "changes").length >= 3))
      assert.strictEqual((yield* store.runs(connection.id, 10)).length, 1)
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("runs one connection once at a time, however often it is woken", () => {
    const source = new MemorySource()
    source.addMany(3)
    let most = 0
    return Effect.gen(function* () {
      const started = yield* Queue.unbounded<void>()
      const gate = yield* Deferred.make<void>()
      source.answer = (method) =>
        method === "list"
          ? Effect.andThen(
              Effect.sync(() => {
                most = Math.max(most, source.open)
                Queue.offerUnsafe(started, undefined)
              }),
              Deferred.await(gate)
            )
          : Effect.void
      const connection = yield* connect()
      yield* polling
      yield* until(Effect.map(Queue.size(started), (size) => size > 0))
      yield* TestClock.adjust("20 seconds")
      yield* Deferred.succeed(gate, undefined)
      yield* until(Effect.map(ids(connection), (there) => there.length === 3))
      assert.strictEqual(most, 1)
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("polls a connection that waited for its turn once, however long it waited", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      source.answer = only("list", Deferred.await(gate))
      const connections = [yield* connect({ name: "first" }), yield* connect({ name: "second" })]
      yield* polling
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(source.open, 1)
      yield* Deferred.succeed(gate, undefined)
      for (const connection of connections) yield* until(Effect.map(ids(connection), (there) => there.length === 3))
      yield* TestClock.adjust("5 seconds")
      const listings = source.calls.filter((call) => call === "list" || call === "changes")
      assert.deepStrictEqual(listings, ["list", "list"])
    }).pipe(
      Effect.scoped,
      Effect.provide(layer(source)),
      Effect.provideService(Bounds, { working: 1, begun: 1, workingBackfills: 1, begunBackfills: 1 })
    )
  })

  it.effect("does not poll a connection that was paused since it was found due", () => {
    const source = new MemorySource()
    source.addMany(3)
    let pausing = true
    /** Pauses each connection, as a person does, just after it was found due. */
    const store = replaceMethods((real) => ({
      ...real,
      due: (limit) =>
        Effect.tap(real.due(limit), (found) =>
          pausing ? Effect.forEach(found, (due) => real.setPaused(due.connectionId, "by a person")) : Effect.void
        )
    })).pipe(Layer.provide(Memory.layer))
    return Effect.gen(function* () {
      const connection = yield* connect()
      const { setPaused } = yield* WholeStore
      yield* polling
      yield* TestClock.adjust("1 hour")
      assert.notInclude(source.calls, "list")
      pausing = false
      yield* setPaused(connection.id, null)
      yield* until(Effect.map(ids(connection), (there) => there.length === 3))
    }).pipe(Effect.scoped, Effect.provide(layer(source, { store })))
  })

  it.effect("pauses a connection whose grant is gone, and asks its source no more", () => {
    const source = new MemorySource()
    source.answer = only("list", fault(new Unauthorized({ message: "revoked" })))
    return Effect.gen(function* () {
      const connection = yield* connect()
      const store = yield* WholeStore
      const row = Effect.map(store.connection(connection.id), Option.getOrThrow)
      yield* polling
      yield* until(Effect.map(row, ({ paused }) => paused !== null))
      const calls = source.calls.length
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(source.calls.length, calls)
      const [run] = yield* store.runs(connection.id, 1)
      assert.strictEqual(run?.error?.reason, "Unauthorized")
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  /** Asserts that an account with one connection is polled in time while a hundred connections wait for a budget. */
  const polledInTime = (account: (index: number) => string, budgets: Integration["budgets"]) => {
    const source = new MemorySource()
    source.addMany(1)
    return Effect.gen(function* () {
      const engine = yield* Engine
      const of = (name: string, as: string) =>
        Effect.suspend(() => {
          source.account = as
          return engine.connect({
            domain: "memory",
            name,
            config: undefined,
            credentials: { token: "t" },
            every: undefined
          })
        })
      const many = Array.from({ length: 100 }, (_, index) => of(`one of many ${index}`, account(index)))
      yield* moving(Effect.all(many), "1 minute")
      const { connection } = yield* of("single", "single")
      const from = yield* Clock.currentTimeMillis
      yield* polling
      yield* until(Effect.map(ids(connection), (there) => there.length === 1))
      // A slice that waits for quota ends after a minute, and frees its slot.
      assert.isAtMost((yield* Clock.currentTimeMillis) - from, 62_000)
      // The quota allows only few of the other calls.
      assert.isBelow(source.calls.filter((call) => call === "list").length, 20)
    }).pipe(
      Effect.scoped,
      Effect.provide(engineOver(Memory.layer, { ...integration(source), budgets })),
      Effect.provideService(Bounds, { working: 4, begun: 8, workingBackfills: 3, begunBackfills: 6 })
    )
  }

  it.effect("polls an account with one connection in time while a hundred of another wait for their budget", () =>
    polledInTime(
      () => "many",
      ({ account }) => Effect.succeed([{ key: account, unitsPerMinute: account === "many" ? 6 : unlimited }])
    )
  )

  it.effect("polls an account in time while a hundred accounts wait for the budget they share", () =>
    polledInTime(
      (index) => `member ${index}`,
      ({ account }) =>
        Effect.succeed([
          { key: account, unitsPerMinute: unlimited },
          ...(account.startsWith("member") ? [{ key: "shared", unitsPerMinute: 6 }] : [])
        ])
    )
  )

  it.effect("polls an account in time while a hundred connections of another wait, which share a larger budget", () =>
    polledInTime(
      () => "many",
      ({ account }) =>
        Effect.succeed([
          { key: account, unitsPerMinute: account === "many" ? 6 : unlimited },
          { key: "shared", unitsPerMinute: 1_000_000 }
        ])
    )
  )
})
