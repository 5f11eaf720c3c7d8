import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as IntegrationError from "../../src/contract/IntegrationError.ts"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import * as Server from "../../src/http/Server.ts"
import * as CommandLine from "../cli/CommandLine.ts"
import { bytes, fault, MemorySource } from "../support/MemorySource.ts"
import * as TestEngine from "../support/TestEngine.ts"

const token = "a-token-that-is-long-enough"

/** A database that is used in process and through a server. The server runs requested tasks after `poll` has ended. */
const both = Effect.fnUntraced(function* (source: MemorySource) {
  const cli = yield* CommandLine.make(source)
  const context = Layer.succeedContext(cli.context)
  const server = yield* Layer.build(
    Server.layerConfig.pipe(
      Layer.provide(TestEngine.polling),
      Layer.provide(context),
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { PORT: "0", IDEM_API_TOKEN: token } })))
    )
  )
  const env = { IDEM_URL: yield* Effect.provideContext(Server.url, server), IDEM_API_TOKEN: token }
  const remote = (...args: ReadonlyArray<string>) => cli.run(args, { env })
  const local = (...args: ReadonlyArray<string>) => cli.run(args)
  const poll = Layer.build(
    Scheduler.layer.pipe(Layer.provide(context), Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error")))
  )
  /** Makes a paused connection, which does only requested work. */
  const connectPaused = Effect.fnUntraced(function* (name: string) {
    const credentials = ["--credentials", '{"token": "t0ps3cret"}']
    const connected = yield* remote("connect", "memory", "--name", name, ...credentials, "--json")
    assert.strictEqual(connected.code, 0, connected.stderr)
    assert.strictEqual((yield* remote("pause", name)).code, 0)
    yield* poll
    return CommandLine.json(connected)
  })
  return { ...cli, remote, local, connectPaused }
})

/** Removes the parts that differ between two runs of a command. */
const timeless = (ended: CommandLine.Ended) => ({
  code: ended.code,
  stdout: ended.stdout
    .toString()
    .replaceAll(/"durationMs":[\d.]+/g, '"durationMs":0')
    .replaceAll(/"run":"[0-9a-f-]{36}"/g, `"run":"…"`)
    // A server runs everything as a task.
    .replaceAll(/"task":(null|"[0-9a-f-]{36}")/g, `"task":"…"`)
    .replaceAll(/(in |takes )?(less than a second|\d+ (?:second|minute)s?)( ago)?/g, "…")
    // The widths of columns depend on these values.
    .replaceAll(/ {2,}/g, "  ")
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d\.\d{3})?/g, "…"),
  // The lease of the previous command may be held for a moment after its task has ended.
  stderr: ended.stderr.toString().replaceAll(/^.*; waiting for it to end .*\n/gm, "")
})

