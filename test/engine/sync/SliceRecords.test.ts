/** The records of a slice: its row, and its metrics. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { ttl } from "../../stores/scenario.ts"
import { integration, MemorySource, only } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import { connect, engineOver, poll, sync, withConnection } from "../../support/TestEngine.ts"

const runsOf = (connection: Connection) => Effect.flatMap(WholeStore, (store) => store.runs(connection.id, 10))

describe("a slice", () => {
  it.effect("is counted by its result, its duration and its problems, and by a lease that it lost", () =>
    withConnection(function* (source, connection) {
      const store = yield* WholeStore
      const state = (name: string, status?: string) =>
        Effect.map(
          Metric.snapshot,
          (all) => all.find(({ attributes, id }) => id === name && attributes?.["status"] === status)?.state
        )
      source.problems = [
        { place: "a", message: "refused" },
        { place: "b", message: "refused" }
      ]
      source.answer = only("list", TestClock.adjust("7 seconds"))
      yield* poll(connection)
      assert.deepInclude(yield* state("idem_run_duration_seconds"), { count: 1, sum: 7 })
      assert.deepInclude(yield* state("idem_runs_total", "partial"), { count: 1 })
      assert.deepInclude(yield* state("idem_problems_total"), { count: 2 })
      assert.isUndefined(yield* state("idem_leases_lost_total"))
      source.answer = only("changes", Effect.never)
      const interrupted = yield* Effect.forkChild(poll(connection))
      yield* until(Effect.sync(() => source.calls.includes("changes")))
      yield* Fiber.interrupt(interrupted)
      assert.deepInclude(yield* state("idem_runs_total", "interrupted"), { count: 1 })
      source.add("c")
      source.answer = only(
        "changes",
        Effect.flatMap(store.connection(connection.id), (row) =>
          store.acquire(connection.id, {
            holder: "another process",
            ttl,
            deadHolder: Option.getOrThrow(row).lease?.holder
          })
        ).pipe(Effect.orDie, Effect.asVoid)
      )
      assert.strictEqual((yield* poll(connection)).error?.reason, "Superseded")
      assert.deepInclude(yield* state("idem_leases_lost_total"), { count: 1 })
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("that fails before it has begun leaves a row of its kind that says why", () => {
    const source = new MemorySource()
    source.addMany(2)
    const real = integration(source)
    let isBroken = false
    const decodeConfig: typeof real.decodeConfig = (config) =>
      isBroken ? Effect.die(new RangeError("s3cret")) : real.decodeConfig(config)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* poll(connection)
      isBroken = true
      const { error } = yield* poll(connection)
      assert.strictEqual(error?.reason, "Defect")
      const failed = { status: "failed", error, notes: [] } as const
      assert.deepInclude((yield* runsOf(connection))[0], { kind: "poll", taskId: null, ...failed })
      const task = yield* sync(connection, { window: { since: yield* DateTime.now } })
      assert.deepInclude(task.error, { reason: "Defect" })
      const [run] = yield* runsOf(connection)
      assert.deepInclude(run, { kind: "window", ...failed, error: task.error })
      assert.isNotNull(run?.taskId)
      isBroken = false
      source.add("another")
      yield* poll(connection)
      assert.deepInclude((yield* runsOf(connection))[0], { kind: "poll", status: "succeeded", error: null })
    }).pipe(Effect.provide(engineOver(Memory.layer, { ...real, decodeConfig })))
  })
})
