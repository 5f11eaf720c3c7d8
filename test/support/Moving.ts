/** A test clock that advances while real work continues. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Duration from "effect/Duration"
import * as TestClock from "effect/testing/TestClock"

/** Gives the event loop a turn, which files and a cluster's fibers need between two steps. */
export const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Runs an effect while the clock moves in steps. */
export const moving = <A, E, R>(effect: Effect.Effect<A, E, R>, step: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    const running = yield* Effect.forkChild(effect)
    const clock = yield* Effect.forkChild(Effect.forever(Effect.andThen(turn, TestClock.adjust(step))))
    const result = yield* Fiber.join(running)
    yield* Fiber.interrupt(clock)
    return result
  })

/** Moves the clock second by second until the condition holds, for at most a day. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    for (let second = 0; second < 86_400; second += 1) {
      if (yield* condition) return
      yield* TestClock.adjust("1 second")
      yield* turn
    }
    return yield* Effect.die(new Error("it never came to be"))
  })
