import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { RunStore } from "../../../src/engine/store/RunStore.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { WebhookStore } from "../../../src/engine/store/WebhookStore.ts"
import * as Maintenance from "../../../src/engine/schedule/Maintenance.ts"
import { bytes, MemorySource } from "../../support/MemorySource.ts"
import { connect, layer, sync } from "../../support/TestEngine.ts"

const settingsOf = (env: Record<string, string>) =>
  Maintenance.settings
    .parse(ConfigProvider.fromEnv({ env }))
    .pipe(Effect.map(({ keepRuns }) => Duration.toDays(keepRuns)))

describe("maintenance", () => {
  it.effect("removes runs after 30 days, but the last, and bodies that nothing names, day by day", () => {
    const source = new MemorySource()
    source.add("a", { revision: "1" })
    source.by = "revision"
    return Effect.gen(function* () {
      const store = yield* WholeStore
      const connection = yield* connect()
      yield* sync(connection)
      const before = Option.getOrThrow(yield* store.content(connection.id, "a")).hash ?? ""
      source.add("a", { revision: "2", body: bytes("another body") })
      yield* sync(connection)
      const after = Option.getOrThrow(yield* store.content(connection.id, "a")).hash ?? ""
      assert.notStrictEqual(before, after)
      const isThere = (hash: string) =>
        Effect.map(Effect.exit(Stream.runDrain(store.body(hash))), (exit) => exit._tag === "Success")
      const runs = Effect.map(store.runs(connection.id, 10), (all) => all.length)

      yield* Maintenance.daily({ keepRuns: Duration.days(30) })
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([yield* runs, yield* isThere(before), yield* isThere(after)], [2, true, true])
      yield* TestClock.adjust("2 days")
      assert.deepStrictEqual([yield* runs, yield* isThere(before), yield* isThere(after)], [2, false, true])
      yield* TestClock.adjust("27 days")
      assert.strictEqual(yield* runs, 2)
      yield* TestClock.adjust("90 days")
      assert.deepStrictEqual([yield* runs, yield* isThere(after)], [1, true])
    }).pipe(Effect.scoped, Effect.provide(layer(source)))
  })

  it.effect("removes old messages of webhooks, also in processes that are restarted daily", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const pruned: Array<Parameters<(typeof store)["prune"]>[0]> = []
      const counting = {
        ...store,
        prune: (olderThan: (typeof pruned)[number]) => Effect.sync(() => pruned.push(olderThan))
      }
      const started = Maintenance.daily({ keepRuns: Duration.days(30) }).pipe(
        Effect.andThen(TestClock.adjust("1 hour")),
        Effect.scoped,
        Effect.provideService(WebhookStore, counting)
      )
      yield* Effect.repeat(started, { times: 1 })
      const kept = { delivered: Duration.days(3), dead: Duration.days(30) }
      assert.deepStrictEqual(pruned, [kept, kept])
    }).pipe(Effect.provide(layer(new MemorySource())))
  )

  it.effect("goes on, that day and the next, after a step that failed", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const webhooks = yield* WebhookStore
      const message = "removing old runs: the database is away"
      const failures = [Effect.die(new Error("no such column")), Effect.fail(new StoreError({ message, cause: "" }))]
      let asked = 0
      let pruned = 0
      yield* Maintenance.daily({ keepRuns: Duration.days(30) }).pipe(
        Effect.andThen(TestClock.adjust("50 hours")),
        Effect.scoped,
        Effect.provideService(RunStore, { ...store, pruneRuns: () => failures[asked++] ?? Effect.succeed(0) }),
        Effect.provideService(WebhookStore, { ...webhooks, prune: () => Effect.sync(() => (pruned += 1)) })
      )
      assert.deepStrictEqual([asked, pruned], [3, 3])
    }).pipe(Effect.provide(layer(new MemorySource())))
  )

  it.effect("keeps runs for as long as IDEM_KEEP_RUNS says, and refuses what is no duration", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* settingsOf({}), 30)
      assert.strictEqual(yield* settingsOf({ IDEM_KEEP_RUNS: "90 days" }), 90)
      assert.strictEqual(yield* settingsOf({ IDEM_KEEP_RUNS: "" }), 30)
      for (const wrong of ["long", "-5 days", "0 days", "23 hours", "Infinity"]) {
        assert.strictEqual((yield* Effect.flip(settingsOf({ IDEM_KEEP_RUNS: wrong })))._tag, "ConfigError")
      }
    })
  )
})
