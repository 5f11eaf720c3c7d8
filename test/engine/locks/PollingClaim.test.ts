/** The claim of the process, or the cluster, that polls a database. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Limits } from "../../../src/engine/Limits.ts"
import * as PollingClaim from "../../../src/engine/locks/PollingClaim.ts"
import { ProcessIdentity } from "../../../src/engine/locks/ProcessIdentity.ts"
import { LockStore } from "../../../src/engine/store/LockStore.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import * as Memory from "../../../src/stores/Memory.ts"

/** Makes a claim as the process of this name. `dead` is a process that no longer runs. */
const as = <A, E, R>(name: string, claim: Effect.Effect<A, E, R>) =>
  Effect.provideService(claim, ProcessIdentity, {
    self: Effect.succeed(name),
    isDead: (holder) => Effect.succeed(holder === "dead")
  })

const one = (name: string) => as(name, PollingClaim.ofOneProcess)
const member = (name: string) => as(name, PollingClaim.ofCluster)
const messageOf = <A, R>(claim: Effect.Effect<A, PollingClaim.PolledElsewhere | StoreError, R>) =>
  Effect.map(Effect.flip(claim), ({ message }) => message)

const test = (name: string, law: () => Effect.fn.Return<void, unknown, LockStore | Scope.Scope>) =>
  it.effect(name, () => Effect.gen(law).pipe(Effect.scoped, Effect.provide(Memory.layer)))

const shared = "set IDEM_CLUSTER=1 to join it, or stop all of it first and wait half a minute"

test("a process that polls a database keeps others out of it until it ends", function* () {
  const scope = yield* Scope.make()
  yield* Scope.provide(one("first"), scope)
  // Longer than any lease.
  yield* TestClock.adjust("10 minutes")
  const advice = "stop it first, or give all of them IDEM_CLUSTER=1 to share the work"
  assert.strictEqual(yield* messageOf(one("second")), `first polls this database already: ${advice}`)
  assert.strictEqual(
    yield* messageOf(member("second")),
    "first polls this database already: stop it and start it again with IDEM_CLUSTER=1, as all of them must be"
  )
  yield* Scope.close(scope, Exit.void)
  yield* one("second")
})

test("a claim of a process that is known to be dead is taken over at once", function* () {
  yield* one("dead")
  const { takenOver } = yield* one("second")
  assert.deepStrictEqual(yield* takenOver, Option.none())
  assert.match(yield* messageOf(one("third")), /^second polls/)
})

test("the processes of a cluster share a claim, which outlasts each of them for one lease", function* () {
  const scope = yield* Scope.make()
  yield* Scope.provide(member("first"), scope)
  yield* Scope.provide(member("second"), scope)
  const message = `a cluster of idem serve (IDEM_CLUSTER) polls this database already: ${shared}`
  assert.strictEqual(yield* messageOf(one("third")), message)
  yield* TestClock.adjust("10 minutes")
  yield* Scope.close(scope, Exit.void)
  assert.strictEqual(yield* messageOf(one("third")), message)
  yield* TestClock.adjust((yield* Limits).leaseTtl)
  yield* one("third")
})

test("a process learns that it lost its claim, and that it has it again", function* () {
  const locks = yield* LockStore
  const { leaseTtl } = yield* Limits
  const { takenOver } = yield* one("first")
  const steal = locks.takeLock(PollingClaim.lockName, { holder: "second", ttl: leaseTtl, deadHolder: "first" })
  assert.deepStrictEqual(yield* steal, Option.none())
  yield* TestClock.adjust(Duration.divideUnsafe(leaseTtl, 3))
  assert.deepStrictEqual(yield* takenOver, Option.some("second"))
  yield* locks.releaseLock(PollingClaim.lockName, "second")
  yield* TestClock.adjust(Duration.divideUnsafe(leaseTtl, 3))
  assert.deepStrictEqual(yield* takenOver, Option.none())
})

test("a claim is renewed again after the database was away", function* () {
  const locks = yield* LockStore
  let away = false
  const failing = new StoreError({ message: "away", cause: "away" })
  const takeLock: (typeof locks)["takeLock"] = (name, options) =>
    away ? Effect.fail(failing) : locks.takeLock(name, options)
  const { takenOver } = yield* Effect.provideService(one("first"), LockStore, { ...locks, takeLock })
  away = true
  yield* TestClock.adjust(Duration.divideUnsafe((yield* Limits).leaseTtl, 2))
  away = false
  yield* TestClock.adjust("10 minutes")
  assert.deepStrictEqual(yield* takenOver, Option.none())
  assert.match(yield* messageOf(one("second")), /^first polls/)
})
