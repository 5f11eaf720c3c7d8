/** The laws of open tasks: resuming, and separate checkpoints. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { page, running, Time } from "./scenario.ts"

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: tasks`, (it) => {
    const forced = { force: true, forceIds: ["kept"], dryRun: false }

    const open = Effect.fnUntraced(function* (id: ConnectionId, spec = "--force") {
      const store = yield* WholeStore
      return yield* store.openTask(id, { task: forced, spec, resumeWithin: Duration.hours(1) })
    })

    it.effect("an open task with the same text is resumed, another text or a task that stood still is not", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { fence, id } = yield* running()
        const first = yield* open(id)
        assert.deepStrictEqual(first.task, forced)
        assert.strictEqual((yield* open(id)).id, first.id)
        const other = yield* open(id, "--force --since 2026")
        assert.notStrictEqual(other.id, first.id)
        assert.deepStrictEqual(
          (yield* store.openTasks(id)).map((task) => task.id),
          [first.id, other.id]
        )
        yield* store.finishTask(fence, first.id)
        assert.deepStrictEqual(
          (yield* store.openTasks(id)).map((task) => task.id),
          [other.id]
        )
        const next = yield* open(id)
        assert.notStrictEqual(next.id, first.id)
        yield* Time.use((time) => time.pass(Duration.hours(2)))
        assert.notStrictEqual((yield* open(id)).id, next.id)
      })
    )

    it.effect("a task has its own checkpoint and leaves the connection's alone", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        const task = yield* open(id)
        yield* commit({ page: page({ checkpoint: { live: true }, scope: "live" }) })
        yield* commit({ taskId: task.id, page: page({ checkpoint: null, scope: "forced" }) })
        const moved = yield* open(id)
        assert.deepStrictEqual(moved.checkpoint, Option.some(null))
        assert.strictEqual(moved.scope, "forced")
        const connection = Option.getOrThrow(yield* store.connection(id))
        assert.deepStrictEqual(connection.checkpoint, Option.some({ live: true }))
        assert.strictEqual(connection.scope, "live")
      })
    )

    it.effect(
      "the ids that a task has downloaded are kept until the page ends, and forced ids until the task ends",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { commit, fence, id } = yield* running()
          const task = yield* open(id)
          yield* commit({ taskId: task.id, done: ["a", "kept"] })
          yield* commit({ taskId: task.id, done: ["b", "a"] })
          assert.deepStrictEqual(yield* store.taskDone(task.id), new Set(["a", "kept", "b"]))
          yield* commit({ taskId: task.id, done: ["c"], page: page({}) })
          assert.deepStrictEqual(yield* store.taskDone(task.id), new Set(["kept"]))
          yield* store.finishTask(fence, task.id)
          assert.deepStrictEqual(yield* store.taskDone(task.id), new Set())
        })
    )

    it.effect("a checkpoint is kept as it was given, whatever JSON it is", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        const checkpoint = { nul: "\0", lone: "\ud800", n: 1e300, deep: [[[{ a: null }]]], "": "" }
        yield* commit({ page: page({ checkpoint }) })
        assert.deepStrictEqual(
          Option.getOrThrow(yield* store.connection(id)).checkpoint,
          Option.some<Schema.Json>(checkpoint)
        )
      })
    )
  })
}
