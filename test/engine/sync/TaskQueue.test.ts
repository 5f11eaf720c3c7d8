/**
 * How a serving process runs queued tasks: in slices, alternating with polls, and despite failures and dying processes.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { replaceMethods } from "../../../src/testing/WholeStore.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import * as TestEngine from "../../support/TestEngine.ts"
import {
  layer,
  polling,
  submitTo,
  forced,
  submit,
  taskOf,
  runs,
  statusOf,
  pause,
  setEvery,
  once,
  ended,
  stored,
  short
} from "./taskFixture.ts"

describe("a requested task", () => {
  it.effect("is run in slices that take turns with the connection's own polls", () => {
    const source = new MemorySource()
    source.addMany(400)
    return Effect.gen(function* () {
      const connection = yield* stored()
      const task = yield* submit(forced)
      const slow = (method: string) => (method.startsWith("download m") ? Effect.sleep("1 second") : Effect.void)
      source.answer = slow
      yield* polling
      yield* once(task, ({ counts }) => counts.unchanged >= 100)
      const lastPoll = Effect.map(statusOf("test"), ({ lastCheckedAt }) => String(lastCheckedAt))
      const before = yield* lastPoll
      source.add("urgent")
      yield* setEvery(Duration.seconds(5))
      yield* until(Effect.map(TestEngine.ids(connection), (ids) => ids.includes("urgent")))
      yield* until(Effect.map(lastPoll, (now) => now !== before))
      const { counts } = yield* taskOf("test", task)
      assert.isBelow(counts.unchanged, 400)
      const end = yield* ended(task)
      assert.deepStrictEqual([end.status, end.counts.unchanged + end.counts.stored >= 400], ["succeeded", true])
      assert.isAbove((yield* runs).filter((run) => run.task === task.task).length, 10)
    }).pipe(Effect.scoped, Effect.provide(layer(source, { limits: short })))
  })

  it.effect("that could not list a place ends as partial, and status names the place until a poll lists it", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      yield* stored(true)
      source.problems = [{ place: "inbox", message: "no access" }]
      const before = (yield* statusOf("test")).lastCheckedAt
      const task = yield* submit({})
      yield* polling
      const end = yield* ended(task)
      assert.deepStrictEqual([end.status, end.problems], ["partial", source.problems])
      const { lastCheckedAt, lastRun, problems } = yield* statusOf("test")
      assert.deepStrictEqual(problems, source.problems)
      assert.strictEqual(lastRun?.status, "partial")
      assert.notDeepEqual(lastCheckedAt, before)
      source.problems = []
      yield* ended(yield* submit({}))
      assert.deepStrictEqual((yield* statusOf("test")).problems, [])
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("of one connection does not hold up another's", () => {
    const source = new MemorySource()
    source.addMany(300)
    return Effect.gen(function* () {
      yield* stored(true)
      const long = yield* submit(forced)
      const other = yield* TestEngine.connect({ name: "other", config: { folder: "m00000" } })
      yield* pause("other")
      source.answer = (method) => (method.startsWith("download m") ? Effect.sleep("1 second") : Effect.void)
      yield* polling
      yield* once(long, ({ status }) => status === "running")
      const quick = yield* submitTo("other", {})
      yield* until(Effect.map(taskOf("other", quick), ({ status }) => status === "succeeded"))
      assert.isNull((yield* taskOf("test", long)).finishedAt)
      assert.strictEqual((yield* TestEngine.ids(other)).length, 10)
      assert.strictEqual((yield* ended(long)).counts.unchanged, 300)
    }).pipe(Effect.scoped, Effect.provide(layer(source, { limits: { slicePages: 1 } })))
  })

  it.effect("outlives the process that runs it: the next goes on, with nothing lost and no page listed twice", () => {
    const source = new MemorySource()
    source.addMany(100)
    return Effect.gen(function* () {
      const shared = yield* TestEngine.shared
      // Two processes: a fault in one does not affect the other.
      const dying = yield* Layer.build(Layer.fresh(layer(source, { store: shared, limits: short })))
      yield* Effect.provideContext(stored(true), dying)
      source.downloaded.length = 0
      const stuck = yield* Deferred.make<void>()
      source.answer = (method) =>
        source.downloaded.length >= 50 && method.startsWith("download")
          ? Effect.andThen(Deferred.succeed(stuck, undefined), Effect.never)
          : Effect.void
      const first = yield* Scope.make()
      yield* Effect.provideContext(Scope.provide(polling, first), dying)
      const task = yield* Effect.provideContext(submit(forced), dying)
      yield* until(Deferred.isDone(stuck))
      yield* Scope.close(first, Exit.void)
      source.answer = () => Effect.void
      const before = yield* Effect.provideContext(taskOf("test", task), dying)
      assert.deepStrictEqual([before.status, before.finishedAt], ["running", null])
      const other = yield* Layer.build(Layer.fresh(layer(source, { store: shared, limits: short })))
      yield* Effect.provideContext(polling, other)
      const end = yield* Effect.provideContext(ended(task), other)
      assert.deepStrictEqual([end.status, end.error], ["succeeded", null])
      assert.strictEqual(end.counts.unchanged, 100)
    }).pipe(Effect.scoped)
  })

  it.effect("is not looked for by a quiet poll, which costs the store no query", () => {
    const source = new MemorySource()
    return Effect.gen(function* () {
      const shared = yield* TestEngine.shared
      let questions = 0
      const counting = replaceMethods((store) => ({
        ...store,
        nextTask: (id: Parameters<typeof store.nextTask>[0]) => {
          questions += 1
          return store.nextTask(id)
        }
      })).pipe(Layer.provide(shared))
      yield* Effect.gen(function* () {
        yield* TestEngine.connect()
        yield* polling
        yield* TestClock.adjust("1 hour")
        yield* until(Effect.sync(() => source.calls.filter((call) => call === "changes").length >= 3))
        assert.strictEqual(questions, 0)
        yield* ended(yield* submit(forced))
        assert.isAbove(questions, 0)
      }).pipe(Effect.scoped, Effect.provide(layer(source, { store: counting })))
    }).pipe(Effect.scoped)
  })
})
