/** The laws of the history of tasks: the results of their runs. */
import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { RunId } from "../../src/engine/model/Run.ts"
import { TaskId } from "../../src/engine/model/Task.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { batch, connect, item, page, Time, ttl, type Laws } from "./scenario.ts"
import { sync, live, request, begin, fenceOf } from "./taskFixture.ts"

export const lawsOfTaskHistory = (it: Laws): void => {
  it.effect("tasks are listed with what their runs did together, newest first", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const fence = yield* fenceOf(id)
      const task = yield* request(id, sync())
      yield* Time.use((time) => time.pass(Duration.seconds(1)))
      const other = yield* request(id, live)
      let runId: RunId | undefined
      for (const [name, held] of [
        ["a", 3],
        ["b", 0]
      ] as const) {
        yield* Time.use((time) => time.pass(Duration.seconds(1)))
        runId = yield* begin(fence, task)
        const problems = [{ place: name, message: "closed" }]
        yield* store.commit(fence, {
          ...batch(runId, { items: [item(name)] }),
          counts: { listed: 2, quotaUnits: 0.5 },
          problems
        })
        const counts = { apiCalls: 1, deletionsHeld: held }
        yield* store.finishRun(fence, { runId, status: "succeeded", counts, notes: [`note ${name}`], error: null })
      }
      const [newest, oldest] = yield* store.taskSummaries(id, { limit: 10 })
      assert.deepStrictEqual([newest?.task.id, newest?.lastRun, newest?.counts.listed], [other.id, null, 0])
      assert.deepStrictEqual(
        [oldest?.task.id, oldest?.lastRun, oldest?.notes, oldest?.problems.map(({ place }) => place)],
        [task.id, runId, ["note a", "note b"], ["a", "b"]]
      )
      const { apiCalls, deletionsHeld, listed, quotaUnits, stored } = oldest?.counts ?? { ...newest?.counts }
      assert.deepStrictEqual([apiCalls, deletionsHeld, listed, quotaUnits, stored], [2, 3, 4, 1, 2])
      assert.isTrue(oldest?.task.begun)
      assert.strictEqual((yield* store.taskSummaries(id, { limit: 1 })).length, 1)
      const one = yield* store.taskSummaries(id, { taskId: task.id, limit: 1 })
      assert.deepStrictEqual(one, oldest === undefined ? [] : [oldest])
      assert.deepStrictEqual(yield* store.taskSummaries((yield* connect()).id, { taskId: task.id, limit: 1 }), [])
      assert.deepStrictEqual(yield* store.taskSummaries(id, { taskId: TaskId.make("no id"), limit: 1 }), [])
    })
  )

  it.effect("a task that failed keeps why, and the next request for the same goes on from there", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const fence = yield* fenceOf(id)
      const task = yield* request(id, sync())
      const runId = yield* begin(fence, task)
      yield* store.commit(fence, { ...batch(runId, {}), taskId: task.id, page: page({ checkpoint: 7, scope: "s" }) })
      yield* store.commit(fence, { ...batch(runId, {}), taskId: task.id, done: ["a"] })
      const error = { reason: "Forbidden", message: "closed" }
      yield* store.finishTask(fence, task.id, error)
      const failed = Option.getOrThrow(yield* store.task(task.id))
      assert.deepStrictEqual([failed.error, failed.finishedAt === null, failed.begun], [error, false, true])
      assert.isTrue(Option.isNone(yield* store.nextTask(id)))
      assert.deepStrictEqual((yield* request(id, sync({ spec: "--other" }))).checkpoint, Option.none())
      const next = yield* request(id, sync())
      assert.notStrictEqual(next.id, task.id)
      assert.deepStrictEqual([next.checkpoint, next.scope, next.begun], [Option.some(7), "s", false])
      assert.deepStrictEqual(yield* store.taskDone(next.id), new Set(["a"]))
      assert.deepStrictEqual(yield* store.taskDone(task.id), new Set())
      yield* store.finishTask(fence, next.id)
      const afresh = yield* request(id, sync())
      assert.deepStrictEqual(afresh.checkpoint, Option.none())
      yield* store.requeueTask(fence, afresh.id, { dueIn: Duration.zero, failures: 0, checkpoint: 8 })
      yield* store.finishTask(fence, afresh.id, error)
      yield* Time.use((time) => time.pass(Duration.days(2)))
      assert.deepStrictEqual((yield* request(id, sync())).checkpoint, Option.none())
    })
  )

  it.effect("a task that has ended stays as it is", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const fence = yield* fenceOf(id)
      const task = yield* request(id, sync())
      yield* store.finishTask(fence, task.id, { reason: "Forbidden", message: "closed" })
      const ended = yield* store.task(task.id)
      yield* store.finishTask(fence, task.id)
      yield* store.requeueTask(fence, task.id, { dueIn: Duration.zero, failures: 1, checkpoint: 7 })
      assert.deepStrictEqual(yield* store.task(task.id), ended)
      assert.isTrue(Option.isNone(yield* store.nextTask(id)))
    })
  )

  it.effect("the statistics have every hour, and each run in the hour in which it began", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const fence = yield* fenceOf(id)
      const task = yield* request(id, live)
      const work = Effect.fnUntraced(function* (name: string) {
        const runId = yield* begin(fence, task)
        yield* store.commit(fence, batch(runId, { items: [item(name)], counts: { apiCalls: 2, quotaUnits: 0.5 } }))
      })
      yield* work("a")
      yield* work("b")
      yield* Time.use((time) => time.pass(Duration.hours(2)))
      yield* store.renew(fence, ttl)
      yield* work("c")
      const hours = yield* store.statistics(id, 4)
      assert.deepStrictEqual(
        hours.map(({ apiCalls, quotaUnits, runs, stored }) => [runs, stored, apiCalls, quotaUnits]),
        [
          [0, 0, 0, 0],
          [2, 2, 4, 1],
          [0, 0, 0, 0],
          [1, 1, 2, 0.5]
        ]
      )
      for (const { hour } of hours) assert.strictEqual(DateTime.toEpochMillis(hour) % 3_600_000, 0)
      assert.deepStrictEqual(yield* store.statistics(id, 1), hours.slice(3))
      assert.strictEqual((yield* store.statistics((yield* connect()).id, 2)).filter(({ runs }) => runs > 0).length, 0)
    })
  )
}
