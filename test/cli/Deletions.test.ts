import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

const removeFirst = (source: MemorySource, count: number) => {
  for (const id of [...source.items.keys()].slice(0, count)) source.remove(id)
}

/** Makes a connection with `count` held deletions. */
const held = Effect.fnUntraced(function* (count: number) {
  const source = new MemorySource()
  source.addMany(400)
  const cli = yield* CommandLine.make(source)
  yield* cli.connect("work")
  const sync = Effect.map(cli.run(["sync", "work", "--json"]), CommandLine.json)
  yield* sync
  removeFirst(source, count)
  assert.include(yield* sync, { deleted: 0, deletionsHeld: count })
  return { ...cli, source, sync }
})

/** Returns the arguments of the command that approves exactly the listed deletions. */
const approvalIn = (listing: string): ReadonlyArray<string> => {
  const command = /idem (deletions work --approve --token \S+)/.exec(listing)?.[1]
  assert.isString(command, listing)
  return (command ?? "").split(" ")
}

describe("idem deletions", () => {
  it.effect("prints the command that approves exactly what it lists", () =>
    Effect.gen(function* () {
      const { run, source, sync } = yield* held(120)
      const listed = yield* run(["deletions", "work"])
      const approval = approvalIn(CommandLine.text(listed))
      const { token } = CommandLine.json(yield* run(["deletions", "work", "--limit", "1", "--json"]))
      assert.strictEqual(approval.at(-1), token)

      removeFirst(source, 30)
      assert.include(yield* sync, { deleted: 0, deletionsHeld: 150 })
      const stale = yield* run([...approval, "--json"])
      assert.strictEqual(stale.code, 1)
      const { error } = CommandLine.json(stale)
      assert.strictEqual(error.reason, "Conflict")
      assert.include(error.message, "list them again")
      assert.strictEqual(CommandLine.json(yield* run(["deletions", "work", "--json"]))["total"], 150)

      const again = approvalIn(CommandLine.text(yield* run(["deletions", "work"])))
      assert.deepStrictEqual(CommandLine.json(yield* run([...again, "--json"])), { connection: "work", deleted: 150 })
    })
  )

  it.effect("lists what is held before it asks for approval on a terminal", () =>
    Effect.gen(function* () {
      const { run } = yield* held(120)
      const approve = (...more: ReadonlyArray<string>) =>
        run(["deletions", "work", "--approve", ...more], { terminal: true, stdin: "no\n" })
      const whole = yield* approve()
      assert.strictEqual(whole.code, 1)
      assert.match(whole.stderr, /title of m000000[^]*title of m000119[^]*120 contents[^]*Type the connection's name/)
      assert.notInclude(whole.stderr, "not shown")
      const part = yield* approve("--limit", "100")
      assert.notInclude(part.stderr, "title of m000100")
      assert.match(part.stderr, /120 contents of "work", 20 of them not shown/)
      const some = yield* approve("m000007")
      assert.notInclude(some.stderr, "title of m000000")
      assert.include(some.stderr, "1 content of")
      const done = yield* run(["deletions", "work", "--approve", "--json"], { terminal: true, stdin: "work\n" })
      assert.deepStrictEqual(CommandLine.json(done), { connection: "work", deleted: 120 })
    })
  )

  it.effect("takes a token or ids, and both only with --approve", () =>
    Effect.gen(function* () {
      const { run, started } = yield* CommandLine.make(new MemorySource())
      for (const [args, expected] of [
        [["m1"], "--approve"],
        [["--token", "t"], "--approve"],
        [["--approve", "m1", "--token", "t"], "not both"],
        [["--approve", "--token", ""], "--token"]
      ] as const) {
        const ended = yield* run(["deletions", "work", ...args])
        assert.strictEqual(ended.code, 2, args.join(" "))
        assert.include(ended.stderr, expected)
      }
      assert.strictEqual(started.count, 0)
    })
  )
})
