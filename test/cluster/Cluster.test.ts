import { assert, describe, it } from "@effect/vitest"
import { createIdem } from "@idem-sync/idem"
import * as Effect from "effect/Effect"
import * as IdemProcess from "../support/IdemProcess.ts"
import * as Fleet from "./Fleet.ts"
import * as SharedDatabase from "./SharedDatabase.ts"

const names = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, index) => `c${index}`)

/** Returns the processes that listed these accounts since then. */
const pollers = (database: SharedDatabase.SharedDatabase, accounts: ReadonlyArray<string>, since: number) =>
  new Map(
    accounts.map((account) => [
      account,
      new Set(
        database.counter
          .of(account)
          .flatMap(({ at, process, what }) => (what === "list" && at > since ? [process] : []))
      )
    ])
  )

/** Returns true if each of these accounts was listed since then by one of these processes. */
const allPolled = (
  database: SharedDatabase.SharedDatabase,
  accounts: ReadonlyArray<string>,
  since: number,
  pids: ReadonlyArray<number>
) =>
  Effect.sync(() =>
    accounts.every((account) =>
      database.counter
        .of(account)
        .some(({ at, process, what }) => what === "list" && at > since && pids.includes(process))
    )
  )

const shares = (polled: ReadonlyMap<string, ReadonlySet<number>>): Map<number, number> => {
  const counts = new Map<number, number>()
  for (const pids of polled.values()) for (const pid of pids) counts.set(pid, (counts.get(pid) ?? 0) + 1)
  return counts
}

