import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { RateLimited, Transient, Unauthorized } from "../../../src/contract/IntegrationError.ts"
import { pausedByPerson } from "../../../src/engine/model/Connection.ts"
import { RunId } from "../../../src/engine/model/Run.ts"
import { TaskId } from "../../../src/engine/model/Task.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { ApiClient } from "../../../src/http/client/ApiClient.ts"
import { batch, ledgerUpdate, take } from "../../stores/scenario.ts"
import { fault, MemorySource } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import * as TestEngine from "../../support/TestEngine.ts"
import { layer, polling, at, forced, submit, runs, statusOf, pause, ended, stored, short } from "./taskFixture.ts"

const retryAll = ApiClient.use(({ connections }) => connections.redrive({ ...at("test"), payload: null }))

describe("a requested task", () => {
  it.effect("counts consecutive failures only: a slice that succeeds resets the count", () => {
    const source = new MemorySource()
    source.addMany(60)
    return Effect.gen(function* () {
      yield* stored(true)
      const store = yield* WholeStore
      const task = yield* submit(forced)
      const row = Effect.map(store.task(TaskId.make(task.task)), Option.getOrThrow)
      /** The number of pages that the source lists before it is unreachable again. */
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

  it.effect("retries temporary failures with growing waits, and continues where it was", () => {
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

  it.effect("ends as failed if a temporary failure persists, and the same request continues from there", () => {
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
        if (method !== "list" || refusals === 6) return Effect.void
        refusals += 1
        return fault(new RateLimited({ message: "slow down", retryAfter: Duration.minutes(5) }))
      }
      const from = yield* Clock.currentTimeMillis
      yield* polling
      const end = yield* ended(yield* submit(forced))
      assert.deepStrictEqual([refusals, end.status, end.counts.unchanged], [6, "succeeded", 3])
      assert.isAtLeast((yield* Clock.currentTimeMillis) - from, 6 * 5 * 60_000)
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

  it.effect("to retry takes the ledger rows that existed when it was requested, in slices, and no others", () => {
    const source = new MemorySource()
    source.addMany(1201, "x")
    return Effect.gen(function* () {
      const connection = yield* TestEngine.connect()
      const store = yield* WholeStore
      yield* pause("test")
      const fence = yield* take(connection.id)
      const ledgerUpdates = [...source.items.keys()].map((id) => ledgerUpdate(id, { attempts: 5 }))
      yield* store.commit(fence, { ...batch(RunId.make("none"), { ledgerUpdates }), runId: undefined })
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
})
