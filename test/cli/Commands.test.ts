import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as PlatformError from "effect/PlatformError"
import * as Sink from "effect/Sink"
import * as IntegrationError from "../../src/contract/IntegrationError.ts"
import { fromContext } from "../../src/testing/WholeStore.ts"
import { Webhook } from "standardwebhooks"
import * as Receiver from "../support/Receiver.ts"
import { bytes, fault, MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

const syncFields = [
  "connection",
  "run",
  "task",
  "status",
  "listed",
  "forced",
  "retried",
  "existing",
  "stored",
  "updated",
  "unchanged",
  "failed",
  "gone",
  "deferred",
  "patched",
  "deleted",
  "deletionsHeld",
  "downloads",
  "apiCalls",
  "quotaUnits",
  "checkerQueries",
  "durationMs"
]

const connected = Effect.fnUntraced(function* (count: number) {
  const source = new MemorySource()
  source.addMany(count)
  const cli = yield* CommandLine.make(source)
  const ended = yield* cli.connect("work")
  assert.strictEqual(ended.code, 0, ended.stderr)
  return { ...cli, source }
})

const broken = fault(new IntegrationError.Malformed({ message: "it can't be read" }))

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
        "there is a connection of this name already",
        "Token",
        "connected memorytwo"
      ]) {
        assert.include(said, text)
      }
      assert.notInclude(said + ended.stderr, "t0ps3cret")
      // Without a terminal nobody can answer.
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

describe("idem webhooks", () => {
  it.live("creates, lists, pings, rotates, pauses and removes, by id or name", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      const receiver = yield* Receiver.make
      assert.include(CommandLine.text(yield* run(["webhooks"])), "there are no webhooks yet")
      const created = yield* run([
        "webhooks",
        "create",
        receiver.url,
        "--name",
        "mine",
        "--change",
        "deleted",
        "--json"
      ])
      assert.strictEqual(created.code, 0, created.stderr)
      const { id, secret, changes } = CommandLine.json(created)["webhook"]
      assert.deepStrictEqual(changes, ["deleted"])
      const listed = CommandLine.text(yield* run(["webhooks"]))
      assert.include(listed, "mine")
      assert.notInclude(listed, secret)
      assert.include(CommandLine.text(yield* run(["webhooks", "ping", "mine"])), "answered 204")
      const { headers, body } = receiver.received[0] ?? { headers: {}, body: "" }
      new Webhook(secret).verify(body, headers as Record<string, string>)
      receiver.answer = (response) => response.writeHead(500).end()
      const refused = yield* run(["webhooks", "ping", id, "--json"])
      assert.strictEqual(refused.code, 1)
      assert.include(CommandLine.json(refused)["ping"], { delivered: false, status: 500 })
      assert.notStrictEqual(
        CommandLine.json(yield* run(["webhooks", "rotate", id, "--json"]))["webhook"].secret,
        secret
      )
      assert.include(CommandLine.text(yield* run(["webhooks", "pause", id])), "mine is paused")
      assert.deepStrictEqual(CommandLine.json(yield* run(["webhooks", "messages", id, "--json"])), {
        messages: [],
        next: null
      })
      assert.deepStrictEqual(CommandLine.json(yield* run(["webhooks", "redeliver", id, "--json"])), { redelivered: 0 })
      assert.deepStrictEqual(CommandLine.json(yield* run(["webhooks", "remove", id, "--json"])), { removed: id })
      const unknown = yield* run(["webhooks", "ping", "mine"])
      assert.deepStrictEqual([unknown.code, unknown.stderr.includes('there is no webhook "mine"')], [2, true])
      assert.strictEqual((yield* run(["webhooks", "create", "nonsense"])).code, 2)
    }).pipe(
      Effect.scoped,
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { IDEM_WEBHOOK_ALLOW: "127.0.0.1" } })))
    )
  )
})

