/** Acquiring a lease, renewing it during a run, and ending a run that makes no progress. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import * as Lease from "../../../src/engine/locks/Lease.ts"
import { ProcessIdentity } from "../../../src/engine/locks/ProcessIdentity.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import { replaceMethods, WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { connect, ttl } from "../../stores/scenario.ts"

const begin = Effect.gen(function* () {
  const { id } = yield* connect()
  const taken = yield* Lease.acquire(id)
  if (taken._tag === "Taken") return yield* Effect.die(new Error("it is held"))
  const meter = yield* RunMeter.make()
  const keeping = yield* Effect.forkChild(Lease.renew(taken.connection, meter))
  const another = Effect.flatMap(WholeStore, (store) => store.acquire(id, { holder: "another process", ttl }))
  return { another, connection: taken.connection, keeping, meter }
})

/** Makes a connection whose lease another process holds, and an effect with which that process releases it. */
const heldBy = Effect.fnUntraced(function* (holder: string) {
  const store = yield* WholeStore
  const { id } = yield* connect()
  const take = (by: string) => Effect.flatMap(store.acquire(id, { holder: by, ttl }), Effect.fromOption)
  const release = ({ fence }: { readonly fence: bigint }) => store.release({ connectionId: id, fence }, {})
  return { id, release, take, taken: yield* take(holder) }
})

it.layer(Memory.layer)("a lease", (it) => {
  it.effect("of a dead process is taken over at once, and that of a live one is not", () =>
    Effect.gen(function* () {
      const dead = yield* heldBy("dead")
      assert.strictEqual((yield* Lease.acquire(dead.id))._tag, "Acquired")
      const live = yield* heldBy("alive")
      assert.deepStrictEqual(yield* Lease.acquire(live.id), { _tag: "Taken", holder: "alive" })
    }).pipe(
      Effect.provideService(ProcessIdentity, {
        self: Effect.succeed("this process"),
        isDead: (holder) => Effect.succeed(holder === "dead")
      })
    )
  )

  it.effect("that is held is waited for, and each holder is named once", () =>
    Effect.gen(function* () {
      const { id, release, take, taken } = yield* heldBy("one")
      const named: Array<string> = []
      const waiting = yield* Effect.forkChild(
        Lease.acquireWaiting(id, (holder) => Effect.sync(() => void named.push(holder)))
      )
      yield* TestClock.adjust("10 seconds")
      yield* release(taken)
      const later = yield* take("two")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(named, ["one", "two"])
      yield* release(later)
      yield* TestClock.adjust("1 second")
      const { connection } = yield* Fiber.join(waiting)
      assert.strictEqual(connection.id, id)
    })
  )

  it.effect("whose renewal fails while the database is away is renewed later", () =>
    Effect.gen(function* () {
      const { another, keeping } = yield* begin
      yield* TestClock.adjust("5 minutes")
      assert.isUndefined(keeping.pollUnsafe())
      assert.isTrue(Option.isNone(yield* another))
    }).pipe(
      Effect.provide(
        replaceMethods(({ renew }) => {
          let renewals = 0
          return {
            renew: (...args) => {
              renewals += 1
              const away = new StoreError({ message: "renewing a lease: the database is away", cause: "reset" })
              return renewals % 2 === 1 ? Effect.fail(away) : renew(...args)
            }
          }
        })
      )
    )
  )

  it.effect("is renewed while the run moves, so that nobody else acquires it, however long it takes", () =>
    Effect.gen(function* () {
      const { another, keeping, meter } = yield* begin
      for (let second = 0; second < 20 * 60; second += 1) {
        yield* TestClock.adjust("1 second")
        yield* RunMeter.touch(meter)
        assert.isTrue(Option.isNone(yield* another), `after ${second} seconds`)
      }
      assert.isUndefined(keeping.pollUnsafe())
    })
  )

  it.effect("ends the run once nothing moved for ten minutes, and not sooner", () =>
    Effect.gen(function* () {
      const { keeping } = yield* begin
      yield* TestClock.adjust("590 seconds")
      assert.isUndefined(keeping.pollUnsafe())
      yield* TestClock.adjust("30 seconds")
      assert.isDefined(keeping.pollUnsafe())
      const error = yield* Effect.flip(Fiber.join(keeping))
      assert.deepInclude(error, { _tag: "Stalled", message: "no call, no bytes and no commit for 10m" })
    })
  )

  it.effect("ends the run once another process has acquired it", () =>
    Effect.gen(function* () {
      const { connection, keeping } = yield* begin
      const store = yield* WholeStore
      yield* store.release({ connectionId: connection.id, fence: connection.fence }, {})
      assert.isTrue(Option.isSome(yield* store.acquire(connection.id, { holder: "another process", ttl })))
      yield* TestClock.adjust("30 seconds")
      assert.isDefined(keeping.pollUnsafe())
      assert.strictEqual((yield* Effect.flip(Fiber.join(keeping)))._tag, "Superseded")
    })
  )
})
