import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as DownloadBudget from "../../../src/engine/sync/DownloadBudget.ts"

const megabyte = 1024 * 1024
const total = 16 * megabyte
const body = 4 * megabyte

/** Begins a download that requests this many bytes, in its own scope. */
const download = Effect.fnUntraced(function* (run: ReturnType<DownloadBudget.Budget["run"]>, bytes: number) {
  const scope = yield* Scope.make()
  const share = yield* Scope.provide(run.begin, scope)
  const growing = yield* Effect.forkChild(share.grow(bytes), { startImmediately: true })
  return { share, growing, end: Scope.close(scope, Exit.void), waits: () => growing.pollUnsafe() === undefined }
})

describe("the budget of all downloads", () => {
  it.effect("is never exceeded, whatever the downloads are, and all of them end", () =>
    Effect.gen(function* () {
      const budget = DownloadBudget.make(total)
      const runs = Array.from({ length: 5 }, () => budget.run())
      let peak = 0
      let ended = 0
      const one = (index: number) =>
        Effect.gen(function* () {
          const share = yield* runs[index % runs.length]?.begin ?? Effect.die("no run")
          yield* Effect.yieldNow
          yield* share.grow(yield* Random.nextIntBetween(0, 3 * body))
          peak = Math.max(peak, budget.inUse())
          yield* Effect.yieldNow
          if (yield* Random.nextBoolean) yield* share.stream
          for (let turn = yield* Random.nextIntBetween(0, 5); turn > 0; turn--) yield* Effect.yieldNow
          if (yield* Random.nextBoolean) return yield* Effect.fail("broken")
        }).pipe(
          Effect.scoped,
          Effect.exit,
          Effect.tap(() => Effect.sync(() => ended++))
        )
      yield* Effect.forEach(
        Array.from({ length: 500 }, (_, index) => index),
        one,
        { concurrency: "unbounded" }
      )
      assert.strictEqual(ended, 500)
      assert.isAtMost(peak, total)
      assert.isAbove(peak, total / 2)
      assert.strictEqual(budget.inUse(), 0)
    }).pipe(Random.withSeed("downloads"))
  )

  it.effect("lets small bodies begin while large ones wait", () =>
    Effect.gen(function* () {
      const budget = DownloadBudget.make(total)
      const large = budget.run()
      const others = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => download(large, body))
      assert.isTrue(others.some(({ waits }) => waits()))
      const small = yield* download(budget.run(), 100_000)
      yield* Fiber.join(small.growing)
      for (const { end } of [...others, small]) yield* end
      assert.strictEqual(budget.inUse(), 0)
    })
  )

  it.effect("lets a small body of another run begin while many runs have begun all the large ones that they may", () =>
    Effect.gen(function* () {
      const budget = DownloadBudget.make(total)
      const runs = Array.from({ length: 6 }, () => budget.run())
      const scope = yield* Scope.make()
      for (const run of runs) {
        for (let count = 0; count < 8; count++) {
          // Most of the downloads wait, and those that have begun wait for their larger share.
          yield* run.begin.pipe(
            Effect.flatMap((share) => share.grow(body)),
            Scope.provide(scope),
            Effect.forkChild({ startImmediately: true })
          )
        }
      }
      const small = yield* Effect.forkChild(download(budget.run(), 100_000), { startImmediately: true })
      for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
      assert.strictEqual(small.pollUnsafe()?._tag, "Success")
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.effect("leaves a part to others: a run with many slow bodies does not stop another's large one", () =>
    Effect.gen(function* () {
      const budget = DownloadBudget.make(total)
      const slow = budget.run()
      const held = yield* Effect.forEach([1, 2, 3], () => download(slow, 2 * megabyte))
      for (const { growing } of held) yield* Fiber.join(growing)
      const more = yield* download(slow, 2 * megabyte)
      assert.isTrue(more.waits())
      const other = yield* download(budget.run(), 2 * megabyte)
      yield* Fiber.join(other.growing)
      assert.isTrue(more.waits())
      yield* other.end
      assert.isTrue(more.waits())
      // The next download may use the bytes that a stream returns.
      yield* held[0]?.share.stream ?? Effect.void
      yield* held[1]?.share.stream ?? Effect.void
      yield* Fiber.join(more.growing)
      for (const { end } of [...held, more]) yield* end
      assert.strictEqual(budget.inUse(), 0)
    })
  )

  it.effect("serves those that wait in order", () =>
    Effect.gen(function* () {
      const budget = DownloadBudget.make(total)
      const first = yield* download(budget.run(), 6 * megabyte)
      yield* Fiber.join(first.growing)
      const second = yield* download(budget.run(), 6 * megabyte)
      // The third would fit, but still waits: otherwise a large body could wait for ever.
      const third = yield* download(budget.run(), 2 * megabyte)
      assert.deepStrictEqual([second.waits(), third.waits()], [true, true])
      yield* first.end
      yield* Fiber.join(second.growing)
      yield* Fiber.join(third.growing)
      for (const { end } of [second, third]) yield* end
    })
  )

  it.effect("takes nothing for a download that is interrupted while it waits", () =>
    Effect.gen(function* () {
      const budget = DownloadBudget.make(total)
      const first = yield* download(budget.run(), 6 * megabyte)
      const waiting = yield* download(budget.run(), 6 * megabyte)
      yield* Fiber.interrupt(waiting.growing)
      yield* waiting.end
      yield* first.end
      assert.strictEqual(budget.inUse(), 0)
      const next = yield* download(budget.run(), 6 * megabyte)
      yield* Fiber.join(next.growing)
      yield* next.end
    })
  )

  it.effect("of a size that is given holds back what goes beyond it", () =>
    Effect.gen(function* () {
      const budget = yield* DownloadBudget.DownloadBudget
      // Half of 16 MB, divided by the share with which each download begins.
      const atOnce = total / 2 / DownloadBudget.beginBytes
      const full = yield* Deferred.make<void>()
      let begun = 0
      const fiber = yield* Effect.forEach(
        Array.from({ length: atOnce + 1 }),
        () =>
          Effect.scoped(
            Effect.andThen(
              budget.run().begin,
              Effect.suspend(() => (++begun === atOnce ? Deferred.succeed(full, undefined) : Effect.void))
            ).pipe(Effect.andThen(Effect.never))
          ),
        { concurrency: "unbounded" }
      ).pipe(Effect.forkChild({ startImmediately: true }))
      yield* Deferred.await(full)
      for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
      assert.strictEqual(begun, atOnce)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(budget.inUse(), 0)
    }).pipe(
      Effect.provide(
        DownloadBudget.layer.pipe(
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { IDEM_DOWNLOAD_MEMORY_MB: "16" } })))
        )
      )
    )
  )

  it.effect("can't be set to less than one large body needs", () =>
    Effect.gen(function* () {
      const env = ConfigProvider.layer(ConfigProvider.fromEnv({ env: { IDEM_DOWNLOAD_MEMORY_MB: "8" } }))
      const error = yield* Effect.flip(Effect.provide(Effect.void, Layer.provide(DownloadBudget.layer, env)))
      assert.match(error.message, /IDEM_DOWNLOAD_MEMORY_MB/)
    })
  )
})
