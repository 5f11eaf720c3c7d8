/** The fields of the connection that a run writes at its end: the pause, the time of the check, and the problems. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import type { Integration } from "../../../src/contract/Integration.ts"
import { RateLimited, Unauthorized } from "../../../src/contract/IntegrationError.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import * as Lease from "../../../src/engine/locks/Lease.ts"
import * as LeasedSlice from "../../../src/engine/sync/LeasedSlice.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../../src/testing/WholeStore.ts"
import { fault, integration, MemorySource, only } from "../../support/MemorySource.ts"
import { moving, turn } from "../../support/Moving.ts"
import { connect, engineOver, layer, poll, shared, sync, withConnection } from "../../support/TestEngine.ts"

const now = (connection: Connection) =>
  Effect.flatMap(WholeStore, (store) => Effect.map(store.connection(connection.id), Option.getOrThrow))

describe("a run that ends late", () => {
  it.effect("with refused credentials does not pause the connection, which has new ones since", () =>
    withConnection(function* (source, connection) {
      source.addMany(3)
      const asked = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      source.answer = (method) =>
        method === "list"
          ? Effect.andThen(
              Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(answer)),
              fault(new Unauthorized({ message: "the old grant was revoked" }))
            )
          : Effect.void
      const running = yield* Effect.forkChild(poll(connection))
      yield* Deferred.await(asked)
      assert.isNull((yield* connect()).paused)
      yield* Deferred.succeed(answer, undefined)
      assert.strictEqual((yield* Fiber.join(running)).error?.reason, "Unauthorized")
      const after = yield* now(connection)
      assert.isNull(after.paused)
      assert.strictEqual(after.failures, 0)
      source.answer = () => Effect.void
      assert.strictEqual((yield* sync(connection)).counts.stored, 3)
    })
  )

  it.effect("and worked does not lift the pause that a person set meanwhile", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      const store = yield* WholeStore
      const connection = yield* connect()
      yield* store.setPaused(connection.id, "the grant was revoked")
      const asked = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      source.answer = only("list", Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(answer)))
      const running = yield* Effect.forkChild(sync(connection))
      yield* Deferred.await(asked)
      yield* store.setPaused(connection.id, "by a person")
      yield* Deferred.succeed(answer, undefined)
      assert.strictEqual((yield* Fiber.join(running)).status, "succeeded")
      assert.strictEqual((yield* now(connection)).paused, "by a person")
    }).pipe(Effect.provide(layer(source)))
  })
})

describe("the last check", () => {
  it.effect("is when the source last answered, also where nothing was new, and costs no statement more", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      const store = yield* WholeStore
      const connection = yield* connect()
      assert.isNull((yield* now(connection)).lastCheckedAt)
      yield* sync(connection)
      yield* TestClock.adjust("38 minutes")
      const writes: Array<string> = []
      const told = <Args extends ReadonlyArray<unknown>, A>(name: string, write: (...args: Args) => A) => {
        return (...args: Args) => {
          writes.push(name)
          return write(...args)
        }
      }
      const result = yield* poll(connection).pipe(
        Effect.provide(
          wholeStoreLayer({
            ...store,
            acquire: told("acquire", store.acquire),
            beginRun: told("beginRun", store.beginRun),
            commit: told("commit", store.commit),
            finishRun: told("finishRun", store.finishRun),
            release: told("release", store.release),
            setPaused: told("setPaused", store.setPaused)
          })
        )
      )
      assert.isNull(result.error)
      assert.deepStrictEqual(writes, ["acquire", "release"])
      assert.deepStrictEqual((yield* now(connection)).lastCheckedAt, yield* DateTime.now)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("is not updated if the source refused, nor by a task with its own checkpoint", () =>
    withConnection(function* (source, connection) {
      source.addMany(3)
      yield* sync(connection)
      const before = (yield* now(connection)).lastCheckedAt
      yield* TestClock.adjust("5 minutes")
      yield* sync(connection, { forceIds: ["m000001"] })
      assert.deepStrictEqual((yield* now(connection)).lastCheckedAt, before)
      source.answer = only("changes", fault(new RateLimited({ message: "slow down" })))
      yield* moving(poll(connection))
      assert.deepStrictEqual((yield* now(connection)).lastCheckedAt, before)
    })
  )
})

describe("places that could not be listed", () => {
  const inbox = { place: "inbox", message: "no access" }

  it.effect("make the sync partial, and are named until a poll lists them", () => {
    const source = new MemorySource()
    source.addMany(3)
    source.problems = [inbox]
    return Effect.gen(function* () {
      const store = yield* WholeStore
      const connection = yield* connect()
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "partial")
      assert.deepStrictEqual(result.problems, [inbox])
      assert.strictEqual(result.counts.failed, 0)
      assert.deepStrictEqual((yield* now(connection)).problems.current, [inbox])
      const [run] = yield* store.runs(connection.id, 10)
      assert.strictEqual(run?.status, "partial")
      assert.deepStrictEqual(run?.problems, [inbox])
      // A poll that finds nothing leaves no run, but still records that the place can be listed again.
      source.problems = []
      yield* poll(connection)
      assert.strictEqual((yield* store.runs(connection.id, 10)).length, 1)
      assert.deepStrictEqual((yield* now(connection)).problems, { current: [], found: [] })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("stay named while later slices of the same poll find none, and until the next poll has ended", () =>
    withConnection(
      function* (source, connection) {
        source.addMany(30)
        source.problems = [inbox]
        assert.strictEqual((yield* poll(connection)).next._tag, "More")
        assert.deepStrictEqual((yield* now(connection)).problems, { current: [inbox], found: [inbox] })
        source.problems = []
        assert.strictEqual((yield* poll(connection)).next._tag, "More")
        while ((yield* poll(connection)).next._tag === "More") yield* turn
        assert.deepStrictEqual((yield* now(connection)).problems, { current: [inbox], found: [] })
        yield* poll(connection)
        assert.deepStrictEqual((yield* now(connection)).problems, { current: [], found: [] })
      },
      { slicePages: 1 }
    )
  )
})

describe("a run that ends with a defect", () => {
  const broken = (source: MemorySource): Integration => ({
    ...integration(source),
    readsCheckpoint: () => Effect.die(new Error("a fault in the integration"))
  })

  it.effect("outside of its slice gives the lease back, and counts as a failure of its connection", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      const store = yield* shared
      const connection = yield* Effect.gen(function* () {
        const made = yield* connect()
        yield* sync(made)
        return made
      }).pipe(Effect.provide(layer(source, { store })))
      yield* Effect.gen(function* () {
        const { error } = yield* poll(connection)
        assert.strictEqual(error?.reason, "Defect")
        const { failures, lease } = yield* now(connection)
        assert.deepStrictEqual([failures, lease], [1, null])
        const submitted = yield* (yield* WholeStore).requestTask(connection.id, {
          kind: "sync",
          task: { force: false, forceIds: [], dryRun: false },
          spec: "sync",
          externalIds: null,
          key: undefined,
          resumeWithin: Duration.days(1)
        })
        if (submitted._tag !== "Requested") return assert.fail(submitted._tag)
        const request = { _tag: "TaskSlice", taskId: submitted.task.id } as const
        yield* LeasedSlice.turn(Lease.acquire(connection.id), () => Effect.succeed(request))
        const task = Option.getOrThrow(yield* (yield* WholeStore).task(submitted.task.id))
        assert.strictEqual(task.error?.reason, "Defect")
      }).pipe(Effect.provide(engineOver(store, broken(source))))
    })
  })
})
