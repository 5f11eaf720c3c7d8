/** The laws of parts: small checkpoints by key, which move with the checkpoint of their page. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type { PageEnd } from "../../src/engine/model/Batch.ts"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { TaskId } from "../../src/engine/model/Task.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { connect, nextRun, page, running, take, Time } from "./scenario.ts"

const keys = ["a", "b", "c", "é", "A"]

const partsOf = (id: ConnectionId, taskId?: TaskId) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.parts(id, taskId, keys), (found) => Object.fromEntries(found) as Record<string, Schema.Json>)
  )

const moving = (checkpoints: Record<string, Schema.Json>, more: Partial<PageEnd> = {}) =>
  page({ parts: Object.entries(checkpoints).map(([key, checkpoint]) => ({ key, checkpoint })), ...more })

const forced = { task: { force: true, forceIds: [], dryRun: false }, spec: "--force", resumeWithin: Duration.days(1) }

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: parts`, (it) => {
    it.effect("are set, changed and forgotten with their page, each by its key and its connection", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const one = yield* running()
        const two = yield* running()
        assert.deepStrictEqual(yield* partsOf(one.id), {})
        yield* one.commit({ page: moving({ a: { at: 1 }, b: [1, "x"], é: "text", A: 0 }) })
        yield* two.commit({ page: moving({ a: { at: 2 } }) })
        assert.deepStrictEqual(yield* partsOf(one.id), { a: { at: 1 }, b: [1, "x"], é: "text", A: 0 })
        yield* one.commit({ page: moving({ a: { at: 3 }, b: null, c: false }) })
        assert.deepStrictEqual(yield* partsOf(one.id), { a: { at: 3 }, c: false, é: "text", A: 0 })
        assert.deepStrictEqual(yield* partsOf(two.id), { a: { at: 2 } })
        assert.deepStrictEqual(yield* store.parts(one.id, undefined, []), new Map())
      })
    )

    it.effect("are at their last move, if a page moves one twice", () =>
      Effect.gen(function* () {
        const run = yield* running()
        const moves = (...parts: PageEnd["parts"]) => run.commit({ page: page({ parts }) })
        yield* moves({ key: "a", checkpoint: 1 }, { key: "a", checkpoint: 2 }, { key: "b", checkpoint: 1 })
        assert.deepStrictEqual(yield* partsOf(run.id), { a: 2, b: 1 })
        yield* moves({ key: "a", checkpoint: 3 }, { key: "a", checkpoint: null }, { key: "b", checkpoint: null })
        assert.deepStrictEqual(yield* partsOf(run.id), {})
      })
    )

    it.effect("are not moved by a run that was superseded", () =>
      Effect.gen(function* () {
        const run = yield* running()
        yield* run.commit({ page: moving({ a: 1 }) })
        yield* nextRun(run)
        const error = yield* Effect.flip(run.commit({ page: moving({ a: 2 }) }))
        assert.strictEqual(error._tag, "Superseded")
        assert.deepStrictEqual(yield* partsOf(run.id), { a: 1 })
      })
    )

    it.effect("are forgotten, all of them, by the first page of a listing without a checkpoint", () =>
      Effect.gen(function* () {
        const run = yield* running()
        yield* run.commit({ page: moving({ a: 1, b: 2 }) })
        yield* run.commit({ page: moving({ c: 3 }, { forgetsParts: true }) })
        assert.deepStrictEqual(yield* partsOf(run.id), { c: 3 })
      })
    )

    it.effect("of a task with a checkpoint of its own are its own, and go with it", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        const task = yield* store.openTask(run.id, forced)
        yield* run.commit({ page: moving({ a: "live" }) })
        yield* run.commit({ taskId: task.id, page: moving({ a: "task", b: "task" }) })
        assert.deepStrictEqual(yield* partsOf(run.id), { a: "live" })
        assert.deepStrictEqual(yield* partsOf(run.id, task.id), { a: "task", b: "task" })
        yield* store.finishTask(run.fence, task.id)
        assert.deepStrictEqual(yield* partsOf(run.id, task.id), {})
        assert.deepStrictEqual(yield* partsOf(run.id), { a: "live" })
      })
    )

    it.effect("of a requested task that failed are those of the next one with the same text", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        const ask = Effect.map(
          store.requestTask(run.id, { kind: "sync", externalIds: null, key: undefined, ...forced }),
          (asked) => (asked._tag === "Requested" ? asked.task : assert.fail(asked._tag))
        )
        const first = yield* ask
        yield* run.commit({ taskId: first.id, page: moving({ a: 1 }) })
        yield* store.finishTask(run.fence, first.id, { reason: "Transient", message: "away" })
        const second = yield* ask
        assert.notStrictEqual(second.id, first.id)
        assert.deepStrictEqual(yield* partsOf(run.id, second.id), { a: 1 })
        assert.deepStrictEqual(yield* partsOf(run.id, first.id), {})
      })
    )

    it.effect("stay when the connection is only disconnected, and go with its contents", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        yield* run.commit({ page: moving({ a: 1 }) })
        yield* store.disconnect(run.id, false)
        assert.deepStrictEqual(yield* partsOf(run.id), { a: 1 })
        yield* store.disconnect(run.id, true)
        assert.deepStrictEqual(yield* partsOf(run.id), {})
        const other = yield* connect()
        yield* take(other.id)
        assert.deepStrictEqual(yield* partsOf(other.id), {})
      })
    )

    it.effect("are read 10,000 at once", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        const many = Array.from({ length: 10_000 }, (_, index) => `key ${index}`)
        for (let from = 0; from < many.length; from += 1000) {
          yield* run.commit({
            page: moving(Object.fromEntries(many.slice(from, from + 1000).map((key) => [key, key])))
          })
        }
        assert.strictEqual((yield* store.parts(run.id, undefined, many)).size, 10_000)
      })
    )
  })
}
