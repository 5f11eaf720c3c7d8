import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import * as IntegrationError from "../../src/contract/IntegrationError.ts"
import * as Memory from "../../src/stores/Memory.ts"
import { fromContext, replaceMethods } from "../../src/testing/WholeStore.ts"
import { Webhook } from "standardwebhooks"
import * as Receiver from "../support/Receiver.ts"
import { fault, MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

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

describe("the other commands", () => {
  it.effect("name a connection that is not there, and the one that was meant", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.connected(1)
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
      assert.deepStrictEqual(Object.keys(document), [...CommandLine.syncFields, "error"])
    })
  )

  it.effect("name the next step for a connection whose credentials this process's key can't open", () =>
    Effect.gen(function* () {
      const { context, run } = yield* CommandLine.connected(2)
      const store = fromContext(context)
      const work = Option.getOrThrow(yield* store.connectionByName("work"))
      yield* store.updateConnection(work.id, { credentials: Uint8Array.of(1) })
      yield* run(["sync", "work"])
      const next =
        "set IDEM_SECRET_KEY or IDEM_SECRET_KEY_OLD to the key of its credentials, then: idem resume work; " +
        "or: idem connect memory --name work --credentials @FILE"
      const status = CommandLine.text(yield* run(["status", "work"]))
      assert.match(status, /paused +the credentials are sealed with another key/)
      assert.include(status, next)
      const checks: ReadonlyArray<Record<string, string>> = CommandLine.json(yield* run(["doctor", "--json"]))["checks"]
      assert.deepStrictEqual(
        checks.filter(({ check, status }) => check === "credentials" && status === "problem").map(({ next }) => next),
        [next]
      )
    })
  )

  it.effect("list, pause, resume and disconnect", () =>
    Effect.gen(function* () {
      const { context, run } = yield* CommandLine.connected(2)
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

  it.effect("say that a removal takes long, and how it continues", () =>
    Effect.gen(function* () {
      const [removing, mayEnd] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const store = replaceMethods((real) => ({
        disconnect: (id, deleteContents) =>
          deleteContents
            ? Deferred.succeed(removing, undefined).pipe(
                Effect.andThen(Deferred.await(mayEnd)),
                Effect.andThen(real.disconnect(id, true))
              )
            : real.disconnect(id, false)
      })).pipe(Layer.provide(Memory.layer))
      const source = new MemorySource()
      source.addMany(3)
      const { connect, run } = yield* CommandLine.make(source, { store })
      yield* connect("work")
      yield* run(["sync", "work"])
      const disconnecting = yield* Effect.forkChild(
        run(["disconnect", "work", "--delete-contents", "--json"], {
          onStderr: () => Deferred.doneUnsafe(mayEnd, Effect.void)
        })
      )
      yield* Deferred.await(removing)
      yield* TestClock.adjust("5 seconds")
      const ended = yield* Fiber.join(disconnecting)
      assert.strictEqual(
        ended.stderr,
        "deleting work and its 3 stored contents … if this is interrupted, the same command continues\n"
      )
      assert.include(CommandLine.json(ended), { contentsDeleted: true, contents: 3 })
    })
  )

  it.effect("show the state and the history", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.connected(2)
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
      const { run, source } = yield* CommandLine.connected(2)
      yield* run(["sync", "work"])
      source.answer = (method) =>
        method === "list" ? fault(new IntegrationError.Forbidden({ message: "no" })) : Effect.void
      assert.strictEqual((yield* run(["sync", "work", "--force", "--since", "7 days"])).code, 1)
      assert.include(CommandLine.text(yield* run(["status", "work"])), "idem sync work --force --since '7 days'")
    })
  )

  it.effect("hold many deletions back until a person approves them", () =>
    Effect.gen(function* () {
      const { run, source } = yield* CommandLine.connected(300)
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
      const { context, run, source } = yield* CommandLine.connected(3)
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