describe.concurrent("a cluster", () => {
  it.live(
    "shares connections, goes on without one that is killed, gives one that comes its share, and lets one go in peace",
    () =>
      Effect.gen(function* () {
        const database = yield* SharedDatabase.make
        const accounts = names(30)
        for (const name of accounts) yield* database.connect({ name, items: 3, every: "3 seconds" })
        const settings = { databaseUrl: database.databaseUrl }
        const [a, b, c] = yield* Effect.all(
          [1, 2, 3].map(() => Fleet.member(settings)),
          { concurrency: 3 }
        )
        assert(a !== undefined && b !== undefined && c !== undefined)
        const pids = [a.pid, b.pid, c.pid]
        assert.include(a.stderr(), "only processes of this machine can join this one")

        // Once the shards have settled, only one process at a time polls a connection.
        yield* SharedDatabase.until(Effect.map(database.stored, (count) => count === 90))
        let polled: ReturnType<typeof pollers> = new Map()
        const settled = Effect.gen(function* () {
          const since = performance.now()
          yield* SharedDatabase.until(allPolled(database, accounts, since, pids))
          polled = pollers(database, accounts, since)
          return [...polled.values()].every((by) => by.size === 1) && shares(polled).size === 3
        })
        yield* SharedDatabase.until(settled)
        const shared = performance.now()

        const its = [...polled].flatMap(([name, by]) => (by.has(c.pid) ? [name] : []))
        c.process.kill("SIGKILL")
        yield* Effect.promise(() => c.ended)
        const killed = performance.now()
        yield* SharedDatabase.until(allPolled(database, its, killed, [a.pid, b.pid]))

        const added = performance.now()
        const d = yield* Fleet.member(settings)
        yield* SharedDatabase.until(Effect.sync(() => (shares(pollers(database, accounts, added)).get(d.pid) ?? 0) > 3))

        a.process.kill("SIGTERM")
        assert.deepStrictEqual(yield* Effect.promise(() => a.ended), { code: 0, signal: null })
        yield* SharedDatabase.until(allPolled(database, accounts, performance.now(), [b.pid, d.pid]))

        // All items were stored before the first process left, so no connection downloads an item again after it moves.
        assert.deepStrictEqual(database.counter.downloadsSince(shared), [])
        const runs = yield* database.runs
        assert.strictEqual(
          [...runs.values()].reduce((sum, run) => sum + run.stored, 0),
          90
        )
        assert.isFalse(runs.has("failed"), b.stderr() + d.stderr())
      }).pipe(Effect.scoped, Effect.provide(SharedDatabase.layer))
  )

  it.live("refuses the late writes of a process that was frozen, and stores nothing twice", () =>
    Effect.gen(function* () {
      const database = yield* SharedDatabase.make
      // Slow and endless, so that both processes are in the middle of their connections when one is frozen.
      database.counter.delay = 1000
      database.counter.atOnce = 10
      database.counter.pageSize = 10
      const accounts: Array<string> = []
      const connectNext = Effect.suspend(() => {
        const name = `c${accounts.length}`
        accounts.push(name)
        return database.connect({ name, items: 1_000_000, every: "1 minute" })
      })
      yield* Effect.repeat(connectNext, { times: 5 })
      const settings = { databaseUrl: database.databaseUrl }
      const [a, b] = yield* Effect.all(
        [1, 2].map(() => Fleet.member(settings)),
        { concurrency: 2 }
      )
      assert(a !== undefined && b !== undefined)
      const shared = performance.now()
      const active = (pid: number) => database.counter.downloadsSince(shared).some(({ process }) => process === pid)
      // All six connections may be assigned to one process. More connections follow, each after the one before has
      // started.
      yield* SharedDatabase.until(
        Effect.gen(function* () {
          if (active(a.pid) && active(b.pid)) return true
          const newest = accounts.at(-1)
          if (database.counter.downloadsSince(shared).some(({ account }) => account === newest)) yield* connectNext
          return false
        })
      )

      const its = [...pollers(database, accounts, 0)].flatMap(([name, by]) => (by.has(a.pid) ? [name] : []))
      const ofIts = (ids: ReadonlySet<string>) => [...ids].filter((id) => its.includes(id.split("/", 1).join()))
      yield* SharedDatabase.until(Effect.map(database.ids, (ids) => ofIts(ids).length > 0))
      a.process.kill("SIGSTOP")
      const stored = yield* database.ids
      const frozen = performance.now()
      yield* SharedDatabase.until(allPolled(database, its, frozen, [b.pid]))
      database.counter.delay = 5
      a.process.kill("SIGCONT")
      const all = database.counter.end()
      yield* SharedDatabase.until(Effect.map(database.stored, (count) => count === all))

      const runs = yield* database.runs
      assert.strictEqual(
        [...runs.values()].reduce((sum, run) => sum + run.stored, 0),
        all
      )
      assert.isFalse(runs.has("failed"), a.stderr() + b.stderr())
      // Only downloads that were not stored yet are repeated, however many the frozen process held in memory.
      const later = database.counter.downloadsSince(frozen).map(({ account, id }) => `${account}/${id}`)
      assert.isNotEmpty(ofIts(stored))
      assert.deepStrictEqual(
        later.filter((id) => stored.has(id)),
        []
      )
    }).pipe(Effect.scoped, Effect.provide(SharedDatabase.layer))
  )

  it.live("spends a quota together, with a sync beside it", () =>
    Effect.gen(function* () {
      const database = yield* SharedDatabase.make
      const settings = { databaseUrl: database.databaseUrl }
      const begun = performance.now()
      // Ten accounts of one owner: 10 units a second for all of them together, and 10 at the beginning.
      const quota = { items: 400, owner: "one", unitsPerMinute: 600, every: "1 day" } as const
      yield* database.connect({ ...quota, name: "apart" })
      yield* Effect.forkScoped(Effect.promise(() => IdemProcess.run(["sync", "apart"], { env: Fleet.envOf(settings) })))
      yield* SharedDatabase.until(Effect.sync(() => database.counter.of("apart").length > 0))
      const { pid } = yield* Fleet.member(settings)
      for (const name of names(9)) yield* database.connect({ ...quota, name })
      const total = () => [...database.counter.asked.values()].flat()
      yield* SharedDatabase.until(Effect.sync(() => total().filter(({ process }) => process === pid).length >= 30))
      // No connection was due before, and however late the calls arrive, one budget allows no more of them. Two budgets
      // would have allowed them in half of the time.
      for (const [index, at] of total()
        .map(({ at }) => at)
        .toSorted((a, b) => a - b)
        .entries()) {
        assert.isAtMost(index + 1, 10 + Math.ceil((at - begun) / 100))
      }
    }).pipe(Effect.scoped, Effect.provide(SharedDatabase.layer))
  )

  it.live("is not joined by a process that polls alone, and does not join one", () =>
    Effect.gen(function* () {
      const database = yield* SharedDatabase.make
      const settings = { databaseUrl: database.databaseUrl }
      const refused = Effect.fnUntraced(function* (env: Record<string, string>) {
        const other = yield* Fleet.start({ ...settings, env })
        const { code } = yield* Effect.promise(() => other.ended)
        return `${code} ${other.stderr()}`
      })
      const polling = { database: database.databaseUrl, secretKey: Fleet.secretKey, poll: true }
      const alone = yield* Effect.promise(() => createIdem(polling))
      assert.match(yield* refused({ IDEM_CLUSTER: "1" }), /^1 [^]*start it again with IDEM_CLUSTER=1/)
      yield* Effect.promise(() => alone.close())
      const member = yield* Effect.promise(() => createIdem({ ...polling, settings: { IDEM_CLUSTER: "1" } }))
      assert.match(yield* refused({ IDEM_CLUSTER: "0" }), /^1 [^]*set IDEM_CLUSTER=1 to join it/)
      yield* Effect.promise(() => member.close())
    }).pipe(Effect.scoped, Effect.provide(SharedDatabase.layer))
  )
})
