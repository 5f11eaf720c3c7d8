/** The laws of the overview: its totals equal the sums over the connections. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { poll } from "../../src/contract/SyncTask.ts"
import { type ConnectionId, pausedByPerson } from "../../src/engine/model/Connection.ts"
import type { ContentState } from "../../src/engine/model/Content.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Model from "./model.ts"
import { approve, connect, item, ledgerUpdate, page, running, type Running, settle, Time } from "./scenario.ts"
import { runs } from "../support/Property.ts"

/** Steps that change the totals. */
const Step = Schema.Union([
  Model.Step,
  Schema.TaggedStruct("all", {}),
  Schema.TaggedStruct("see", { id: Schema.Literals(Model.ids) }),
  Schema.TaggedStruct("hold", {}),
  Schema.TaggedStruct("approve", {}),
  Schema.TaggedStruct("redrive", { id: Schema.Literals(Model.ids) }),
  Schema.TaggedStruct("scope", {}),
  Schema.TaggedStruct("purge", {})
])

const apply = Effect.fnUntraced(function* ({ commit, fence, id }: Running, step: typeof Step.Type) {
  const store = yield* WholeStore
  switch (step._tag) {
    case "settle":
      return yield* settle(fence, { atMost: 100, share: 1 })
    case "hold":
      return yield* settle(fence, { atMost: 0, share: 0 })
    case "approve":
      return yield* approve(id)
    case "redrive":
      return yield* store.redrive(id, [step.id])
    case "scope":
      return yield* store.changeScope(fence, "another")
    case "purge":
      return yield* store.purge(id, DateTime.makeUnsafe("2100-01-01T00:00:00.000Z"))
    case "see":
      return yield* commit({ page: page({ seen: [step.id] }) })
    case "all":
      return yield* commit({
        items: [item("a", { text: "all" }), item("e")],
        ledgerUpdates: [ledgerUpdate("b", { outcome: "gone" }), ledgerUpdate("d", { outcome: "deferred" })],
        page: page({ listing: "a pass", seen: ["a", "e"], covers: [{ prefix: "" }], complete: true })
      })
    default:
      return yield* commit(Model.batchOf(step))
  }
})

/** Computes the totals row by row. */
const recount = Effect.fnUntraced(function* (id: ConnectionId) {
  const store = yield* WholeStore
  const rows = (state: ContentState) =>
    Effect.map(store.contents(id, { state, limit: 1000 }), ({ contents }) => contents)
  const stored = yield* rows("stored")
  const { total } = yield* store.deletions(id, { which: "held", limit: 1 })
  return {
    stored: stored.length,
    failed: (yield* rows("failed")).length,
    dead: (yield* rows("dead")).length,
    deferred: (yield* rows("deferred")).length,
    deleted: (yield* rows("deleted")).length,
    bytes: stored.reduce((sum, { size }) => sum + size, 0),
    deletionsHeld: total
  }
})

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
        yield* commit({
          ledgerUpdates: [ledgerUpdate("a"), ledgerUpdate("b"), ledgerUpdate("c", { retryIn: undefined })]
        })
        yield* commit({
          ledgerUpdates: [
            ledgerUpdate("d", { outcome: "deferred", attempts: 0 }),
            ledgerUpdate("e", { outcome: "gone" })
          ]
        })
        const { ledger } = yield* store.overview
        assert.deepStrictEqual(Object.fromEntries(ledger.map(({ count, state }) => [state, count])), {
          failed: 2,
          dead: 1,
          deferred: 1
        })
      })
    )

    it.effect.prop(
      "the totals of a connection equal a count of its contents after any history",
      { steps: Model.sequence(Step) },
      ({ steps }) =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const run = yield* running()
          yield* Effect.forEach(steps, (step) => apply(run, step), { discard: true })
          const kept = yield* store.totals(run.id)
          assert.deepStrictEqual(kept, yield* recount(run.id))
          yield* store.disconnect(run.id, false)
          assert.deepStrictEqual(yield* store.totals(run.id), kept)
          yield* store.disconnect(run.id, true)
          assert.deepStrictEqual(yield* store.totals(run.id), yield* recount(run.id))
        }),
      runs(40)
    )

    it.effect("a held deletion leaves the totals when its id is stored or seen again", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, fence, id } = yield* running()
        const held = Effect.map(store.totals(id), ({ deletionsHeld }) => deletionsHeld)
        yield* commit({ items: [item("a"), item("b"), item("c")] })
        yield* commit({ page: page({ deleted: ["a", "b", "c"] }) })
        yield* settle(fence, { atMost: 0, share: 0 })
        assert.strictEqual(yield* held, 3)
        yield* commit({ items: [item("a", { text: "changed" })] })
        assert.strictEqual(yield* held, 2)
        yield* commit({ page: page({ seen: ["b"] }) })
        assert.strictEqual(yield* held, 1)
        assert.strictEqual(yield* approve(id), 1)
        assert.deepStrictEqual(yield* store.totals(id), yield* recount(id))
      })
    )

    it.effect(
      "the overdue time is that of the connection that has waited longest, without running and paused ones",
      () =>
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

    it.effect("the overdue time counts waiting tasks too, also of a paused connection", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        yield* Effect.forEach(yield* store.connections, ({ id }) => store.setPaused(id, pausedByPerson))
        const { fence, id } = yield* running()
        yield* store.setPaused(id, pausedByPerson)
        const spec = { kind: "sync", task: poll, spec: "", externalIds: null, key: undefined } as const
        yield* store.requestTask(id, { ...spec, resumeWithin: Duration.days(1) })
        yield* Time.use((time) => time.pass(Duration.seconds(2)))
        assert.strictEqual((yield* store.overview).overdueSeconds, 0)
        yield* store.release(fence, { pollIn: Duration.hours(1) })
        assert.isAtLeast((yield* store.overview).overdueSeconds, 1)
      })
    )
  })
}
