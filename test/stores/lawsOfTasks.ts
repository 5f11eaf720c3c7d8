/** The laws of the queue of requested tasks. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { poll } from "../../src/contract/SyncTask.ts"
import { type ConnectionId, pausedByPerson } from "../../src/engine/model/Connection.ts"
import { TaskId, type TaskRequest } from "../../src/engine/model/Task.ts"
import type { Store } from "../../src/engine/Store.ts"
import type { Fence } from "../../src/engine/store/Fence.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { connect, Time } from "./scenario.ts"
import { lawsOfTaskHistory } from "./lawsOfTaskHistory.ts"
import { forced, sync, live, request, begin, fenceOf } from "./taskFixture.ts"

const retry = (externalIds: ReadonlyArray<string> | null = null) =>
  sync({ kind: "retry", task: poll, spec: "retry", externalIds })
const nowhere = "11111111-2222-4333-8444-555555555555"

/** Requests a task, and returns the tag of the result, for refused requests. */
const refusal = (id: ConnectionId, given: TaskRequest) =>
  Effect.flatMap(WholeStore, (store) => Effect.map(store.requestTask(id, given), ({ _tag }) => _tag))

const release = (fence: Fence) =>
  Effect.flatMap(WholeStore, (store) => store.release(fence, { pollIn: Duration.hours(1) }))

