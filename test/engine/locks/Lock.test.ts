/** Work under a database lock, and its end when the lock is lost. */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import * as Lock from "../../../src/engine/locks/Lock.ts"
import { LockStore } from "../../../src/engine/store/LockStore.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import * as Memory from "../../../src/stores/Memory.ts"

const ttl = Duration.seconds(30)

/** Starts work that never ends by itself, under a lock of this name. */
const begin = Effect.fnUntraced(function* (name: string, lock: typeof Lock.withLock | typeof Lock.withFreeLock) {
  const began = yield* Deferred.make<void>()
  const ended = yield* Deferred.make<void>()
  const work = Effect.andThen(Deferred.succeed(began, undefined), Effect.never).pipe(
    Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
  )
  const fiber = yield* Effect.forkChild(Effect.flip(lock(name)(work)))
  yield* Deferred.await(began)
  return { fiber, ended }
})

/** Takes the lock as if its holder had been unresponsive for longer than the lease. */
const steal = Effect.fnUntraced(function* (name: string) {
  const locks = yield* LockStore
  const holder = Option.getOrThrow(yield* locks.takeLock(name, { holder: "another", ttl }))
  assert.isTrue(Option.isNone(yield* locks.takeLock(name, { holder: "another", ttl, deadHolder: holder })))
})

it.layer(Memory.layer)("a lock", (it) => {
  for (const [how, lock] of Object.entries({ withLock: Lock.withLock, withFreeLock: Lock.withFreeLock })) {
    it.effect(`that another has taken ends the work, and stays the other's: ${how}`, () =>
      Effect.gen(function* () {
        const { ended, fiber } = yield* begin(how, lock)
        yield* steal(how)
        yield* TestClock.adjust("10 seconds")
        assert.isTrue(Deferred.isDoneUnsafe(ended))
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.message, `the lock "${how}" ran out, and another has it: try again`)
        const other = yield* (yield* LockStore).takeLock(how, { holder: "third", ttl })
        assert.deepStrictEqual(other, Option.some("another"))
      })
    )
  }

  it.effect("that stays held is waited for, for three minutes, and the error names its holder", () =>
    Effect.gen(function* () {
      yield* (yield* LockStore).takeLock("held", { holder: "another", ttl: Duration.minutes(4) })
      const first = yield* Effect.forkChild(Effect.flip(Lock.withLock("held")(Effect.void)))
      yield* TestClock.adjust("2 minutes")
      const second = yield* Effect.forkChild(Lock.withLock("held")(Effect.void))
      yield* TestClock.adjust("61 seconds")
      const error = yield* Fiber.join(first)
      assert.strictEqual(error.message, `the lock "held" has been held for 3m by another: try again`)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(second)
    })
  )

  it.effect("is kept for as long as the work takes, also by a database that is away at times", () =>
    Effect.gen(function* () {
      const locks = yield* LockStore
      let away = false
      const failing = new StoreError({ message: "away", cause: "away" })
      const faulty = {
        ...locks,
        takeLock: ((name, options) =>
          away ? Effect.fail(failing) : locks.takeLock(name, options)) satisfies (typeof locks)["takeLock"]
      }
      const { ended } = yield* Effect.provideService(begin("long", Lock.withLock), LockStore, faulty)
      for (let minute = 0; minute < 10; minute += 1) {
        away = true
        yield* TestClock.adjust("20 seconds")
        away = false
        yield* TestClock.adjust("40 seconds")
        assert.isTrue(Option.isSome(yield* locks.takeLock("long", { holder: "another", ttl })))
      }
      assert.isFalse(Deferred.isDoneUnsafe(ended))
    })
  )
})
