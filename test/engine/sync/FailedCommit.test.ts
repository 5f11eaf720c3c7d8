/** A commit that fails while the run continues: no listed item may be lost or written twice. */
import { assert, describe, it } from "@effect/vitest"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import { Forbidden } from "../../../src/contract/IntegrationError.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import type { Store } from "../../../src/engine/Store.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { layer as wholeStoreLayer, WholeStore, replaceMethods } from "../../../src/testing/WholeStore.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import { fault, MemorySource, only } from "../../support/MemorySource.ts"
import * as Database from "../../support/Postgres.ts"
import { moving, turn, until } from "../../support/Moving.ts"
import { connect, ids, layer, poll, shared, sync, withConnection } from "../../support/TestEngine.ts"

const lost = new StoreError({ message: "storing a batch: the connection was lost", cause: "reset" })

/** A store whose first commit waits for `open` and then ends with `end`; `commits` counts all commits. */
const held = (
  store: Layer.Layer<Store>,
  gate: { readonly reached: Deferred.Deferred<void>; readonly open: Deferred.Deferred<void> },
  end: "before" | "after"
) => {
  const commits: Array<"failed" | "committed"> = []
  const heldStore = replaceMethods((real) => ({
    ...real,
    commit: Effect.fnUntraced(function* (...args: Parameters<typeof real.commit>) {
      if (commits.length > 0) {
        commits.push("committed")
        return yield* real.commit(...args)
      }
      commits.push("failed")
      yield* Deferred.succeed(gate.reached, undefined)
      yield* Deferred.await(gate.open)
      if (end === "after") yield* real.commit(...args)
      return yield* lost
    }, Effect.uninterruptible)
  })).pipe(Layer.provide(store))
  return { commits, store: heldStore }
}

/**
 * Lists ten items on one page. Nine of them are downloaded while the commit of the first is held up; the batch of the
 * first is committed because of its age.
 */
const slowPage = (source: MemorySource, reached: Deferred.Deferred<void>) => {
  source.addMany(10)
  source.answer = (method) =>
    method.startsWith("download") && method !== "download m000000" ? Deferred.await(reached) : Effect.void
}

/** All items of the page can be in flight at once. */
const limits = { concurrency: 16 }

const checkpointOf = (connection: Connection) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.connection(connection.id), (row) => Option.getOrThrow(row).checkpoint)
  )

const failing = (end: "before" | "after", interrupted: boolean) => {
  const source = new MemorySource()
  return Effect.gen(function* () {
    const store = yield* shared
    const gate = { reached: yield* Deferred.make<void>(), open: yield* Deferred.make<void>() }
    slowPage(source, gate.reached)
    const faulty = held(store, gate, end)
    const connection = yield* connect().pipe(Effect.provide(layer(source, { store })))
    const running = yield* sync(connection).pipe(
      Effect.provide(layer(source, { store: faulty.store, limits })),
      Effect.forkChild
    )
    yield* until(Deferred.isDone(gate.reached))
    // All items of the page, and the page's end, are there before the commit fails.
    yield* until(Effect.sync(() => source.downloaded.length === 10))
    yield* Effect.repeat(turn, { times: 50 })
    const ending = yield* interrupted ? Effect.forkChild(Fiber.interrupt(running)) : Effect.succeed(undefined)
    yield* Effect.yieldNow
    yield* Deferred.succeed(gate.open, undefined)
    const exit = yield* moving(Fiber.await(running))
    if (ending !== undefined) yield* Fiber.join(ending)
    if (interrupted) assert.isTrue(Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause))
    else assert.deepInclude(Exit.isSuccess(exit) ? exit.value : {}, { status: "failed" })
    assert.deepStrictEqual(faulty.commits, ["failed"], "nothing is written after a failed commit")

    yield* Effect.gen(function* () {
      assert.isTrue(Option.isNone(yield* checkpointOf(connection)))
      assert.strictEqual((yield* ids(connection)).length, end === "after" ? 1 : 0)
      const there = yield* WholeStore
      const [run] = yield* there.runs(connection.id, 1)
      assert.strictEqual(run?.status, interrupted ? "interrupted" : "failed")
      if (!interrupted) assert.strictEqual(run?.error?.reason, "StoreError")
      assert.strictEqual(run?.counts.stored, end === "after" ? 1 : 0)

      const next = yield* sync(connection)
      assert.strictEqual(next.status, "succeeded")
      assert.deepInclude(next.counts, end === "after" ? { stored: 9, existing: 1 } : { stored: 10, existing: 0 })
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()].toSorted())
      const runs = yield* there.runs(connection.id, 10)
      assert.strictEqual(
        runs.reduce((sum, one) => sum + one.counts.stored, 0),
        10,
        "each item is counted once over all runs"
      )
    }).pipe(Effect.provide(layer(source, { store })))
  }).pipe(Effect.scoped)
}

