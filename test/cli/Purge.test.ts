import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { fromContext } from "../../src/testing/WholeStore.ts"
import { MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

const synced = Effect.fnUntraced(function* (count: number) {
  const cli = yield* CommandLine.connected(count)
  const sync = Effect.map(cli.run(["sync", "work", "--json"]), CommandLine.json)
  yield* sync
  return { ...cli, sync }
})

const removeFirst = (source: MemorySource, count: number) => {
  for (const id of [...source.items.keys()].slice(0, count)) source.remove(id)
}

describe("deletions", () => {
  it.effect("are held when many, approved by a person, undone when they come back, and purged", () =>
    Effect.gen(function* () {
      const { context, run, source, sync } = yield* synced(400)
      const store = fromContext(context)
      const json = (...args: ReadonlyArray<string>) => Effect.map(run([...args, "--json"]), CommandLine.json)
      const ids = (state: string) =>
        Effect.map(json("contents", "work", "--state", state, "--limit", "1000"), ({ contents }) => contents.length)

      removeFirst(source, 100)
      assert.include(yield* sync, { deleted: 100, deletionsHeld: 0 })
      removeFirst(source, 101)
      assert.include(yield* sync, { deleted: 0, deletionsHeld: 101 })
      assert.deepStrictEqual([yield* ids("stored"), yield* ids("deleted")], [300, 100])
      assert.strictEqual((yield* json("deletions", "work"))["deletions"].length, 101)
      assert.deepStrictEqual(yield* json("deletions", "work", "--approve"), { connection: "work", deleted: 101 })
      assert.deepStrictEqual([yield* ids("stored"), yield* ids("deleted")], [199, 201])

      source.add("m000000")
      assert.include(yield* sync, { stored: 1 })
      assert.deepStrictEqual([yield* ids("stored"), yield* ids("deleted")], [200, 200])

      yield* TestClock.adjust("10 days")
      const early = yield* json("purge", "work", "--older-than", "11 days")
      assert.include(early, { purged: 0, bodies: 0 })
      const purged = yield* json("purge", "work", "--older-than", "9 days")
      assert.include(purged, { connection: "work", purged: 200, forgotten: 0, bodies: 200 })
      assert.strictEqual(purged["bytes"], 200 * "body of m000000".length)
      assert.deepStrictEqual([yield* ids("stored"), yield* ids("deleted")], [200, 200])
      const { id } = Option.getOrThrow(yield* store.connectionByName("work"))
      assert.isNull(Option.getOrThrow(yield* store.content(id, "m000001")).hash)
      assert.isNotNull(Option.getOrThrow(yield* store.content(id, "m000000")).hash)
      assert.include(CommandLine.text(yield* run(["purge", "work", "--older-than", "1 day"])), "0 deleted contents")
    })
  )
})

describe("idem purge", () => {
  it.effect("refuses what it can't do, and starts nothing for it", () =>
    Effect.gen(function* () {
      const { run, started } = yield* CommandLine.make(new MemorySource())
      for (const args of [
        ["purge", "work"],
        ["purge", "work", "--older-than", "soon"],
        ["purge", "work", "--older-than", "2026-01-01T00:00:00"],
        ["purge", "--older-than", "1 day"]
      ]) {
        assert.strictEqual((yield* run(args)).code, 2, args.join(" "))
      }
      assert.strictEqual(started.count, 0)
      const unknown = yield* run(["purge", "nobody", "--older-than", "1 day", "--json"])
      assert.strictEqual(unknown.code, 2)
      assert.strictEqual(CommandLine.json(unknown)["error"].reason, "UnknownConnection")
    })
  )
})
