/** The laws of the whole at a glance: it says what the connections say one by one. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { pausedByPerson } from "../../src/engine/model/Connection.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { connect, miss, running, Time } from "./scenario.ts"

const sumOf = (counts: ReadonlyArray<{ readonly count: number }>) => counts.reduce((sum, { count }) => sum + count, 0)

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: the whole at a glance`, (it) => {
    it.effect("connections are counted by their state, each once", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const countOf = Effect.map(store.overview, ({ connections }): Record<string, number> => ({
          all: sumOf(connections),
          ...Object.fromEntries(connections.map(({ count, state }) => [state, count]))
        }))
        assert.deepStrictEqual(yield* countOf, { all: 0 })
        yield* connect()
        const paused = yield* connect()
        yield* store.setPaused(paused.id, pausedByPerson)
        yield* store.disconnect((yield* connect()).id, false)
        yield* running()
        assert.deepStrictEqual(yield* countOf, { all: 4, idle: 1, paused: 1, disconnected: 1, running: 1 })
      })
    )

    it.effect("the ledger is counted by state, and no row of what is stored or gone", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit } = yield* running()
        yield* commit({ misses: [miss("a"), miss("b"), miss("c", { retryIn: undefined })] })
        yield* commit({ misses: [miss("d", { outcome: "deferred", attempts: 0 }), miss("e", { outcome: "gone" })] })
        const { ledger } = yield* store.overview
        assert.deepStrictEqual(Object.fromEntries(ledger.map(({ count, state }) => [state, count])), {
          failed: 2,
          dead: 1,
          deferred: 1
        })
      })
    )

    it.effect("what is due and waits is told by how long it has, and what runs or is paused is not", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        yield* Effect.forEach(yield* store.connections, ({ id }) => store.setPaused(id, pausedByPerson))
        assert.strictEqual((yield* store.overview).overdueSeconds, 0)
        const { fence } = yield* running()
        assert.strictEqual((yield* store.overview).overdueSeconds, 0)
        yield* store.release(fence, { pollIn: Duration.minutes(10) })
        assert.strictEqual((yield* store.overview).overdueSeconds, 0)
        yield* Time.use((time) => time.pass(Duration.minutes(11)))
        const { overdueSeconds } = yield* store.overview
        assert.isTrue(overdueSeconds >= 60 && overdueSeconds < 600, `${overdueSeconds}`)
      })
    )
  })
}