it.effect("a run keeps its lease while its first write waits for the database", () => {
  const source = new MemorySource()
  return Effect.gen(function* () {
    const store = yield* shared
    const reached = yield* Deferred.make<void>()
    const open = yield* Deferred.make<void>()
    const slow = replaceMethods((real) => ({
      ...real,
      beginRun: (...args) =>
        Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(open)).pipe(
          Effect.andThen(real.beginRun(...args))
        )
    })).pipe(Layer.provide(store))
    const connection = yield* connect().pipe(Effect.provide(layer(source, { store })))
    const running = yield* sync(connection).pipe(Effect.provide(layer(source, { store: slow })), Effect.forkChild)
    yield* until(Deferred.isDone(reached))
    const row = Effect.flatMap(WholeStore, (there) => there.connection(connection.id)).pipe(Effect.provide(store))
    for (let seconds = 0; seconds < 60; seconds += 5) {
      yield* TestClock.adjust("5 seconds")
      const { lease } = Option.getOrThrow(yield* row)
      assert.isTrue(lease !== null && DateTime.isGreaterThan(lease.until, yield* DateTime.now), `after ${seconds} s`)
    }
    yield* Deferred.succeed(open, undefined)
    assert.isNull((yield* moving(Fiber.join(running))).error)
  }).pipe(Effect.scoped)
})