describe("idem runs", () => {
  it.effect("say what each run was for", () =>
    Effect.gen(function* () {
      const { run } = yield* connected(3)
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

describe("idem sync", () => {
  it.effect("prints the counts in their order, and stores nothing twice", () =>
    Effect.gen(function* () {
      const { run } = yield* connected(25)
      const first = yield* run(["sync", "work", "--json"])
      assert.strictEqual(first.code, 0, first.stderr)
      assert.deepStrictEqual(Object.keys(CommandLine.json(first)), syncFields)
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
      const { run } = yield* connected(2)
      const ended = yield* run(["sync", "work"])
      assert.match(CommandLine.text(ended), /^work succeeded in .*\n {2}2 stored\n {2}2 listed, 2 downloads, /)
      assert.include(CommandLine.text(yield* run(["sync", "work"])), "nothing to do")
    })
  )

  it.effect("plans and writes nothing with --dry-run", () =>
    Effect.gen(function* () {
      const { run } = yield* connected(4)
      const ended = yield* run(["sync", "work", "--dry-run", "--json"])
      const document = CommandLine.json(ended)
      assert.deepStrictEqual(Object.keys(document), [...syncFields, "planned"])
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
      const { run, source } = yield* connected(3)
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
      const { run, source } = yield* connected(3)
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
      const { run, source } = yield* connected(3)
      source.answer = () => fault(new IntegrationError.Unauthorized({ message: "the grant was revoked" }))
      const ended = yield* run(["sync", "work", "--json"])
      assert.strictEqual(ended.code, 1)
      assert.deepStrictEqual(Object.keys(CommandLine.json(ended)).slice(0, syncFields.length + 1), [
        ...syncFields,
        "error"
      ])
      assert.include(CommandLine.json(ended)["error"], { reason: "Unauthorized" })
      assert.strictEqual(
        ended.stderr,
        "idem: work: the grant was revoked; the connection is paused: idem status work says how to mend it\n"
      )
      const status = CommandLine.text(yield* run(["status", "work"]))
      assert.include(status, "paused")
      assert.include(status, "the grant was revoked")
    })
  )

  it.effect("status says that the source asked to be left alone, and until when", () =>
    Effect.gen(function* () {
      const { run, source } = yield* connected(3)
      const asked = new IntegrationError.RateLimited({
        message: "slow down",
        retryAfter: Duration.seconds(9_999_999_999)
      })
      source.answer = () => fault(asked)
      assert.strictEqual((yield* run(["sync", "work", "--json"])).code, 1)
      const text = CommandLine.text(yield* run(["status", "work"]))
      assert.match(text, /waiting +the source asked to be left alone until .*in (1 day|2[34] hours)/)
      const { connections } = CommandLine.json(yield* run(["status", "work", "--json"]))
      assert.match(JSON.stringify(connections), /"askedToWaitUntil":"\d{4}-/)
    })
  )

  it.effect("waits for another run, naming who runs it; --no-wait ends with 4", () =>
    Effect.gen(function* () {
      const { run, source } = yield* connected(3)
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
      const { run, source } = yield* connected(3)
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

describe("idem contents and show", () => {
  it.effect("page through what is stored by a cursor of their own connection", () =>
    Effect.gen(function* () {
      const { connect, run } = yield* connected(5)
      yield* run(["sync", "work"])
      const ids: Array<unknown> = []
      let after: ReadonlyArray<string> = []
      do {
        const page = CommandLine.json(yield* run(["contents", "work", "--limit", "2", ...after, "--json"]))
        const rows = page["contents"]
        assert.deepStrictEqual(Object.keys(rows[0] ?? {}), [
          "externalId",
          "kind",
          "state",
          "revision",
          "hash",
          "size",
          "title",
          "occurredAt",
          "updatedAt"
        ])
        ids.push(...rows.map((row: Record<string, string>) => row["externalId"]))
        after = page["next"] === null ? [] : ["--after", String(page["next"])]
      } while (after.length > 0)
      assert.deepStrictEqual(ids, ["m000000", "m000001", "m000002", "m000003", "m000004"])

      yield* connect("other")
      const { next } = CommandLine.json(yield* run(["contents", "work", "--limit", "1", "--json"]))
      const stranger = yield* run(["contents", "other", "--after", String(next)])
      assert.strictEqual(stranger.code, 2)
      assert.include(stranger.stderr, "another connection")
      assert.strictEqual((yield* run(["contents", "work", "--after", "x"])).code, 2)
    })
  )

  it.effect("give back a body byte for byte, and all that is known without it", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      const body = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256)
      source.add("a/b c", {
        body,
        metadata: { subject: "x\u001b[31m" },
        at: DateTime.makeUnsafe("2026-01-02T03:04:05Z")
      })
      source.add("empty", { body: bytes("") })
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      yield* run(["sync", "work"])
      assert.deepStrictEqual(new Uint8Array((yield* run(["show", "work", "a/b c", "--raw"])).stdout), body)
      assert.strictEqual((yield* run(["show", "work", "empty", "--raw"])).stdout.length, 0)
      const document = CommandLine.json(yield* run(["show", "work", "a/b c", "--json"]))
      assert.include(document, { externalId: "a/b c", size: 70_000, occurredAt: "2026-01-02T03:04:05.000Z" })
      assert.match(String(document["hash"]), /^[0-9a-f]{64}$/)
      assert.include(CommandLine.text(yield* run(["show", "work", "a/b c"])), "x\\u{1b}[31m")
      const unknown = yield* run(["show", "work", "nothing"])
      assert.deepStrictEqual([unknown.code, unknown.stdout.length], [1, 0])
      assert.include(unknown.stderr, `"work" has nothing with the id "nothing"`)
    })
  )

  it.effect("end quietly where nobody reads any more", () =>
    Effect.gen(function* () {
      const { run } = yield* connected(2)
      yield* run(["sync", "work"])
      const closed = () =>
        Sink.fail(
          PlatformError.systemError({
            module: "Stdio",
            method: "stdout",
            _tag: "Unknown",
            cause: Object.assign(new Error("write EPIPE"), { code: "EPIPE" })
          })
        )
      for (const args of [
        ["contents", "work"],
        ["show", "work", "m000001", "--raw"]
      ]) {
        const ended = yield* run(args, { stdout: closed })
        assert.deepStrictEqual([ended.code, ended.stderr], [0, ""])
      }
    })
  )
})

describe("the other commands", () => {
  it.effect("name a connection that is not there, and the one that was meant", () =>
    Effect.gen(function* () {
      const { run } = yield* connected(1)
      for (const command of [
        "sync",
        "pause",
        "resume",
        "disconnect",
        "status",
        "runs",
        "contents",
        "failures",
        "deletions",
        "retry"
      ]) {
        const ended = yield* run([command, "wrok"])
        assert.strictEqual(ended.code, 2, command)
        assert.strictEqual(ended.stderr, `idem: there is no connection "wrok"; did you mean "work"?\n`)
      }
      assert.include((yield* run(["sync", "quite another"])).stderr, `there are: "work"`)
      const document = CommandLine.json(yield* run(["sync", "wrok", "--json"]))
      assert.deepStrictEqual(Object.keys(document), [...syncFields, "error"])
    })
  )

  it.effect("list, pause, resume and disconnect", () =>
    Effect.gen(function* () {
      const { context, run } = yield* connected(2)
      yield* run(["sync", "work"])
      const states = Effect.map(run(["connections", "--json"]), (ended) =>
        CommandLine.json(ended)["connections"].map(({ name, paused, state }: Record<string, string>) => [
          name,
          state,
          paused
        ])
      )
      assert.deepStrictEqual(yield* states, [["work", "idle", null]])
      assert.deepStrictEqual(CommandLine.json(yield* run(["pause", "work", "--json"])), {
        connection: "work",
        paused: "by a person"
      })
      assert.deepStrictEqual(yield* states, [["work", "paused", "by a person"]])
      assert.include(CommandLine.text(yield* run(["resume", "work"])), "polled again")
      assert.deepStrictEqual(yield* states, [["work", "idle", null]])

      assert.include(CommandLine.text(yield* run(["disconnect", "work"])), "2 stored contents can still be read")
      assert.strictEqual((yield* run(["resume", "work"])).code, 1)
      assert.include(CommandLine.text(yield* run(["contents", "work"])), "m000001")
      assert.deepStrictEqual(CommandLine.json(yield* run(["disconnect", "work", "--delete-contents", "--json"])), {
        connection: "work",
        disconnected: true,
        contentsDeleted: true,
        contents: 2
      })
      assert.deepStrictEqual(yield* fromContext(context).connections, [])
      assert.include(CommandLine.text(yield* run(["connections"])), "no connections yet")
    })
  )

  it.effect("show the state and the history", () =>
    Effect.gen(function* () {
      const { run } = yield* connected(2)
      assert.include(CommandLine.text(yield* run(["runs", "work"])), "has not run yet")
      yield* run(["sync", "work"])
      const [status] = CommandLine.json(yield* run(["status", "--json"]))["connections"]
      assert.include(status, { name: "work", state: "idle", ledger: 0 })
      assert.include(status?.["totals"], { stored: 2, failed: 0 })
      assert.include(status?.["lastRun"], { status: "succeeded", stored: 2 })
      assert.include(CommandLine.text(yield* run(["status"])), "last run")
      const [run0] = CommandLine.json(yield* run(["runs", "work", "--json"]))["runs"]
      assert.include(run0, { status: "succeeded", stored: 2 })
    })
  )

  it.effect("show an unfinished task with the command that goes on with it", () =>
    Effect.gen(function* () {
      const { run, source } = yield* connected(2)
      yield* run(["sync", "work"])
      source.answer = (method) =>
        method === "list" ? fault(new IntegrationError.Forbidden({ message: "no" })) : Effect.void
      assert.strictEqual((yield* run(["sync", "work", "--force", "--since", "7 days"])).code, 1)
      assert.include(CommandLine.text(yield* run(["status", "work"])), "idem sync work --force --since '7 days'")
    })
  )

  it.effect("hold many deletions back until a person approves them", () =>
    Effect.gen(function* () {
      const { run, source } = yield* connected(300)
      source.pageSize = 100
      yield* run(["sync", "work"])
      for (const id of [...source.items.keys()].slice(0, 200)) source.remove(id)
      const ended = yield* run(["sync", "work", "--json"])
      assert.include(CommandLine.json(ended), { deleted: 0, deletionsHeld: 200 })
      const { deletions, ...held } = CommandLine.json(yield* run(["deletions", "work", "--limit", "150", "--json"]))
      assert.strictEqual(deletions.length, 150)
      assert.hasAllKeys(deletions[0] ?? {}, ["externalId", "kind", "title", "occurredAt", "cause", "stagedAt"])
      assert.hasAllKeys(held, ["total", "token"])
      assert.strictEqual(held["total"], 200)
      const shown = CommandLine.text(yield* run(["deletions", "work"]))
      assert.include(shown, `title of ${deletions[0]?.["externalId"]}`)
      assert.strictEqual((yield* run(["deletions", "work", "m000001"])).code, 2)
      const some = ["deletions", "work", "--approve", "--json", "m000001", "m000002"]
      assert.deepStrictEqual(CommandLine.json(yield* run(some)), { connection: "work", deleted: 2 })
      assert.strictEqual((yield* run(some)).code, 1)
      const asked = yield* run(["deletions", "work", "--approve"], { terminal: true, stdin: "no\n" })
      assert.include(asked.stderr, "198 contents")
      assert.deepStrictEqual(CommandLine.json(yield* run(["deletions", "work", "--approve", "--json"])), {
        connection: "work",
        deleted: 198
      })
      assert.include(CommandLine.text(yield* run(["deletions", "work"])), "no deletions")
    })
  )

  it.effect("bring the database up to date, saying from where to where", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.make(new MemorySource())
      assert.deepStrictEqual(CommandLine.json(yield* run(["migrate", "--json"])), {
        before: 1,
        after: 2,
        epoch: 1
      })
      assert.match(CommandLine.text(yield* run(["migrate", "--new-epoch"])), /epoch 2 begins/)
      assert.include(CommandLine.text(yield* run(["migrate"])), "from version 1 to 2")
    })
  )

  it.effect("serve until stopped, polling what is due", () =>
    Effect.gen(function* () {
      const { context, run, source } = yield* connected(3)
      const polled = yield* Deferred.make<void>()
      source.answer = (method) => (method === "list" ? Deferred.succeed(polled, undefined) : Effect.void)
      const serving = yield* Effect.forkChild(run(["serve"], { env: { PORT: "0" } }))
      yield* Deferred.await(polled)
      yield* Fiber.interrupt(serving)
      const store = fromContext(context)
      const [connection] = yield* store.connections
      assert.isNull(connection?.lease ?? null)
      const wrong = yield* run(["serve"], { env: { PORT: "http" } })
      assert.strictEqual(wrong.code, 2)
      assert.include(wrong.stderr, "PORT")
    })
  )

  it.effect("say one line where the database is away, or something breaks that should not", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(1)
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      source.answer = () => Effect.die(new Error("a bug\nwith two lines"))
      const ended = yield* run(["sync", "work", "--json"])
      assert.strictEqual(ended.code, 1)
      assert.strictEqual(ended.stderr.trimEnd().split("\n").length, 1)
      assert.notInclude(ended.stderr, "    at ")
      assert.isObject(CommandLine.json(ended)["error"])
    })
  )
})
