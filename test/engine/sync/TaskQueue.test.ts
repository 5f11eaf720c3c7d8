/**
 * How a process that serves runs the tasks that wait: in slices, in turns with the polls, and whatever fails or dies.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { RateLimited, Transient, Unauthorized } from "../../../src/contract/IntegrationError.ts"
import * as Scheduler from "../../../src/engine/schedule/Scheduler.ts"
import { pausedByPerson } from "../../../src/engine/model/Connection.ts"
import { RunId } from "../../../src/engine/model/Run.ts"
import { TaskId } from "../../../src/engine/model/Task.ts"
import { WholeStore, replaceMethods } from "../../../src/testing/WholeStore.ts"
import { ApiClient } from "../../../src/http/client/ApiClient.ts"
import * as LocalApi from "../../../src/http/client/LocalApi.ts"
import type { Task } from "../../../src/http/tasks/TaskDocuments.ts"
import type { SyncRequest } from "../../../src/http/tasks/TaskEndpoints.ts"
import { batch, miss, take } from "../../stores/scenario.ts"
import { fault, MemorySource } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import * as TestEngine from "../../support/TestEngine.ts"

const layer = (source: MemorySource, options: Parameters<typeof TestEngine.layer>[1] = {}) =>
  Layer.provideMerge(Layer.provide(LocalApi.layer, NodeServices.layer), TestEngine.layer(source, options))

const polling = Layer.build(Scheduler.layer)

const at = (connection: string) => ({ params: { connection } })

const submitTo = Effect.fnUntraced(function* (connection: string, payload: SyncRequest) {
  const { tasks } = yield* ApiClient
  const answer = yield* tasks.submit({ ...at(connection), headers: {}, payload })
  return "createdAt" in answer ? answer : yield* Effect.die(new Error("a dry run is no task"))
})

const forced: SyncRequest = { force: true }
const submit = (payload: SyncRequest) => submitTo("test", payload)
const retryAll = ApiClient.use(({ connections }) => connections.redrive({ ...at("test"), payload: null }))

const taskOf = (connection: string, { task }: Task) =>
  ApiClient.use(({ tasks }) => tasks.get({ params: { connection, task } }))

const runs = ApiClient.use(({ tasks }) =>
  Effect.map(tasks.runs({ ...at("test"), query: { limit: 100 } }), (answer) => answer.runs)
)

const statusOf = (name: string) => ApiClient.use(({ connections }) => connections.get(at(name)))
const pause = (name: string) => ApiClient.use(({ connections }) => connections.pause(at(name)))

const setEvery = (every: Duration.Duration) =>
  ApiClient.use(({ connections }) => connections.change({ ...at("test"), payload: { every } }))

/** The task once this holds of it. */
const once = Effect.fnUntraced(function* (task: Task, holds: (task: Task) => boolean) {
  const now = taskOf("test", task)
  yield* until(Effect.map(now, holds))
  return yield* now
})
const ended = (task: Task) => once(task, ({ finishedAt }) => finishedAt !== null)

/** A connection with everything stored, polled every hour. */
const stored = Effect.fnUntraced(function* (paused = false) {
  const connection = yield* TestEngine.connect()
  yield* TestEngine.sync(connection)
  yield* setEvery(Duration.hours(1))
  if (paused) yield* pause("test")
  return connection
})

