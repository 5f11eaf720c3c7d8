import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fleet from "./Fleet.ts"
import * as Scene from "./Scene.ts"

const names = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, index) => `c${index}`)

/** Which processes listed these accounts since then. */
const pollers = (scene: Scene.Scene, accounts: ReadonlyArray<string>, since: number) =>
  new Map(
    accounts.map((account) => [
      account,
      new Set(
        scene.counter.of(account).flatMap(({ at, process, what }) => (what === "list" && at > since ? [process] : []))
      )
    ])
  )

/** True once each of these accounts was listed since then by one of these processes. */
const allPolled = (scene: Scene.Scene, accounts: ReadonlyArray<string>, since: number, pids: ReadonlyArray<number>) =>
  Effect.sync(() =>
    accounts.every((account) =>
      scene.counter.of(account).some(({ at, process, what }) => what === "list" && at > since && pids.includes(process))
    )
  )

const shares = (polled: ReadonlyMap<string, ReadonlySet<number>>): Map<number, number> => {
  const counts = new Map<number, number>()
  for (const pids of polled.values()) for (const pid of pids) counts.set(pid, (counts.get(pid) ?? 0) + 1)
  return counts
}

describe("a cluster", () => {
  it.live(
    "shares connections, goes on without one that is killed, gives one that comes its share, and lets one go in peace",
    () =>
      Effect.gen(function* () {
        const scene = yield* Scene.make
        const accounts = names(30)
        for (const name of accounts) yield* scene.connect({ name, items: 20 })
        const settings = { databaseUrl: scene.databaseUrl }
        const [a, b, c] = yield* Effect.all(
          [1, 2, 3].map(() => Fleet.member(settings)),
          { concurrency: 3 }
        )
        assert(a !== undefined && b !== undefined && c !== undefined)
        const pids = [a.pid, b.pid, c.pid]

        // Each is polled by one at a time, once the shards have settled.
        yield* Scene.until(Effect.map(scene.stored, (count) => count === 600))
        const settled = Effect.gen(function* () {
          const since = performance.now()
          yield* Scene.until(allPolled(scene, accounts, since, pids))
          const polled = pollers(scene, accounts, since)
          return [...polled.values()].every((by) => by.size === 1) && shares(polled).size === 3
        })
        const settledIn = yield* Scene.until(settled)

        const killed = performance.now()
        const its = [...pollers(scene, accounts, killed - 3000)].flatMap(([name, by]) => (by.has(c.pid) ? [name] : []))
        c.process.kill("SIGKILL")
        const takenOver = yield* Scene.until(allPolled(scene, its, killed, [a.pid, b.pid]))
        assert.isBelow(takenOver, 20_000)

        const added = performance.now()
        const d = yield* Fleet.member(settings)
        const joined = yield* Scene.until(
          Effect.sync(() => (shares(pollers(scene, accounts, added)).get(d.pid) ?? 0) > 3)
        )

        const stopped = performance.now()
        a.process.kill("SIGTERM")
        assert.deepStrictEqual(yield* Effect.promise(() => a.ended), { code: 0, signal: null })
        const left = performance.now() - stopped
        const after = yield* Scene.until(allPolled(scene, accounts, performance.now(), [b.pid, d.pid]))

        assert.deepStrictEqual(scene.counter.downloads().length, 600)
        assert.isFalse((yield* scene.runs).has("failed"), b.stderr() + d.stderr())
        console.log({ settledIn, its: its.length, takenOver, joined, left, after })
      }).pipe(Effect.scoped, Effect.provide(Scene.layer)),
    120_000
  )
})
