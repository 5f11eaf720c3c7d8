/** A slice under its lease: the row and the schedule that it leaves, even if another call of the store fails. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Transient } from "../../../src/contract/IntegrationError.ts"
import type { AnyMembers } from "../../../src/contract/Members.ts"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import * as Lease from "../../../src/engine/locks/Lease.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import * as LeasedSlice from "../../../src/engine/sync/LeasedSlice.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { replaceMethods, WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { ttl } from "../../stores/scenario.ts"
import { failing, fault, integration, MemorySource, only } from "../../support/MemorySource.ts"
import { moving, until } from "../../support/Moving.ts"
import { connect, engineOver, layer, poll, sync, withConnection } from "../../support/TestEngine.ts"

const lost = new StoreError({ message: "the connection was lost", cause: "reset" })

const stored = (connection: Connection) =>
  Effect.flatMap(WholeStore, (store) => Effect.map(store.connection(connection.id), Option.getOrThrow))

const runsOf = (connection: Connection) => Effect.flatMap(WholeStore, (store) => store.runs(connection.id, 10))

/** Runs one slice of this task, as the scheduler does for a requested task. */
const slice = (connection: Connection, request: LeasedSlice.SliceRequest) =>
  Effect.map(
    LeasedSlice.turn(Lease.acquire(connection.id), () => Effect.succeed(request)),
    (turn) => (turn._tag === "Ran" ? turn.result : undefined)
  )

const requested = Effect.fnUntraced(function* (connection: Connection) {
  const store = yield* WholeStore
  const task = { ...SyncTask.poll, force: true }
  const answer = yield* store.requestTask(connection.id, {
    kind: "sync",
    task,
    spec: "force",
    externalIds: null,
    key: undefined,
    resumeWithin: Duration.days(1)
  })
  return answer._tag === "Requested" ? answer.task : yield* Effect.die(new Error("the task was not taken"))
})

/** Runs a test over a store with replaced methods, and one connection whose source has two items. */
const withFaults = (
  faults: Parameters<typeof replaceMethods>[0],
  test: (connection: Connection) => Effect.fn.Return<void, unknown, WithFaults>
) => {
  const source = new MemorySource()
  source.addMany(2)
  return Effect.flatMap(connect(), (connection) => Effect.gen(() => test(connection))).pipe(
    Effect.provide(layer(source, { store: Layer.provide(replaceMethods(faults), Memory.layer) }))
  )
}
type WithFaults = Layer.Success<ReturnType<typeof layer>>

