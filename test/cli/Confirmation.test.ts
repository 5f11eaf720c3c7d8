import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

const destructive = [
  ["disconnect", "work", "--delete-contents"],
  ["purge", "work", "--older-than", "1 day"],
  ["deletions", "work", "--approve"]
]

describe("a command that deletes", () => {
  for (const args of destructive) {
    it.effect(`asks on a terminal for the connection's name: idem ${args.join(" ")}`, () =>
      Effect.gen(function* () {
        const source = new MemorySource()
        const { connect, run } = yield* CommandLine.make(source)
        yield* connect("work")
        for (const stdin of ["", "yes\n", "other\n"]) {
          const refused = yield* run([...args, "--json"], { terminal: true, stdin })
          assert.strictEqual(refused.code, 1)
          assert.strictEqual(CommandLine.json(refused)["error"].reason, "NotConfirmed")
          assert.include(refused.stderr, "Type the connection's name")
        }
        assert.strictEqual((yield* run(["status", "work"])).code, 0)
        assert.strictEqual((yield* run(args, { terminal: true, stdin: "work\n" })).code, 0)
      })
    )

    it.effect(`asks nothing with --yes, nor where nobody can answer: idem ${args.join(" ")}`, () =>
      Effect.gen(function* () {
        for (const [more, options] of [
          [["--yes"], { terminal: true }],
          [[], {}]
        ] as const) {
          const { connect, run } = yield* CommandLine.make(new MemorySource())
          yield* connect("work")
          const ended = yield* run([...args, ...more], options)
          assert.strictEqual(ended.code, 0, ended.stderr)
          assert.notInclude(ended.stderr, "Type the")
        }
      })
    )
  }

  it.effect("is not asked about where it deletes nothing", () =>
    Effect.gen(function* () {
      const { connect, run } = yield* CommandLine.make(new MemorySource())
      yield* connect("work")
      assert.strictEqual((yield* run(["deletions", "work"], { terminal: true })).code, 0)
      assert.strictEqual((yield* run(["disconnect", "work"], { terminal: true })).code, 0)
    })
  )
})
