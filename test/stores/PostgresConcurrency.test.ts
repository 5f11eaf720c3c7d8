/** Concurrency and broken connections on a real database. */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import { randomUUID } from "node:crypto"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import { Superseded } from "../../src/engine/store/Fence.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { transaction } from "../../src/stores/postgres/Transactions.ts"
import * as Database from "../support/Postgres.ts"
import { forkWaiting, waiting, whileLocked as whileHeld } from "./locking.ts"
import { bytesOf, connect, item, ledgerUpdate, page, row, running, sha256, stored, take } from "./scenario.ts"

const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))
const ttl = Duration.seconds(30)

/** Holds the lock of a row (a connection's, or a run's) while the effect runs. */
const whileLocked = <A, E, R>(id: string, effect: Effect.Effect<A, E, R>, table = "connection") =>
  SqlClient.SqlClient.use((sql) => whileHeld(sql`SELECT 1 FROM ${sql(table)} WHERE id = ${id} FOR UPDATE`, effect))

it.layer(layer, { excludeTestServices: true })("Postgres, at once", (it) => {
  it.effect("of many who take a connection at once, one has it", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const taken = yield* Effect.all(
        Array.from({ length: 8 }, (_, n) => store.acquire(id, { holder: `holder ${n}`, ttl })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(taken.filter(Option.isSome).length, 1)
    })
  )

  it.effect("a commit that waited for its lock while the connection was taken writes nothing", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { commit, id } = yield* running()
      const sql = yield* SqlClient.SqlClient
      const [taker, committer] = yield* whileLocked(
        id,
        forkWaiting(
          store.acquire(id, { holder: "next", ttl, deadHolder: "a holder" }),
          commit({ items: [item("a")], ledgerUpdates: [ledgerUpdate("b")], page: page({}) })
        )
      )
      assert.isTrue(Option.isSome(yield* Fiber.join(taker)))
      assert.strictEqual((yield* Effect.flip(Fiber.join(committer)))._tag, "Superseded")
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM content WHERE connection_id = ${id}`, [])
      assert.isTrue(Option.isNone(Option.getOrThrow(yield* store.connection(id)).checkpoint))
    })
  )

  it.effect(
    "a run that takes a connection while the last commit of a dead process ends has the work that it left",
    () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ items: [item("a")] })
        const [committer, taker] = yield* whileLocked(
          id,
          forkWaiting(
            commit({ ledgerUpdates: [ledgerUpdate("b", { outcome: "deferred" })], page: page({ deleted: ["a"] }) }),
            store.acquire(id, { holder: "next", ttl, deadHolder: "a holder" })
          )
        )
        yield* Fiber.join(committer)
        const taken = Option.getOrThrow(yield* Fiber.join(taker))
        assert.deepStrictEqual(taken.waiting, { retries: true, deletions: true, deletionsHeld: 0 })
        assert.deepStrictEqual(taken.checkpoint, Option.some({ at: 1 }))
      })
  )

  it.effect("a lease is not free before the run that was cut off is marked", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { fence, id, runId } = yield* running()
      const { next, releasing } = yield* whileLocked(
        runId,
        Effect.gen(function* () {
          const releasing = yield* Effect.forkChild(store.release(fence, { interrupted: true }))
          yield* waiting(1)
          const next = yield* Effect.forkChild(store.acquire(id, { holder: "next", ttl }))
          yield* Effect.raceFirst(waiting(2), Fiber.await(next))
          assert.isUndefined(next.pollUnsafe())
          return { next, releasing }
        }),
        "run"
      )
      yield* Effect.all([Fiber.join(releasing), Fiber.join(next)])
      assert.strictEqual(Option.getOrThrow(yield* store.run(runId)).status, "interrupted")
    })
  )

  it.effect("a locked connection delays no other that is taken or released at the same time", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const [locked, ...others] = yield* Effect.all([connect(), connect(), connect()])
      const acquire = ({ id }: typeof locked) => store.acquire(id, { holder: "a holder", ttl })
      const release = ({ fence, id }: typeof locked) =>
        store.release({ connectionId: id, fence: fence + 1n }, { pollIn: Duration.hours(1) })
      const isFree = Effect.map(store.connections, (all) =>
        others.every(({ id }) => all.find((each) => each.id === id)?.lease === null)
      )
      const acquiring = yield* whileLocked(
        locked.id,
        Effect.gen(function* () {
          const first = yield* Effect.forkChild(acquire(locked))
          const taken = yield* Effect.forEach(others, acquire, { concurrency: "unbounded" })
          assert.isTrue(taken.every(Option.isSome))
          assert.isUndefined(first.pollUnsafe())
          return first
        })
      )
      assert.isTrue(Option.isSome(yield* Fiber.join(acquiring)))
      const releasing = yield* whileLocked(
        locked.id,
        Effect.gen(function* () {
          const first = yield* Effect.forkChild(release(locked))
          yield* Effect.forEach(others, release, { concurrency: "unbounded" })
          assert.isTrue(yield* isFree)
          assert.isUndefined(first.pollUnsafe())
          return first
        })
      )
      yield* Fiber.join(releasing)
      assert.isNull(Option.getOrThrow(yield* store.connection(locked.id)).lease)
    })
  )

  it.effect("leases that are taken at the same time each have their own result", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const [free, held] = yield* Effect.all([connect(), connect()])
      yield* store.acquire(held.id, { holder: "a holder", ttl })
      const ids = [free.id, held.id, free.id, ConnectionId.make(randomUUID()), ConnectionId.make("no id")]
      const results = yield* Effect.forEach(
        ids,
        (id, n) => Effect.exit(store.acquire(id, { holder: `holder ${n}`, ttl })),
        { concurrency: "unbounded" }
      )
      const taken = results.flatMap((exit) => (Exit.isSuccess(exit) ? Option.toArray(exit.value) : []))
      assert.deepStrictEqual(
        taken.map(({ id }) => id),
        [free.id]
      )
      assert.deepStrictEqual(results.map(Exit.isSuccess), [true, true, true, false, false])
      const [, , , missing, malformed] = results
      assert.isTrue(missing !== undefined && Exit.isFailure(missing) && !Cause.hasDies(missing.cause))
      assert.isTrue(malformed !== undefined && Exit.isFailure(malformed) && Cause.hasDies(malformed.cause))
    })
  )

  it.effect("two writers of one id under one fence leave one row, and their outcomes say so", () =>
    Effect.gen(function* () {
      const { commit, id } = yield* running()
      const all = yield* Effect.all(
        Array.from({ length: 8 }, (_, n) => commit({ items: [item("a", { text: `${n % 2}` }), item("b")] })),
        { concurrency: "unbounded" }
      )
      const outcomes = all.map(({ outcomes }) => outcomes.get("b"))
      assert.strictEqual(outcomes.filter((one) => one === "stored").length, 1)
      assert.strictEqual(outcomes.filter((one) => one === "unchanged").length, 7)
      assert.deepStrictEqual(yield* stored(id), ["a", "b"])
    })
  )

  it.effect("many connections that store the same bodies in any order do not deadlock, and keep them once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const texts = Array.from({ length: 30 }, (_, n) => `shared ${n}`)
      yield* Effect.forEach(
        Array.from({ length: 8 }, (_, n) => n),
        Effect.fnUntraced(function* (n) {
          const { commit, id } = yield* running()
          const order = n % 2 === 0 ? texts : texts.toReversed()
          yield* commit({ items: order.map((text, at) => item(`${at}`, { text })) })
          assert.strictEqual((yield* stored(id)).length, 30)
        }),
        { concurrency: "unbounded" }
      )
      const rows = yield* sql`SELECT 1 FROM body WHERE convert_from(bytes, 'UTF8') LIKE 'shared %'`
      assert.strictEqual(rows.length, 30)
    })
  )

  it.effect("a commit that loses a deadlock is made again", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { commit, id } = yield* running()
      // An attempt before this one has left its body.
      const text = `wanted by two of ${id}`
      const held = yield* Deferred.make<void>()
      const waits = yield* Deferred.make<void>()
      const other = yield* Effect.forkChild(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`INSERT INTO body (hash, size) VALUES (${sha256(bytesOf(text))}, ${text.length})`
            yield* Deferred.succeed(held, undefined)
            yield* Deferred.await(waits)
            // Makes the commit the session that detects the deadlock, and is aborted.
            yield* sql`SET LOCAL deadlock_timeout = '5min'`
            yield* sql`SELECT 1 FROM connection WHERE id = ${id} FOR UPDATE`
          })
        )
      )
      yield* Deferred.await(held)
      const committer = yield* Effect.forkChild(commit({ items: [item("a", { text })] }))
      yield* waiting(1)
      yield* Deferred.succeed(waits, undefined)
      yield* Fiber.join(other)
      yield* Fiber.join(committer)
      assert.deepStrictEqual(yield* stored(id), ["a"])
    })
  )

  it.effect("one task waits for many who request it at once, with one key or with keys of their own", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const request = (key: string) =>
        store.requestTask(id, {
          kind: "sync",
          task: { force: true, forceIds: [], dryRun: false },
          spec: "--force",
          externalIds: null,
          key: { key, digest: "aa" },
          resumeWithin: Duration.days(1)
        })
      const asked = yield* Effect.all(
        Array.from({ length: 16 }, (_, n) => request(n % 2 === 0 ? "one" : `own ${n}`)),
        { concurrency: "unbounded" }
      )
      const ids = asked.map((one) => (one._tag === "Requested" ? one.task.id : one._tag))
      assert.strictEqual(new Set(ids).size, 1)
      assert.strictEqual((yield* store.taskSummaries(id, { limit: 10 })).length, 1)
    })
  )

  it.effect("one task is begun by many who ask for it at once", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const task = { force: true, forceIds: [], dryRun: false }
      const all = yield* Effect.all(
        Array.from({ length: 8 }, () => store.openTask(id, { task, spec: "s", resumeWithin: Duration.days(1) })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(all.map((one) => one.id)).size, 1)
    })
  )

  it.effect("a commit whose fiber is interrupted half-way is whole", () =>
    Effect.gen(function* () {
      const { commit, id } = yield* running()
      const { fiber, interruption } = yield* whileLocked(
        id,
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(commit({ items: [item("a"), item("b")], page: page({}) }))
          yield* waiting(1)
          return { fiber, interruption: yield* Effect.forkChild(Fiber.interrupt(fiber)) }
        })
      )
      yield* Fiber.join(interruption)
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(yield* stored(id), ["a", "b"])
    })
  )

  it.effect("a commit whose connection breaks half-way is nothing, says so, and the next one works", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { commit, id } = yield* running()
      const parts = { items: [item("a"), item("b")], page: page({}) }
      const exit = yield* whileLocked(
        id,
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(commit(parts))
          yield* waiting(1)
          yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'`
          return yield* Fiber.await(fiber)
        })
      )
      assert.isTrue(Exit.isFailure(exit))
      const error = yield* Effect.flip(exit)
      assert.strictEqual(error._tag, "StoreError")
      assert.match(error.message, /^storing a batch: the database (was stopped|can't be reached)/)
      assert.deepStrictEqual(yield* stored(id), [])
      yield* commit(parts)
      assert.deepStrictEqual(yield* stored(id), ["a", "b"])
    })
  )

  it.effect("a superseded run whose session was ended before its rollback has that failure, and no defect", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* running()
      const superseded = Effect.gen(function* () {
        yield* Effect.ignore(sql`SELECT pg_terminate_backend(pg_backend_pid())`)
        return yield* new Superseded({ connectionId: id })
      })
      const exit = yield* Effect.exit(transaction(sql)(superseded))
      assert.isTrue(Exit.isFailure(exit) && !Cause.hasDies(exit.cause), String(exit))
      assert.strictEqual((yield* Effect.flip(exit))._tag, "Superseded")
    })
  )

  it.effect("a body that the collector is about to take is kept for the commit that found it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { commit, id, runId } = yield* running()
      const text = `found again for ${id}`
      const hash = sha256(bytesOf(text))
      yield* sql`INSERT INTO body (hash, size, bytes, touched_at)
        VALUES (${hash}, ${text.length}, ${bytesOf(text)}, now() - interval '9 days')`
      // In a transaction, the statement has its own connection, so that no other statements queue up behind it.
      const collect = sql.withTransaction(sql`DELETE FROM body
        WHERE hash = ${hash} AND touched_at < now() - interval '1 day'
          AND NOT EXISTS (SELECT 1 FROM content WHERE body_hash = body.hash) RETURNING 1`)
      // The commit has found the body and is held up before its end; the collector sees no row that references the
      // body.
      const [committer, collector] = yield* whileLocked(
        runId,
        forkWaiting(commit({ items: [item("a", { text })] }), collect),
        "run"
      )
      yield* Fiber.join(committer)
      assert.deepStrictEqual(yield* Fiber.join(collector), [])
      const found = yield* row(id, "a")
      assert.strictEqual((yield* sql`SELECT 1 FROM body WHERE encode(hash, 'hex') = ${found.hash}`).length, 1)
    })
  )

  it.effect("a held lease names its holder, and a new fence is never an old one", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const fences: Array<bigint> = []
      for (let n = 0; n < 5; n += 1) {
        const fence = yield* take(id)
        fences.push(fence.fence)
        yield* store.release(fence, {})
        yield* store.updateConnection(id, {})
      }
      assert.strictEqual(new Set(fences).size, 5)
    })
  )
})