const dueFor = (id: ConnectionId) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.due(1000), (all) => all.filter((due) => due.connectionId === id).map((due) => due.requested))
  )

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: the queue`, (it) => {
    it.effect("a requested task is read back as it was asked for, and is due at once", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const task = yield* request(id, retry(["a", "b,c", 'd"']))
        assert.deepStrictEqual(
          [
            task.kind,
            task.spec,
            task.externalIds,
            task.requested,
            task.begun,
            task.failures,
            task.finishedAt,
            task.error
          ],
          ["retry", "retry", ["a", "b,c", 'd"'], true, false, 0, null, null]
        )
        assert.deepStrictEqual(yield* store.task(task.id), Option.some(task))
        assert.deepStrictEqual(yield* store.nextTask(id), Option.some(task))
        assert.isTrue(Option.isNone(yield* store.task(TaskId.make(nowhere))))
        assert.isTrue(Option.isNone(yield* store.task(TaskId.make("no id"))))
        // The task is not open for commands.
        assert.deepStrictEqual(yield* store.openTasks(id), [])
      })
    )

    it.effect("a requested task makes its connection due, also a paused one, but not while it is run", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const fence = yield* fenceOf(id)
        yield* release(fence)
        assert.deepStrictEqual(yield* dueFor(id), [])
        yield* store.setPaused(id, pausedByPerson)
        const task = yield* request(id, sync())
        assert.deepStrictEqual(yield* dueFor(id), [true])
        const again = yield* fenceOf(id)
        assert.deepStrictEqual(yield* dueFor(id), [])
        yield* store.finishTask(again, task.id)
        yield* release(again)
        assert.deepStrictEqual(yield* dueFor(id), [])
        assert.isTrue(Option.isNone(yield* store.nextTask(id)))
      })
    )

    it.effect("a connection that is due for both is given once, with the longer of both waits", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        assert.deepStrictEqual(yield* dueFor(id), [false])
        yield* Time.use((time) => time.pass(Duration.minutes(1)))
        yield* request(id, sync())
        assert.deepStrictEqual(yield* dueFor(id), [true])
        const { nextPollAt } = Option.getOrThrow(yield* store.connection(id))
        const due = (yield* store.due(1000)).find((one) => one.connectionId === id)
        assert.deepStrictEqual(due?.dueAt, nextPollAt)
        const all = (yield* store.due(1000)).map(({ dueAt }) => DateTime.toEpochMillis(dueAt))
        assert.deepStrictEqual(
          all,
          all.toSorted((a, b) => a - b)
        )
        assert.strictEqual((yield* store.due(1)).length, 1)
      })
    )

    it.effect("many tasks of one connection do not hide the task of another", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const [many, one] = [yield* connect(), yield* connect()]
        for (const { id } of [many, one]) yield* release(yield* fenceOf(id))
        for (let count = 0; count < 100; count++) yield* request(many.id, retry([`id ${count}`]))
        yield* Time.use((time) => time.pass(Duration.seconds(1)))
        yield* request(one.id, retry(["id"]))
        const all = yield* store.due(1000)
        assert.includeMembers(
          all.map(({ connectionId }) => connectionId),
          [many.id, one.id]
        )
        assert.isBelow(all.length, 100)
        assert.deepStrictEqual(yield* store.due(all.length), all)
      })
    )

    it.effect("a task that is queued again waits, and those that wait longest are next", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const first = yield* request(id, sync())
        yield* Time.use((time) => time.pass(Duration.seconds(1)))
        const second = yield* request(id, sync({ spec: "--since 2026" }))
        const fence = yield* fenceOf(id)
        const next = Effect.map(store.nextTask(id), (task) => Option.getOrUndefined(task)?.id)
        assert.strictEqual(yield* next, first.id)
        yield* Time.use((time) => time.pass(Duration.seconds(1)))
        yield* store.requeueTask(fence, first.id, { dueIn: Duration.zero, failures: 2, checkpoint: { page: 1 } })
        assert.strictEqual(yield* next, second.id)
        yield* store.requeueTask(fence, second.id, { dueIn: Duration.minutes(1), failures: 0 })
        assert.strictEqual(yield* next, first.id)
        const moved = Option.getOrThrow(yield* store.task(first.id))
        assert.deepStrictEqual([moved.failures, moved.checkpoint], [2, Option.some({ page: 1 })])
        yield* store.finishTask(fence, first.id)
        assert.isUndefined(yield* next)
        yield* Time.use((time) => time.pass(Duration.minutes(2)))
        const waited = Option.getOrThrow(yield* store.nextTask(id))
        assert.deepStrictEqual([waited.id, waited.checkpoint], [second.id, Option.none()])
      })
    )

    it.effect("only the run that holds the connection ends a task or queues it again", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const task = yield* request(id, sync())
        const late = yield* fenceOf(id)
        yield* Time.use((time) => time.pass(Duration.minutes(31)))
        yield* fenceOf(id)
        const errors = yield* Effect.forEach(
          [
            store.finishTask(late, task.id),
            store.finishTask(late, task.id, { reason: "r", message: "m" }),
            store.requeueTask(late, task.id, { dueIn: Duration.hours(1), failures: 1 })
          ],
          Effect.flip
        )
        assert.deepStrictEqual(
          errors.map(({ _tag }) => _tag),
          ["Superseded", "Superseded", "Superseded"]
        )
        const other = yield* fenceOf((yield* connect()).id)
        yield* store.finishTask(other, task.id, { reason: "r", message: "m" })
        yield* store.requeueTask(other, task.id, { dueIn: Duration.hours(1), failures: 1 })
        const next = Option.getOrThrow(yield* store.nextTask(id))
        assert.deepStrictEqual([next.id, next.failures, next.error], [task.id, 0, null])
      })
    )

    it.effect("a key is one request's, within its connection, whatever became of its task", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const key = (digest: string, key = "k") => ({ key: { key, digest } })
        const task = yield* request(id, sync(key("aa")))
        assert.strictEqual((yield* request(id, sync(key("aa")))).id, task.id)
        assert.strictEqual(yield* refusal(id, sync(key("bb"))), "KeyTaken")
        // A request with another key and the same content gets the same task.
        assert.strictEqual((yield* request(id, sync(key("aa", "other")))).id, task.id)
        const fence = yield* fenceOf(id)
        yield* store.finishTask(fence, task.id)
        for (const name of ["k", "other"]) {
          const found = yield* request(id, sync(key("aa", name)))
          assert.deepStrictEqual([found.id, found.finishedAt === null], [task.id, false])
        }
        assert.notStrictEqual((yield* request(id, sync(key("aa", "a third")))).id, task.id)
        assert.notStrictEqual((yield* request((yield* connect()).id, sync(key("cc")))).id, task.id)
        yield* store.disconnect(id, false)
        assert.strictEqual((yield* request(id, sync(key("aa")))).id, task.id)
      })
    )

    it.effect(
      "an equal request returns the waiting task, unless that task has begun and would ledgerUpdate later changes",
      () =>
        Effect.gen(function* () {
          const { id } = yield* connect()
          const fence = yield* fenceOf(id)
          for (const [given, isSame] of [
            [sync(), true],
            [live, false],
            [retry(["a"]), false]
          ] as const) {
            const task = yield* request(id, given)
            assert.strictEqual((yield* request(id, given)).id, task.id)
            yield* begin(fence, task)
            assert.strictEqual((yield* request(id, given)).id === task.id, isSame)
          }
          const ids = (yield* Effect.forEach([retry(["a"]), retry(["b"]), retry(), live, sync()], (given) =>
            request(id, given)
          )).map((task) => task.id)
          assert.strictEqual(new Set(ids).size, 5)
        })
    )

    it.effect(
      "a request continues a task that a command left unfinished, unless the task has stood still for too long",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { id } = yield* connect()
          const open = store.openTask(id, { task: forced, spec: "--force", resumeWithin: Duration.hours(1) })
          const left = yield* open
          assert.isFalse(left.requested)
          assert.isTrue(Option.isNone(yield* store.nextTask(id)))
          const task = yield* request(id, sync())
          assert.deepStrictEqual([task.id, task.requested], [left.id, true])
          // The task is now in the queue, so the command begins another task.
          const second = yield* open
          assert.notStrictEqual(second.id, task.id)
          yield* Time.use((time) => time.pass(Duration.days(2)))
          const fence = yield* fenceOf(id)
          yield* store.finishTask(fence, task.id)
          const third = yield* request(id, sync())
          assert.notInclude([task.id, second.id], third.id)
          // A task in the queue is gone on with however long it waits, and before one that a command left behind.
          const fourth = yield* open
          yield* Time.use((time) => time.pass(Duration.hours(23)))
          assert.strictEqual((yield* request(id, sync())).id, third.id)
          yield* Time.use((time) => time.pass(Duration.days(2)))
          assert.strictEqual((yield* request(id, sync())).id, third.id)
          assert.notStrictEqual((yield* open).id, fourth.id)
        })
    )

    it.effect("a task that waits after a failure is due at once where it is asked for again", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const fence = yield* fenceOf(id)
        const task = yield* request(id, sync())
        const isDue = Effect.map(store.nextTask(id), Option.isSome)
        yield* store.requeueTask(fence, task.id, { dueIn: Duration.hours(1), failures: 2 })
        assert.deepInclude(yield* request(id, sync()), { id: task.id, failures: 0 })
        assert.isTrue(yield* isDue)
        // The task does not wait because of a failure, so the request does not end its wait.
        yield* store.requeueTask(fence, task.id, { dueIn: Duration.hours(1), failures: 0 })
        assert.strictEqual((yield* request(id, sync())).id, task.id)
        assert.isFalse(yield* isDue)
      })
    )

    it.effect("a connection that is disconnected takes no task, and those that wait end as failed", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const task = yield* request(id, sync())
        yield* store.disconnect(id, false)
        const ended = Option.getOrThrow(yield* store.task(task.id))
        assert.deepStrictEqual([ended.error?.reason, ended.finishedAt === null], ["Disconnected", false])
        assert.deepStrictEqual(yield* dueFor(id), [])
        assert.strictEqual(yield* refusal(id, live), "Disconnected")
        yield* store.disconnect(id, true)
        assert.strictEqual(yield* refusal(id, live), "Gone")
        const open = yield* Effect.flip(
          store.openTask(id, { task: forced, spec: "--force", resumeWithin: Duration.hours(1) })
        )
        assert.strictEqual(open._tag, "StoreError")
        assert.isTrue(Option.isNone(yield* store.task(task.id)))
      })
    )

    lawsOfTaskHistory(it)
  })
}
