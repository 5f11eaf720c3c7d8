/** The pace of derivation beside other work. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Throttle from "../../src/derive/Throttle.ts"
import { LocalCommits } from "../../src/engine/feed/LocalCommits.ts"

/** Runs pieces that take this long, one after the other. Returns the number of pieces that began in this time. */
const begunIn = (options: {
  readonly piece: Duration.Input
  readonly isBusy: boolean
  readonly time: Duration.Input
}) =>
  Effect.gen(function* () {
    let begun = 0
    const piece = Effect.suspend(() => {
      begun += 1
      return Effect.sleep(options.piece)
    })
    const throttled = Throttle.make(Effect.as(Effect.sleep("20 millis"), options.isBusy))
    const fiber = yield* Effect.forkChild(Effect.forever(throttled(piece)))
    yield* TestClock.adjust(options.time)
    yield* Fiber.interrupt(fiber)
    return begun
  })

it.effect("a busy process derives for one percent of the time, in pieces", () =>
  Effect.gen(function* () {
    assert.strictEqual(yield* begunIn({ piece: "100 millis", isBusy: true, time: "29 seconds" }), 0)
    assert.strictEqual(yield* begunIn({ piece: "100 millis", isBusy: true, time: "100 seconds" }), 3)
    assert.strictEqual(yield* begunIn({ piece: "2 seconds", isBusy: true, time: "231 seconds" }), 1)
    assert.strictEqual(yield* begunIn({ piece: "2 seconds", isBusy: true, time: "233 seconds" }), 2)
    assert.strictEqual(yield* begunIn({ piece: "1 minute", isBusy: true, time: "700 seconds" }), 2)
  })
)

it.effect("an idle process derives one piece after the other", () =>
  Effect.gen(function* () {
    assert.isAtLeast(yield* begunIn({ piece: "100 millis", isBusy: false, time: "12 seconds" }), 99)
  })
)

it.live("a process whose runs commit is busy", () =>
  Effect.gen(function* () {
    const { announce } = yield* LocalCommits
    const committing = yield* Effect.forkChild(Effect.forever(Effect.andThen(announce, Effect.sleep("5 millis"))))
    assert.isTrue(yield* Throttle.isBusy)
    yield* Fiber.interrupt(committing)
  })
)