describe("the command line through a server", () => {
  it.live("says what the local one says, in text and in JSON", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(5)
      source.add("a/b ä", {
        body: bytes("hi"),
        metadata: { subject: "x\u001b[31m" },
        at: DateTime.makeUnsafe("2026-01-02T03:04:05Z")
      })
      source.answer = (method) =>
        method === "download m000001"
          ? fault(new IntegrationError.Malformed({ message: "it can't be read" }))
          : Effect.void
      const { connectPaused, local, remote, started } = yield* both(source)
      assert.deepStrictEqual(yield* connectPaused("it's work"), {
        connection: "it's work",
        created: true,
        domain: "memory",
        account: "me@example.com",
        every: "5 minutes",
        items: 6,
        leftOut: [],
        firstSyncMs: 0,
        firstSyncByBytesMs: null,
        next: `idem sync 'it'\\''s work'`
      })
      const synced = yield* remote("sync", "it's work", "--json")
      assert.strictEqual(synced.code, 3, synced.stderr)
      assert.include(CommandLine.json(synced), {
        connection: "it's work",
        status: "partial",
        stored: 5,
        failed: 1,
        listed: 6
      })
      assert.strictEqual(started.count, 0)
      const questions: ReadonlyArray<ReadonlyArray<string>> = [
        ["connections"],
        ["status"],
        ["status", "it's work"],
        ["runs", "it's work"],
        ["contents", "it's work"],
        ["contents", "it's work", "--limit", "2"],
        ["contents", "it's work", "--state", "failed"],
        ["contents", "it's work", "--after", "nonsense"],
        ["show", "it's work", "a/b ä"],
        ["show", "it's work", "m000001"],
        ["show", "it's work", "nothing"],
        ["failures", "it's work"],
        ["deletions", "it's work"],
        ["purge", "it's work", "--older-than", "2026-01-01"],
        ["sync", "it's work", "--dry-run"],
        ["sync", "it's wrok"],
        ["retry", "it's work", "m000002"],
        ["status", "its work"],
        ["show", "quite another", "x"],
        ["connect", "imap", "--name", "w"],
        ["connect", "memory", "--name", "w"],
        ["pause", "it's work"],
        ["status", "it's work"],
        ["retry", "it's work"],
        ["sync", "it's work", "--force-id", "m000003"],
        ["sync", "it's work"],
        ["connect", "memory", "--name", "it's work"],
        ["resume", "it's work"],
        ["disconnect", "it's work"],
        ["resume", "it's work"],
        ["contents", "it's work"]
      ]
      for (const question of questions) {
        for (const form of [[], ["--json"]]) {
          const here = timeless(yield* local(...question, ...form))
          const there = timeless(yield* remote(...question, ...form))
          assert.deepStrictEqual(there, here, question.join(" "))
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("asks the source for the window that was given", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      for (const day of ["01", "02", "03"]) source.add(day, { at: DateTime.makeUnsafe(`2026-01-${day}T00:00:00Z`) })
      const { connectPaused, local, remote } = yield* both(source)
      yield* connectPaused("work")
      const window = ["--since", "2026-01-02", "--until", "2026-01-03"]
      for (const run of [local, remote]) {
        const planned = CommandLine.json(yield* run("sync", "work", ...window, "--dry-run", "--json"))
        assert.deepInclude(planned, { status: "planned", listed: 1 })
      }
      const synced = CommandLine.json(yield* remote("sync", "work", ...window, "--json"))
      assert.deepInclude(synced, { status: "succeeded", listed: 1, stored: 1 })
      const { contents } = CommandLine.json(yield* remote("contents", "work", "--json"))
      assert.deepStrictEqual(
        (contents as ReadonlyArray<{ readonly externalId: string }>).map(({ externalId }) => externalId),
        ["02"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("gives back bodies byte for byte, and exports what the local one exports", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      const large = new Uint8Array(5 * 1024 * 1024).map((_, index) => index % 253)
      source.add("large", { body: large })
      source.add("empty", { body: bytes("") })
      for (const id of ["../up", "a", "a/b", "plain.txt"]) source.add(id, { body: bytes(`body of ${id}`) })
      const { connectPaused, local, remote } = yield* both(source)
      yield* connectPaused("work")
      assert.strictEqual((yield* remote("sync", "work")).code, 0)
      assert.isTrue(Buffer.from(large).equals((yield* remote("show", "work", "large", "--raw")).stdout))
      assert.deepStrictEqual(yield* remote("show", "work", "empty", "--raw"), {
        code: 0,
        stdout: Buffer.from(""),
        stderr: ""
      })
      const fs = yield* FileSystem.FileSystem
      const here = yield* fs.makeTempDirectoryScoped()
      const there = yield* fs.makeTempDirectoryScoped()
      for (const format of ["files", "ndjson", "eml"]) {
        const said = (ended: CommandLine.Ended) => ({ ...CommandLine.json(ended), to: "…" })
        assert.deepStrictEqual(
          said(yield* remote("export", "work", "--to", there, "--format", format, "--json")),
          said(yield* local("export", "work", "--to", here, "--format", format, "--json"))
        )
      }
      const files = (yield* fs.readDirectory(here, { recursive: true })).toSorted()
      assert.deepStrictEqual((yield* fs.readDirectory(there, { recursive: true })).toSorted(), files)
      assert.isAbove(files.length, 6)
      for (const file of files) {
        if ((yield* fs.stat(`${here}/${file}`)).type !== "File") continue
        const [one, other] = yield* Effect.all([fs.readFile(`${here}/${file}`), fs.readFile(`${there}/${file}`)])
        assert.isTrue(Buffer.from(one).equals(other), file)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live(
    "waits for another run, naming who runs it; --no-wait ends with 4; Ctrl-C leaves the task to the server",
    () =>
      Effect.gen(function* () {
        const source = new MemorySource()
        source.addMany(3)
        const { connectPaused, remote } = yield* both(source)
        yield* connectPaused("work")
        const begun = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        source.answer = (method) =>
          method.startsWith("download")
            ? Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(go))
            : Effect.void
        const first = yield* Effect.forkChild(remote("sync", "work"))
        yield* Deferred.await(begun)
        const skipped = yield* remote("sync", "work", "--no-wait", "--json")
        assert.strictEqual(skipped.code, 4)
        assert.include(CommandLine.json(skipped), { connection: "work", status: "skipped", stored: 0 })
        const people = yield* remote("sync", "work", "--no-wait")
        assert.deepStrictEqual([people.code, people.stdout.length], [4, 0])
        assert.include(people.stderr, `process ${process.pid}`)

        yield* Fiber.interrupt(first)
        yield* Deferred.succeed(go, undefined)
        const stored = remote("contents", "work", "--json").pipe(
          Effect.map((ended) => CommandLine.json(ended)["contents"].length),
          Effect.repeat({ until: (count) => count === 3 })
        )
        assert.strictEqual(yield* stored, 3)
      }).pipe(Effect.scoped)
  )
})
