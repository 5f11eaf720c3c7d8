/** A worker that reads a hostile file uses up its limits, and the next request gets a response. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import * as WorkerPool from "../../src/workers/WorkerPool.ts"

const program = Path.join(import.meta.dirname, "hostileWorker.ts")

const pool = (longest: Duration.Duration) =>
  WorkerPool.make<string, string>({ program, atOnce: 1, megabytes: 32, longest })

const within = Effect.map(
  pool(Duration.minutes(1)),
  ({ ask }) =>
    (question: string) =>
      ask(Effect.succeed(question))
)

describe("a pool of workers", () => {
  for (const [question, reason] of [
    ["heap", "memory"],
    ["array", "memory"],
    ["buffers", "memory"],
    ["exit", "unreadable"],
    ["fail", "unreadable"]
  ] as const) {
    it.live(`gives the reason "${reason}" for a question that makes it ${question}, and answers the next one`, () =>
      Effect.gen(function* () {
        const ask = yield* within
        const failure = yield* Effect.flip(ask(question))
        assert.strictEqual(failure.reason, reason)
        assert.strictEqual(yield* ask("next"), "NEXT")
      }).pipe(Effect.scoped)
    )
  }

  it.live("keeps a worker warm, and replaces one that an answer has left with much memory", () =>
    Effect.gen(function* () {
      const ask = yield* within
      const first = yield* ask("which worker")
      assert.strictEqual(yield* ask("which worker"), first)
      assert.strictEqual(yield* ask("keep"), first)
      assert.notStrictEqual(yield* ask("which worker"), first)
    }).pipe(Effect.scoped)
  )

  it.live("asks another worker where one was ended while it was idle", () =>
    Effect.gen(function* () {
      const ask = yield* within
      const first = Number(yield* ask("which worker"))
      yield* Effect.sync(() => process.kill(first, "SIGKILL"))
      const isGone = Effect.sync(() => {
        try {
          return !process.kill(first, 0)
        } catch {
          return true
        }
      })
      yield* Effect.repeat(
        Effect.andThen(
          Effect.promise(() => new Promise(setImmediate)),
          isGone
        ),
        {
          until: (gone) => gone
        }
      )
      assert.notStrictEqual(Number(yield* ask("which worker")), first)
    }).pipe(Effect.scoped)
  )

  it.live("ends a worker that takes too much processor time, and waits for one that has to wait itself", () =>
    Effect.gen(function* () {
      const { ask } = yield* pool(Duration.seconds(1))
      const failure = yield* Effect.flip(ask(Effect.succeed("spin")))
      assert.strictEqual(failure.reason, "time")
      assert.include(failure.message, "1s of processor time")
      assert.strictEqual(yield* ask(Effect.succeed("wait")), "WAIT")
    }).pipe(Effect.scoped)
  )

  it.live("ends a worker whose answer does not come", () =>
    Effect.gen(function* () {
      const { ask } = yield* pool(Duration.millis(50))
      assert.strictEqual((yield* Effect.flip(ask(Effect.succeed("wait")))).reason, "time")
    }).pipe(Effect.scoped)
  )
})
