import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as IntegrationError from "../../src/contract/IntegrationError.ts"
import { fault } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

const broken = fault(new IntegrationError.Malformed({ message: "it can't be read" }))

describe("idem sync", () => {
  it.effect("prints the counts in their order, and stores nothing twice", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.connected(25)
      const first = yield* run(["sync", "work", "--json"])
      assert.strictEqual(first.code, 0, first.stderr)
      assert.deepStrictEqual(Object.keys(CommandLine.json(first)), CommandLine.syncFields)
      assert.include(CommandLine.json(first), {
        connection: "work",
        status: "succeeded",
        stored: 25,
        downloads: 25
      })
      const second = CommandLine.json(yield* run(["--json", "sync", "work"]))
      assert.include(second, { status: "succeeded", stored: 0, downloads: 0 })
      const forced = CommandLine.json(yield* run(["sync", "work", "--force", "--json"]))
      assert.include(forced, { unchanged: 25, stored: 0 })
      assert.isString(forced["task"])
      const one = CommandLine.json(yield* run(["sync", "work", "--force-id", "m000003", "--json"]))
      assert.include(one, { forced: 1, downloads: 1, listed: 0 })
    })
  )

  it.effect("says in a sentence what it did", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.connected(2)
      const ended = yield* run(["sync", "work"])
      assert.match(CommandLine.text(ended), /^work succeeded in .*\n {2}2 stored\n {2}2 listed, 2 downloads, /)
      assert.include(CommandLine.text(yield* run(["sync", "work"])), "nothing to do")
    })
  )

  it.effect("plans and writes nothing with --dry-run", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.connected(4)
      const ended = yield* run(["sync", "work", "--dry-run", "--json"])
      const document = CommandLine.json(ended)
      assert.deepStrictEqual(Object.keys(document), [...CommandLine.syncFields, "planned"])
      assert.include(document, { status: "planned", run: null, stored: 0 })
      assert.deepStrictEqual(document["planned"], { download: 4, delete: 0, patch: 0, held: 0 })
      assert.deepStrictEqual(CommandLine.json(yield* run(["contents", "work", "--json"])), {
        contents: [],
        next: null
      })
    })
  )

  it.effect("ends with 3 where a place could not be listed, or a forced id is not at the source, and names it", () =>
    Effect.gen(function* () {
      const { run, source } = yield* CommandLine.connected(3)
      source.problems = [{ place: "inbox", message: "no access" }]
      const first = yield* run(["sync", "work"])
      assert.strictEqual(first.code, 3)
      assert.include(CommandLine.text(first), "inbox: no access")
      const status = CommandLine.text(yield* run(["status", "work"]))
      assert.include(status, "inbox: no access")
      assert.match(status, /last check +\S+/)
      const [shown] = CommandLine.json(yield* run(["status", "work", "--json"]))["connections"]
      assert.deepInclude(shown, { problems: source.problems })
      assert.isString(shown?.["lastCheckedAt"])

      source.problems = []
      const unknown = yield* run(["sync", "work", "--force-id", "nowhere"])
      assert.strictEqual(unknown.code, 3)
      assert.include(CommandLine.text(unknown), "nowhere: not found at the source")
      assert.strictEqual((yield* run(["show", "work", "nowhere"])).code, 1)
    })
  )

  it.effect("ends with 3 and shows the failures where some items failed", () =>
    Effect.gen(function* () {
      const { run, source } = yield* CommandLine.connected(3)
      source.answer = (method) => (method === "download m000001" ? broken : Effect.void)
      const ended = yield* run(["sync", "work", "--json"])
      assert.strictEqual(ended.code, 3)
      assert.include(CommandLine.json(ended), { status: "partial", failed: 1, stored: 2 })
      const failures = CommandLine.json(yield* run(["failures", "work", "--json"]))
      const [row] = failures["failures"]
      assert.deepStrictEqual(Object.keys(row ?? {}), [
        "externalId",
        "state",
        "revision",
        "reason",
        "message",
        "attempts",
        "nextAttemptAt"
      ])
      assert.include(row, { externalId: "m000001", reason: "Malformed", message: "it can't be read" })
      const shown = CommandLine.json(yield* run(["show", "work", "m000001", "--json"]))
      assert.include(shown["failure"], { reason: "Malformed" })
      const raw = yield* run(["show", "work", "m000001", "--raw"])
      assert.deepStrictEqual([raw.code, raw.stdout.length], [1, 0])
      assert.include(CommandLine.text(yield* run(["failures", "work"])), "it can't be read")

      assert.include((yield* run(["retry", "work", "m000002"])).stderr, `"m000002": not in the ledger`)
      assert.strictEqual((yield* run(["retry", "work", "m000002"])).code, 1)
      source.answer = () => Effect.void
      const retried = yield* run(["retry", "work", "m000001", "--json"])
      assert.strictEqual(retried.code, 0, retried.stderr)
      assert.include(CommandLine.json(retried), { retried: 1, stored: 1, listed: 0 })
      assert.deepStrictEqual(CommandLine.json(yield* run(["failures", "work", "--json"])), { failures: [] })
    })
  )

  it.effect("ends with 1 and one line where the source says no, with the document of a sync", () =>
    Effect.gen(function* () {
      const { run, source } = yield* CommandLine.connected(3)
      source.answer = () => fault(new IntegrationError.Unauthorized({ message: "the grant was revoked" }))
      const ended = yield* run(["sync", "work", "--json"])
      assert.strictEqual(ended.code, 1)
      assert.deepStrictEqual(Object.keys(CommandLine.json(ended)).slice(0, CommandLine.syncFields.length + 1), [
        ...CommandLine.syncFields,
        "error"
      ])
      assert.include(CommandLine.json(ended)["error"], { reason: "Unauthorized" })
      assert.strictEqual(
        ended.stderr,
        "idem: work: the grant was revoked; the connection is paused: idem status work says what to do\n"
      )
      const status = CommandLine.text(yield* run(["status", "work"]))
      assert.include(status, "paused")
      assert.include(status, "the grant was revoked")
    })
  )

  it.effect("status says that the source asked to wait, and until when", () =>
    Effect.gen(function* () {
      const { run, source } = yield* CommandLine.connected(3)
      const asked = new IntegrationError.RateLimited({
        message: "slow down",
        retryAfter: Duration.seconds(9_999_999_999)
      })
      source.answer = () => fault(asked)
      assert.strictEqual((yield* run(["sync", "work", "--json"])).code, 1)
      const text = CommandLine.text(yield* run(["status", "work"]))
      assert.match(text, /waiting +the source asked to wait until .*in (1 day|2[34] hours)/)
      const { connections } = CommandLine.json(yield* run(["status", "work", "--json"]))
      assert.match(JSON.stringify(connections), /"askedToWaitUntil":"\d{4}-/)
    })
  )

  it.effect("waits for another run, naming who runs it; --no-wait ends with 4", () =>
    Effect.gen(function* () {
      const { run, source } = yield* CommandLine.connected(3)
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      source.answer = (method) =>
        method.startsWith("download")
          ? Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(go))
          : Effect.void
      const first = yield* Effect.forkChild(run(["sync", "work", "--json"]))
      yield* Deferred.await(begun)
      const skipped = yield* run(["sync", "work", "--no-wait", "--json"])
      assert.strictEqual(skipped.code, 4)
      assert.include(CommandLine.json(skipped), { status: "skipped", stored: 0 })
      const people = yield* run(["sync", "work", "--no-wait"])
      assert.deepStrictEqual([people.code, people.stdout.length], [4, 0])
      assert.include(people.stderr, `process ${process.pid}`)
      yield* Deferred.succeed(go, undefined)
      assert.strictEqual((yield* Fiber.join(first)).code, 0)
    })
  )

  it.effect("ends with 130 and says how to go on where it is interrupted", () =>
    Effect.gen(function* () {
      const { run, source } = yield* CommandLine.connected(3)
      const begun = yield* Deferred.make<void>()
      source.answer = (method) =>
        method.startsWith("download") ? Effect.andThen(Deferred.succeed(begun, undefined), Effect.never) : Effect.void
      const ended = yield* Effect.forkChild(run(["sync", "work"]))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(ended)
      source.answer = () => Effect.void
      assert.include(CommandLine.json(yield* run(["sync", "work", "--no-wait", "--json"])), { stored: 3 })
    })
  )
})

describe("idem runs", () => {
  it.effect("say what each run was for", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.connected(3)
      yield* run(["sync", "work"])
      yield* run(["sync", "work", "--force"])
      yield* run(["sync", "work", "--force-id", "m000001"])
      const { runs } = CommandLine.json(yield* run(["runs", "work", "--json"]))
      assert.deepStrictEqual(
        runs.map(({ kind }: { readonly kind: string }) => kind),
        ["ids", "force", "sync"]
      )
      assert.match(CommandLine.text(yield* run(["runs", "work"])), /FOR .*\n.* ids /)
    })
  )
})
