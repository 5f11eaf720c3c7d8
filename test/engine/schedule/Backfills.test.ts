import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Engine } from "../../../src/engine/Engine.ts"
import { Bounds } from "../../../src/engine/schedule/ConcurrencyLimiter.ts"
import * as Scheduler from "../../../src/engine/schedule/Scheduler.ts"
import { ConnectionStore } from "../../../src/engine/store/ConnectionStore.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import { connect, ids, layer } from "../../support/TestEngine.ts"

const polling = Layer.build(Scheduler.layer)

describe("the poller, with backfills", () => {
  it.effect("stores what arrives during a backfill at the next slice, not after the backfill", () => {
    const source = new MemorySource()
    source.pageSize = 10
    source.addMany(2000)
    return Effect.gen(function* () {
      // 120 units a minute are 2 downloads a second: the backfill takes far longer than a few slices.
      const connection = yield* connect({ config: { quota: { unitsPerMinute: 120 } } })
      yield* polling
      yield* until(Effect.map(ids(connection), (there) => there.length > 100))
      source.add("urgent")
      yield* until(Effect.map(ids(connection), (there) => there.includes("urgent")))
      assert.isBelow((yield* ids(connection)).length, 700)
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("polls others in time while many connections fill up at their quota's pace", () => {
    const source = new MemorySource()
    source.pageSize = 10
    source.addMany(150)
    return Effect.gen(function* () {
      const slow = { quota: { unitsPerMinute: 6 } }
      const engine = yield* Engine
      const of = (name: string, config: unknown) => {
        source.account = name
        return engine.connect({
          domain: "memory",
          name,
          config,
          credentials: { token: "t" },
          every: Duration.minutes(1)
        })
      }
      // More than the number of backfills that may begin at the same time.
      for (let index = 0; index < 20; index += 1) yield* of(`slow ${index}`, slow)
      yield* polling
      // A first round, so that all of them are known to be backfills.
      yield* TestClock.adjust("10 minutes")
      const { connection } = yield* of("quick", {})
      const from = yield* Clock.currentTimeMillis
      const all = source.items.size
      yield* until(Effect.map(ids(connection), (there) => there.length === all))
      for (let round = 0; round < 5; round += 1) {
        const before = yield* Clock.currentTimeMillis
        source.add(`new ${round}`)
        yield* until(Effect.map(ids(connection), (there) => there.includes(`new ${round}`)))
        // The interval of its next poll with jitter, without waiting for any other connection.
        assert.isAtMost((yield* Clock.currentTimeMillis) - before, 70_000)
      }
      assert.isAtMost((yield* Clock.currentTimeMillis) - from, 7 * 70_000)
    }).pipe(
      Effect.scoped,
      Effect.provide(layer(source)),
      Effect.provideService(Bounds, { working: 4, begun: 6, workingBackfills: 3, begunBackfills: 4 })
    )
  })

  it.effect("polls a connection as others are once its backfill has ended", () => {
    const source = new MemorySource()
    source.pageSize = 10
    source.addMany(300)
    return Effect.gen(function* () {
      const connection = yield* connect({ name: "filled" })
      yield* polling
      yield* until(Effect.map(ids(connection), (there) => there.length === 300))
      yield* connect({ name: "filling" })
      // The other connection's backfill keeps the only slot of backfills, from its third slice on.
      const stuck = yield* Deferred.make<void>()
      let lists = 0
      source.answer = (method) => {
        if (method === "list") lists += 1
        return lists > 4 && method === "list"
          ? Effect.andThen(Deferred.succeed(stuck, undefined), Effect.never)
          : Effect.void
      }
      yield* until(Deferred.isDone(stuck))
      source.add("new")
      const store = yield* ConnectionStore
      for (const reason of ["by a person", null]) yield* store.setPaused(connection.id, reason)
      const from = yield* Clock.currentTimeMillis
      yield* until(Effect.map(ids(connection), (there) => there.includes("new")))
      // Sooner than the other's call ends at its time limit.
      assert.isAtMost((yield* Clock.currentTimeMillis) - from, 10_000)
    }).pipe(
      Effect.scoped,
      Effect.provide(layer(source, { limits: { slicePages: 1 } })),
      Effect.provideService(Bounds, { working: 2, begun: 2, workingBackfills: 1, begunBackfills: 1 })
    )
  })
})
