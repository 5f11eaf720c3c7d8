import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as IntegrationError from "../../src/contract/IntegrationError.ts"
import { fault, MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

interface Check {
  readonly check: string
  readonly connection: string | null
  readonly status: string
  readonly message: string
  readonly next: string | null
}

const problemsOf = (document: Record<string, unknown>): ReadonlyArray<Check> =>
  (document["checks"] as ReadonlyArray<Check>).filter(({ status }) => status === "problem")

describe("idem doctor", () => {
  it.effect("ends with 0 where nothing needs a person", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(3)
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      yield* run(["sync", "work"])
      const ended = yield* run(["doctor"])
      assert.strictEqual(ended.code, 0, CommandLine.text(ended))
      for (const said of ["database: a database in memory answers", "key: opens the credentials of 1 connection"]) {
        assert.include(CommandLine.text(ended), said)
      }
      assert.include(CommandLine.text(ended), "nothing needs you")
    })
  )

  it.effect("names what needs a person on a connection, with the next command, and ends with 1", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(3)
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      source.answer = () => fault(new IntegrationError.Unauthorized({ message: "the token was revoked" }))
      yield* run(["sync", "work"])
      const ended = yield* run(["doctor", "--json"])
      assert.strictEqual(ended.code, 1)
      const document = CommandLine.json(ended)
      assert.isFalse(document["healthy"])
      const [found] = problemsOf(document)
      assert.include(found, { check: "credentials", connection: "work" })
      assert.include(found?.message, "the token was revoked")
      assert.strictEqual(found?.next, "idem connect memory --name work --credentials @FILE")
      // A paused connection is not expected to be polled.
      assert.isFalse((document["checks"] as ReadonlyArray<Check>).some(({ check }) => check === "success"))
    })
  )

  it.effect("takes a fault of the integration for a problem at once, as nothing heals it", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(3)
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      source.answer = () => Effect.die(new TypeError("undefined"))
      yield* run(["sync", "work"])
      const ended = yield* run(["doctor", "--json"])
      assert.strictEqual(ended.code, 1)
      const [found] = problemsOf(CommandLine.json(ended))
      assert.include(found, { check: "success", connection: "work" })
      assert.match(found?.message ?? "", /^the last run failed \(.*TypeError/)
      assert.strictEqual(found?.next, "fix the integration; this shows its stack: idem sync work --log-level debug")
    })
  )

  it.effect("takes a failure that may not pass for a problem once it has come three times", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(3)
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      source.answer = () => fault(new IntegrationError.Forbidden({ message: "no access" }))
      const codes = []
      for (const _ of [1, 2, 3]) {
        yield* run(["sync", "work"])
        codes.push((yield* run(["doctor"])).code)
      }
      assert.deepStrictEqual(codes, [0, 0, 1])
    })
  )

  it.effect("says what is wrong below: schema, clock, disk and a transaction that holds the feed back", () =>
    Effect.gen(function* () {
      const inspection = {
        schema: { found: 1, supported: 2 },
        clockSkewMs: -90_000,
        freeBytes: 1000,
        feedHolder: { seconds: 3600, process: 123, application: "psql" }
      }
      const { run } = yield* CommandLine.make(new MemorySource(), {}, { inspection })
      const ended = yield* run(["doctor", "--json"])
      assert.strictEqual(ended.code, 1)
      const problems = problemsOf(CommandLine.json(ended))
      assert.deepStrictEqual(
        problems.map(({ check, next }) => [check, next?.split(":")[0]]),
        [
          ["schema", "idem migrate"],
          ["clock", "set both clocks by NTP"],
          ["disk", "free some space, or move IDEM_DATA_DIR"],
          ["feed", "end its session"]
        ]
      )
    })
  )
})