const short = { slicePages: 2 }

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
      source.add("urgent")
      yield* setEvery(Duration.seconds(5))
      yield* until(Effect.map(TestEngine.ids(connection), (ids) => ids.includes("urgent")))
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
      yield* polling
      yield* once(long, ({ status }) => status === "running")
      const quick = yield* submitTo("other", {})
      yield* until(Effect.map(taskOf("other", quick), ({ status }) => status === "succeeded"))
      assert.strictEqual((yield* TestEngine.ids(other)).length, 10)
      assert.strictEqual((yield* ended(long)).counts.unchanged, 300)
    }).pipe(Effect.scoped, Effect.provide(layer(source, { limits: { slicePages: 1 } })))
  })

  it.effect("counts failures in a row only: one that works in between starts again", () => {
    const source = new MemorySource()
    source.addMany(60)
    return Effect.gen(function* () {
      yield* stored(true)
      const store = yield* WholeStore
      const task = yield* submit(forced)
      const row = Effect.map(store.task(TaskId.make(task.task)), Option.getOrThrow)
      /** How many pages the source lists before it is down again. */
      let pages = 0
      source.answer = (method) =>
        Effect.suspend(() => {
          if (method !== "list") return Effect.void
          pages -= 1
          return pages < 0 ? fault(new Transient({ message: "503" })) : Effect.void
        })
      yield* polling
      const fourTimes = Effect.map(row, ({ failures, finishedAt }) => failures === 4 || finishedAt !== null)
      yield* until(fourTimes)
      pages = 1
      yield* until(Effect.map(row, ({ failures, finishedAt }) => failures < 4 || finishedAt !== null))
      yield* until(fourTimes)
      assert.isNull((yield* row).finishedAt)
      pages = Number.POSITIVE_INFINITY
      assert.strictEqual((yield* ended(task)).status, "succeeded")
    }).pipe(Effect.scoped, Effect.provide(layer(source, { limits: { slicePages: 1 } })))
  })

  it.effect("tries again what may pass, with growing waits, and goes on from where it was", () => {
    const source = new MemorySource()
    source.addMany(60)
    return Effect.gen(function* () {
      yield* stored(true)
      source.downloaded.length = 0
      let away: number | undefined
      source.answer = (method) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (method !== "list" || source.downloaded.length < 20) return Effect.void
          away ??= now
          return now - away < 60_000 ? fault(new Transient({ message: "the source is away" })) : Effect.void
        })
      const task = yield* submit(forced)
      yield* polling
      const end = yield* ended(task)
      assert.deepStrictEqual([end.status, end.error, end.counts.unchanged], ["succeeded", null, 60])
      assert.strictEqual(source.downloaded.length, 60)
      const ran = (yield* runs).filter((run) => run.task === task.task).toReversed()
      const waits = ran.flatMap(({ finishedAt, status }, index) => {
        const next = ran[index + 1]
        return status !== "failed" || finishedAt === null || next === undefined
          ? []
          : [DateTime.toEpochMillis(next.startedAt) - DateTime.toEpochMillis(finishedAt)]
      })
      assert.isAtLeast(waits.length, 2)
      for (const [index, waited] of waits.entries()) assert.isAtLeast(waited, 10_000 * 2 ** index)
    }).pipe(Effect.scoped, Effect.provide(layer(source, { limits: short })))
  })

  it.effect("ends as failed when what may pass does not, and the same request goes on from there", () => {
    const source = new MemorySource()
    source.addMany(60)
    return Effect.gen(function* () {
      yield* stored(true)
      source.downloaded.length = 0
      source.answer = (method) =>
        method === "list" && source.downloaded.length >= 20
          ? fault(new Transient({ message: "the source is away" }))
          : Effect.void
      yield* polling
      const task = yield* submit(forced)
      const failed = yield* ended(task)
      assert.deepStrictEqual(
        [failed.status, failed.error],
        ["failed", { reason: "Transient", message: "the source is away" }]
      )
      source.answer = () => Effect.void
      const end = yield* ended(yield* submit(forced))
      assert.notStrictEqual(end.task, task.task)
      assert.strictEqual(end.status, "succeeded")
      assert.strictEqual(failed.counts.unchanged + end.counts.unchanged, 60)
    }).pipe(Effect.scoped, Effect.provide(layer(source, { limits: short })))
  })

  it.effect("waits as long as the source asks, which is no failure", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      yield* stored(true)
      let refusals = 0
      source.answer = (method) => {
        if (method !== "list" || refusals === 8) return Effect.void
        refusals += 1
        return fault(new RateLimited({ message: "slow down", retryAfter: Duration.minutes(20) }))
      }
      const from = yield* Clock.currentTimeMillis
      yield* polling
      const end = yield* ended(yield* submit(forced))
      assert.deepStrictEqual([refusals, end.status, end.counts.unchanged], [8, "succeeded", 3])
      assert.isAtLeast((yield* Clock.currentTimeMillis) - from, 8 * 20 * 60_000)
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("ends at once where the source refuses the grant, and leaves a person's pause its reason", () => {
    const source = new MemorySource()
    return Effect.gen(function* () {
      yield* stored(true)
      source.answer = () => fault(new Unauthorized({ message: "revoked" }))
      yield* polling
      const end = yield* ended(yield* submit(forced))
      assert.deepStrictEqual([end.status, end.error?.reason], ["failed", "Unauthorized"])
      assert.strictEqual((yield* statusOf("test")).paused, pausedByPerson)
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("outlives the process that runs it: the next goes on, with nothing lost and no page listed twice", () => {
    const source = new MemorySource()
    source.addMany(100)
    return Effect.gen(function* () {
      const shared = yield* TestEngine.shared
      // Two processes: what one dies of, the other knows nothing of.
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

  it.effect("to retry takes the rows that were there, in slices, and no others", () => {
    const source = new MemorySource()
    source.addMany(1201, "x")
    return Effect.gen(function* () {
      const connection = yield* TestEngine.connect()
      const store = yield* WholeStore
      yield* pause("test")
      const fence = yield* take(connection.id)
      const misses = [...source.items.keys()].map((id) => miss(id, { attempts: 5 }))
      yield* store.commit(fence, { ...batch(RunId.make("none"), { misses }), runId: undefined })
      yield* store.release(fence, {})
      yield* polling
      const end = yield* ended(yield* retryAll)
      assert.deepStrictEqual([end.status, end.counts.retried, end.counts.stored], ["succeeded", 1201, 1201])
      assert.strictEqual((yield* runs).length, 3)
      assert.strictEqual((yield* TestEngine.ids(connection)).length, 1201)
      const nothing = yield* ended(yield* retryAll)
      assert.deepStrictEqual([nothing.status, nothing.counts.retried], ["succeeded", 0])
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("is not asked for by a poll that is quiet: it costs the store nothing", () => {
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