describe("a commit that fails while later items come in", () => {
  it.effect("fails the run, loses nothing, and nothing more is written", () => failing("before", false))
  it.effect("after it took effect fails the run too, and nothing is counted twice", () => failing("after", false))
  it.effect("fails an interrupted run's last batch too: the checkpoint stays", () => failing("before", true))

  it.effect("wins over a listing that ends with a failure of its own", () => {
    const source = new MemorySource()
    return Effect.gen(function* () {
      const store = yield* shared
      const gate = { reached: yield* Deferred.make<void>(), open: yield* Deferred.make<void>() }
      slowPage(source, gate.reached)
      const { answer } = source
      source.answer = (method) =>
        method === "list" && source.calls.filter((call) => call === "list").length > 1
          ? fault(new Forbidden({ message: "no second page" }))
          : answer(method)
      source.addMany(5)
      const faulty = held(store, gate, "before")
      const connection = yield* connect().pipe(Effect.provide(layer(source, { store })))
      const running = yield* sync(connection).pipe(
        Effect.provide(layer(source, { store: faulty.store, limits })),
        Effect.forkChild
      )
      yield* until(Effect.sync(() => source.downloaded.length === 10))
      yield* Effect.repeat(turn, { times: 50 })
      yield* Deferred.succeed(gate.open, undefined)
      const result = yield* moving(Fiber.join(running))
      assert.strictEqual(result.error?.reason, "StoreError")
      assert.deepStrictEqual(faulty.commits, ["failed"])
    }).pipe(Effect.scoped)
  })

  it.effect("is the only reason for an interrupted run not to commit the items that are complete", () =>
    withConnection(function* (source, connection) {
      source.addMany(10)
      source.answer = only("download m000007", Effect.never)
      const running = yield* Effect.forkChild(sync(connection))
      yield* until(Effect.sync(() => source.downloaded.length === 9))
      yield* Fiber.interrupt(running)
      assert.strictEqual((yield* ids(connection)).length, 9)
      assert.isTrue(Option.isNone(yield* checkpointOf(connection)))
      const [run] = yield* Effect.flatMap(WholeStore, (store) => store.runs(connection.id, 1))
      assert.deepInclude(run, { status: "interrupted" })
      assert.deepInclude(run?.counts, { stored: 9, downloads: 10 })
    }, limits)
  )

  it.effect("ends soon in an interrupted run, where it waits for a blob store that does not answer", () => {
    const source = new MemorySource()
    source.addMany(10)
    return Effect.gen(function* () {
      const store = yield* WholeStore
      const reached = yield* Deferred.make<void>()
      // The check of a batch's blobs is the only interruptible step of a commit.
      const commit = () => Effect.andThen(Deferred.succeed(reached, undefined), Effect.interruptible(Effect.never))
      const connection = yield* connect()
      const running = yield* Effect.forkChild(Effect.provide(poll(connection), wholeStoreLayer({ ...store, commit })))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(yield* ids(connection), [])
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("is not followed by the counts that it may have recorded", () => {
    const source = new MemorySource()
    source.addMany(10)
    return Effect.gen(function* () {
      const store = yield* shared
      const connection = yield* connect().pipe(Effect.provide(layer(source, { store })))
      yield* sync(connection).pipe(Effect.provide(layer(source, { store })))
      // A page of known ids, which is committed without a row, and a page with an item, whose commit succeeds without a
      // response.
      source.add("new")
      source.expiredBefore = source.log.length
      source.answer = only("download new", Effect.sleep("20 seconds"))
      const commits: Array<string> = []
      const lossy = replaceMethods((real) => ({
        ...real,
        commit: (...args: Parameters<typeof real.commit>) =>
          Effect.tap(real.commit(...args), () => {
            commits.push("committed")
            return args[1].items.length > 0 ? Effect.fail(lost) : Effect.void
          })
      })).pipe(Layer.provide(store))
      const result = yield* moving(poll(connection)).pipe(Effect.provide(layer(source, { store: lossy })))
      assert.strictEqual(result.error?.reason, "StoreError")
      assert.strictEqual(commits.length, 2)
      const [run] = yield* Effect.flatMap(WholeStore, (there) => there.runs(connection.id, 1)).pipe(
        Effect.provide(store)
      )
      assert.deepInclude(run?.counts, { listed: 11, existing: 10, stored: 1, downloads: 1, checkerQueries: 2 })
    }).pipe(Effect.scoped)
  })
})

const postgres = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))

/** The session that waits for the lock of the connection's row, in order to store a batch. */
const waitingCommit = (sql: SqlClient.SqlClient) =>
  sql<{ readonly pid: number }>`SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND wait_event_type = 'Lock' AND query LIKE '%idle_in_transaction_session_timeout%'`

it.live("a session that is terminated while its commit waits fails the run, and loses nothing", () => {
  const source = new MemorySource()
  return Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const store = wholeStoreLayer(yield* WholeStore)
    const run = layer(source, { store, limits: { ...limits, batchAge: Duration.millis(1) } })
    const reached = yield* Deferred.make<void>()
    const unlock = yield* Deferred.make<void>()
    slowPage(source, reached)
    yield* Effect.gen(function* () {
      const connection = yield* connect()
      const begun = yield* Deferred.make<void>()
      const locked = yield* Deferred.make<void>()
      const { answer } = source
      source.answer = (method) =>
        method === "list" ? Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(locked)) : answer(method)
      const locker = sql.withTransaction(
        Effect.gen(function* () {
          yield* Deferred.await(begun)
          // The recording of the run takes the same lock. Until it is recorded, no download begins.
          yield* Effect.repeat(sql`SELECT 1 FROM run`, { until: (rows) => rows.length > 0 })
          yield* sql`SELECT 1 FROM connection WHERE id = ${connection.id} FOR UPDATE`
          yield* Deferred.succeed(locked, undefined)
          yield* Deferred.await(unlock)
        })
      )
      const locking = yield* Effect.forkChild(locker)
      const running = yield* Effect.forkChild(sync(connection))
      const [waiting] = yield* Effect.repeat(waitingCommit(sql), { until: (rows) => rows.length > 0 })
      yield* Deferred.succeed(reached, undefined)
      yield* Effect.repeat(turn, { until: () => source.downloaded.length === 10 })
      yield* sql`SELECT pg_terminate_backend(${PgTypes.int4(waiting?.pid ?? 0)})`
      yield* Deferred.succeed(unlock, undefined)
      yield* Fiber.join(locking)
      const result = yield* Fiber.join(running)
      assert.strictEqual(result.error?.reason, "StoreError")
      assert.isTrue(Option.isNone(yield* checkpointOf(connection)))
      assert.deepStrictEqual(yield* ids(connection), [])

      const next = yield* sync(connection)
      assert.deepInclude(next.counts, { stored: 10, existing: 0 })
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()].toSorted())
    }).pipe(Effect.provide(run))
  }).pipe(Effect.provide(postgres))
})
