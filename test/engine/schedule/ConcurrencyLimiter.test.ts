import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { randomUUID } from "node:crypto"
import { Bounds, type Kind, ConcurrencyLimiter } from "../../../src/engine/schedule/ConcurrencyLimiter.ts"
import { ConnectionId } from "../../../src/engine/model/Connection.ts"
import { Slot } from "../../../src/engine/source/Slot.ts"

const bounds = { working: 4, begun: 8, workingBackfills: 3, begunBackfills: 6 }

/** Starts slices that do not end by themselves. */
const holding = Effect.fnUntraced(function* (
  kind: Kind,
  slice: Effect.Effect<unknown> = Effect.never,
  path: readonly [string, string] = ["budget", "account"],
  connectionId = ConnectionId.make(randomUUID())
) {
  const limiter = yield* ConcurrencyLimiter
  const begun = yield* Deferred.make<void>()
  const fiber = yield* Effect.forkChild(
    limiter.take({ connectionId, kind, path }, Effect.andThen(Deferred.succeed(begun, undefined), slice))
  )
  yield* Effect.yieldNow
  return { fiber, begun: Deferred.isDone(begun), end: Fiber.interrupt(fiber) }
})

const begunOf = (all: ReadonlyArray<{ readonly begun: Effect.Effect<boolean> }>) =>
  Effect.map(
    Effect.forEach(all, (one) => one.begun),
    (begun) => begun.filter(Boolean).length
  )

const many = (count: number, kind: Kind, slice?: Effect.Effect<unknown>) =>
  Effect.forEach(Array.from({ length: count }), () => holding(kind, slice))

/** A slice with one call, which waits for quota for ever. */
const waiting = Effect.flatMap(Slot, (slot) => slot.calling(slot.admitting(slot.sleeping(Effect.never))))

const provided = Effect.provide(Layer.provide(ConcurrencyLimiter.layer, Layer.succeed(Bounds, bounds)))

describe("slots", () => {
  it.effect("are for so many slices at a time; as one ends the next begins", () =>
    Effect.gen(function* () {
      const all = yield* many(6, "poll")
      assert.strictEqual(yield* begunOf(all), 4)
      yield* all[1]!.end
      yield* Effect.yieldNow
      assert.deepStrictEqual(yield* Effect.forEach(all, (one) => one.begun), [true, true, true, true, true, false])
      // An interrupted waiter does not take a slot later.
      yield* all[5]!.end
      yield* all[0]!.end
      const next = yield* holding("poll")
      assert.isTrue(yield* next.begun)
    }).pipe(provided)
  )

  it.effect("are left to polls by backfills, however many of these wait", () =>
    Effect.gen(function* () {
      const backfills = yield* many(20, "backfill")
      assert.strictEqual(yield* begunOf(backfills), 3)
      const poll = yield* holding("poll")
      assert.isTrue(yield* poll.begun)
      const second = yield* holding("poll")
      assert.isFalse(yield* second.begun)
      // The slot of a poll goes to the waiting poll, not to the backfills that waited longer.
      yield* poll.end
      yield* Effect.yieldNow
      assert.isTrue(yield* second.begun)
      assert.strictEqual(yield* begunOf(backfills), 3)
    }).pipe(provided)
  )

  it.effect("are lent by slices that only wait for quota, up to a bound", () =>
    Effect.gen(function* () {
      const backfills = yield* many(20, "backfill", waiting)
      assert.strictEqual(yield* begunOf(backfills), 6)
      const polls = yield* many(5, "poll", waiting)
      assert.strictEqual(yield* begunOf(polls), 2)
      // First come, first served: the backfill that has waited longest gets a slot again.
      yield* backfills[0]!.end
      yield* Effect.yieldNow
      assert.deepStrictEqual([yield* begunOf(backfills), yield* begunOf(polls)], [7, 2])
      yield* polls[0]!.end
      yield* Effect.yieldNow
      assert.strictEqual(yield* begunOf(polls), 3)
    }).pipe(provided)
  )

  it.effect("are taken back at once when the time has come, and not lent while a call is out", () =>
    Effect.gen(function* () {
      // The slice is working: one call sleeps, and the other has reached the source.
      const half = Effect.flatMap(Slot, (slot) =>
        Effect.all([slot.calling(slot.admitting(slot.sleeping(Effect.never))), slot.calling(Effect.never)], {
          concurrency: 2
        })
      )
      const working = yield* many(4, "poll", half)
      assert.strictEqual(yield* begunOf(working), 4)
      const kept = yield* holding("poll")
      assert.isFalse(yield* kept.begun)
      yield* Effect.forEach(working, (one) => one.end)

      const resumed = yield* Deferred.make<void>()
      const briefly = Effect.flatMap(Slot, (slot) =>
        Effect.andThen(
          slot.calling(slot.admitting(slot.sleeping(Effect.sleep("1 second")))),
          Effect.andThen(Deferred.succeed(resumed, undefined), Effect.never)
        )
      )
      const sleeper = yield* holding("poll", briefly)
      const rest = yield* many(3, "poll")
      assert.strictEqual(yield* begunOf([kept, sleeper, ...rest]), 5)
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* Deferred.isDone(resumed))
      // The bound is exceeded by one slice, so two must end before another begins.
      const last = yield* holding("poll")
      yield* kept.end
      yield* Effect.yieldNow
      assert.isFalse(yield* last.begun)
      yield* sleeper.end
      yield* Effect.yieldNow
      assert.isTrue(yield* last.begun)
    }).pipe(provided)
  )

  it.effect("are given to a connection one at a time, while others go on", () =>
    Effect.gen(function* () {
      const connectionId = ConnectionId.make(randomUUID())
      const slice = () => holding("poll", Effect.never, ["budget", "account"], connectionId)
      const first = yield* slice()
      const second = yield* slice()
      const other = yield* holding("poll")
      assert.deepStrictEqual([yield* first.begun, yield* second.begun, yield* other.begun], [true, false, true])
      yield* first.end
      yield* Effect.yieldNow
      assert.isTrue(yield* second.begun)
    }).pipe(provided)
  )

  it.effect("go in turns to budgets, and within a budget to its accounts", () =>
    Effect.gen(function* () {
      const began: Array<string> = []
      const slice = (name: string) =>
        Effect.andThen(
          Effect.sync(() => began.push(name)),
          Effect.never
        )
      const take = (name: string, path: readonly [string, string]) => holding("poll", slice(name), path)
      const first = yield* many(4, "poll")
      const large = yield* Effect.forEach(Array.from({ length: 100 }), () => take("a1", ["a", "1"]))
      const gone = yield* take("gone", ["c", "1"])
      yield* take("a2", ["a", "2"])
      yield* take("b1", ["b", "1"])
      // A group whose only slice was interrupted gets no turn.
      yield* gone.end
      yield* Effect.forEach(first, (one) => Effect.andThen(one.end, Effect.yieldNow))
      assert.deepStrictEqual(began, ["a1", "b1", "a2", "a1"])
      // Once no other budget waits, every free slot goes to the waiting budget.
      yield* Effect.forEach(large.slice(0, 2), (one) => Effect.andThen(one.end, Effect.yieldNow))
      assert.deepStrictEqual(began.slice(4), ["a1", "a1"])
    }).pipe(provided)
  )
})