describe("a slice", () => {
  it.effect("that a person asked for leaves a row though it finds nothing, and a poll leaves none", () =>
    withConnection(function* (source, connection) {
      yield* sync(connection)
      yield* poll(connection)
      assert.strictEqual((yield* runsOf(connection)).length, 1)
      yield* sync(connection, { force: true })
      yield* sync(connection, { force: true, forceIds: ["a"] })
      yield* sync(connection, { window: { since: yield* DateTime.now } })
      assert.deepStrictEqual(
        (yield* runsOf(connection)).map(({ kind }) => kind),
        ["window", "ids", "force", "sync"]
      )
      assert.strictEqual(source.items.size, 0)
    })
  )

  it.effect("of the connection's own sync moves its next poll, and no other does", () =>
    withConnection(function* (source, connection) {
      source.add("a")
      source.answer = failing("a")
      yield* sync(connection)
      const { nextPollAt } = yield* stored(connection)
      yield* TestClock.adjust("2 minutes")
      source.answer = () => Effect.void
      const { id } = yield* requested(connection)
      yield* slice(connection, { _tag: "TaskSlice", taskId: id })
      const over = yield* slice(connection, { _tag: "TaskSlice", taskId: id })
      assert.isTrue(over?.isTaskOver)
      yield* slice(connection, { _tag: "Ledger", externalIds: ["a"] })
      assert.deepStrictEqual((yield* stored(connection)).nextPollAt, nextPollAt)
      yield* poll(connection)
      assert.notDeepEqual((yield* stored(connection)).nextPollAt, nextPollAt)
    })
  )

  it.effect("gives its lease back where nothing is chosen, and takes no other's", () =>
    withConnection(function* (_, connection) {
      const nothing = LeasedSlice.turn(Lease.acquire(connection.id), () => Effect.succeed(undefined))
      assert.deepStrictEqual(yield* nothing, { _tag: "Skipped" })
      const store = yield* WholeStore
      assert.isTrue(Option.isSome(yield* store.acquire(connection.id, { holder: "another process", ttl })))
      assert.deepStrictEqual(yield* nothing, { _tag: "Taken", holder: "another process" })
    })
  )

  it.effect("gives its lease back when it is interrupted", () =>
    withConnection(function* (source, connection) {
      source.answer = only("list", Effect.never)
      const running = yield* Effect.forkChild(poll(connection))
      yield* until(Effect.sync(() => source.calls.includes("list")))
      yield* Fiber.interrupt(running)
      assert.isNull((yield* stored(connection)).lease)
    })
  )

  it.effect(
    "of the connection's own sync, if it succeeds, makes the connections of the accounts that are stored",
    () => {
      const source = new MemorySource()
      source.add("ann")
      const members: AnyMembers = {
        domain: "memory",
        of: () =>
          Effect.succeed(({ externalId }) => ({
            name: externalId,
            account: externalId,
            config: {},
            credentials: { token: "t" },
            every: undefined
          }))
      }
      return Effect.gen(function* () {
        const connection = yield* connect()
        const store = yield* WholeStore
        const made = Effect.map(store.membersOf(connection.id), (all) => all.map(({ name }) => name))
        yield* sync(connection, { force: true })
        source.answer = only("list", fault(new Transient({ message: "busy" })))
        assert.isNotNull((yield* moving(poll(connection))).error)
        assert.deepStrictEqual(yield* made, [])
        source.answer = () => Effect.void
        yield* poll(connection)
        assert.deepStrictEqual(yield* made, ["ann"])
      }).pipe(Effect.provide(engineOver(Memory.layer, { ...integration(source), members })))
    }
  )

  it.effect("stops its downloads before it closes the session, when it is interrupted", () => {
    const source = new MemorySource()
    source.addMany(3)
    const real = integration(source)
    const events: Array<string> = []
    const note = (event: string) => Effect.sync(() => void events.push(event))
    const download = Effect.onInterrupt(Effect.andThen(note("begun"), Effect.never), () => note("stopped"))
    const open: typeof real.open = (options) =>
      Effect.acquireRelease(real.open(options), () => note("closed")).pipe(
        Effect.map((session) => ({ ...session, download: () => download }))
      )
    return Effect.gen(function* () {
      const connection = yield* connect()
      events.length = 0
      const running = yield* Effect.forkChild(poll(connection))
      yield* until(Effect.sync(() => events.length === 3))
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(events, ["begun", "begun", "begun", "stopped", "stopped", "stopped", "closed"])
    }).pipe(Effect.provide(engineOver(Memory.layer, { ...real, open })))
  })
})

describe("a store that fails", () => {
  it.effect("as the lease is given back does not undo the run", () =>
    withFaults(
      () => ({ release: () => Effect.fail(lost) }),
      function* (connection) {
        const { counts, error } = yield* poll(connection)
        assert.isNull(error)
        assert.strictEqual(counts.stored, 2)
      }
    )
  )

  it.effect("as a task is read fails its slice, and does not count as a failure of the connection", () =>
    withFaults(
      () => ({ task: () => Effect.fail(lost) }),
      function* (connection) {
        const { id } = yield* requested(connection)
        const { nextPollAt } = yield* stored(connection)
        const result = yield* slice(connection, { _tag: "TaskSlice", taskId: id })
        assert.deepInclude(result, { isTaskOver: false })
        assert.strictEqual(result?.error?.reason, "StoreError")
        assert.deepInclude(yield* stored(connection), { failures: 0, lease: null, nextPollAt })
      }
    )
  )

  it.effect("as a requested task ends leaves it due", () =>
    withFaults(
      () => ({ finishTask: () => Effect.fail(lost) }),
      function* (connection) {
        const { id } = yield* requested(connection)
        assert.isNull((yield* slice(connection, { _tag: "TaskSlice", taskId: id }))?.error)
        const store = yield* WholeStore
        assert.isTrue(Option.isSome(yield* store.nextTask(connection.id)))
      }
    )
  )

  it.effect("as a command's task ends fails the command, which continues it", () =>
    withFaults(
      () => ({ finishTask: () => Effect.fail(lost) }),
      function* (connection) {
        const { error } = yield* sync(connection, { force: true })
        assert.strictEqual(error?.reason, "StoreError")
        const store = yield* WholeStore
        assert.strictEqual((yield* store.openTasks(connection.id)).length, 1)
      }
    )
  )
})
