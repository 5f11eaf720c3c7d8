import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as IntegrationError from "../../src/contract/IntegrationError.ts"
import { fault, MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

describe("idem connect", () => {
  it.effect("names the connection in its document where the name is a password too", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const credentials = JSON.stringify({ token: "demo12345" })
      const ended = yield* run(["connect", "memory", "--name", "demo12345", "--credentials", credentials, "--json"])
      assert.include(CommandLine.json(ended), { connection: "demo12345", next: "idem sync demo12345" })
    })
  )

  it.effect("says who it is, how much there is and what to do next", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(3)
      const { run } = yield* CommandLine.make(source)
      const ended = yield* run(
        ["connect", "memory", "--name", "work", "--credentials", "@-", "--every", "10 minutes"],
        {
          stdin: '{"token": "t0ps3cret"}'
        }
      )
      assert.strictEqual(ended.code, 0, ended.stderr)
      for (const said of ["connected work", "me@example.com", "about 3 items", "every 10 minutes", "idem sync work"]) {
        assert.include(CommandLine.text(ended), said)
      }
      const again = yield* run(["connect", "memory", "--name", "work", "--json"])
      assert.deepStrictEqual(CommandLine.json(again), {
        connection: "work",
        created: false,
        domain: "memory",
        account: "me@example.com",
        every: "10 minutes",
        items: 3,
        leftOut: [],
        firstSyncMs: 0,
        firstSyncByBytesMs: null,
        next: "idem sync work"
      })
    })
  )

  it.effect("ends with 1 where the source refuses, and repeats no secret that the source repeats", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      const { run } = yield* CommandLine.make(source)
      source.answer = () => fault(new IntegrationError.Unauthorized({ message: "no such token: t0ps3cret" }))
      const args = ["connect", "memory", "--name", "work", "--credentials", '{"token": "t0ps3cret"}']
      const ended = yield* run(args)
      assert.deepStrictEqual([ended.code, ended.stderr], [1, "idem: no such token: …\n"])
      const debug = yield* run([...args, "--log-level", "debug"])
      assert.include(debug.stderr, "    at ")
      assert.notInclude(debug.stderr, "t0ps3cret")
      const asJson = yield* run([...args, "--json"])
      assert.deepStrictEqual(CommandLine.json(asJson), {
        error: { reason: "Unauthorized", message: "no such token: …" }
      })
    })
  )

  it.effect("asks for what is missing on a terminal, and connects with the answers", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(3)
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("memory")
      const answers = ["<return>", "memory", "<return>", "two", "<return>", "<return>", "t0ps3cret", "<return>"]
      const ended = yield* run(["connect"], { terminal: true, keys: answers })
      assert.strictEqual(ended.code, 0, ended.stderr)
      const said = CommandLine.text(ended)
      for (const text of [
        "Which source",
        "a connection with this name exists already",
        "Token",
        "connected memorytwo"
      ]) {
        assert.include(said, text)
      }
      assert.notInclude(said + ended.stderr, "t0ps3cret")
      // Without a terminal, the questions can't be answered.
      assert.strictEqual((yield* run(["connect"])).code, 2)
    })
  )

  it.effect("says in its help which fields the source takes", () =>
    Effect.gen(function* () {
      const { run, started } = yield* CommandLine.make(new MemorySource())
      const help = CommandLine.text(yield* run(["connect", "memory", "--help"]))
      for (const text of [
        "MEMORY",
        "token (required)",
        "FIELDS OF --config",
        "folder  Folder",
        "Only what is in this folder.",
        'Example: "inbox"',
        "idem connect memory --name me --credentials @credentials.json"
      ]) {
        assert.include(help, text)
      }
      assert.strictEqual((yield* run(["connect", "memroy", "--help"])).stderr.split("\n").length, 2)
      assert.strictEqual(started.count, 0)
    })
  )

  it.effect("ends with 2 where a new connection lacks credentials", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const ended = yield* run(["connect", "memory", "--name", "work"])
      assert.strictEqual(ended.code, 2)
      assert.include(ended.stderr, "--credentials: token is missing")
    })
  )
})
