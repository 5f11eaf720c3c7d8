/** The laws of the API about connections: creating, changing, pausing, naming and removing. */
import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import { Unauthorized } from "../../src/contract/IntegrationError.ts"
import { pausedByPerson } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import { TaskId } from "../../src/engine/model/Task.ts"
import { ApiClient, body } from "../../src/http/client/ApiClient.ts"
import type { Approval } from "../../src/http/connections/ConnectionDocuments.ts"
import { fault } from "../support/MemorySource.ts"
import {
  Scripted,
  credentials,
  nobody,
  noSuchTask,
  at,
  connected,
  quiet,
  ended,
  submit,
  syncNow,
  runsOf,
  tasksOf,
  ledgerOf,
  statisticsOf,
  redrive,
  query,
  answering,
  type Law
} from "./ApiFixture.ts"

const deletionsOf = (connection: string, limit: number) =>
  ApiClient.use((api) => api.connections.deletions({ ...at(connection), query: { limit } }))

export const lawsOfConnections = (law: Law): void => {
  law("a connection is made once, and is found by its name and by its id", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { id, input, name } = yield* connected(3)
      const found = yield* api.connections.get(at(name))
      assert.deepStrictEqual(
        [found.id, found.name, found.domain, found.account, found.every, found.paused],
        [id, name, "memory", "me@example.com", "5 minutes", null]
      )
      assert.deepStrictEqual((yield* api.connections.get(at(id))).name, name)
      assert.include(
        (yield* api.connections.list({})).connections.map((each) => each.id),
        id
      )
      assert.strictEqual((yield* Effect.flip(api.connections.create({ payload: input })))._tag, "NameTakenProblem")
      const again = yield* api.connections.change({ ...at(name), payload: { every: Duration.minutes(7) } })
      assert.deepStrictEqual([again.created, again.connection.id, again.connection.every], [false, id, "7 minutes"])
      assert.strictEqual(again.unitsPerItem, 2)
      const none = yield* Effect.flip(api.connections.change({ ...at(nobody), payload: {} }))
      assert.strictEqual(none._tag, "NotFoundProblem")
    })
  )

  law("what can't be connected is refused, and nothing is made", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const input = { domain: "memory", name: "refused", config: {}, credentials: Redacted.make(credentials) }
      const refused = (change: Partial<Parameters<typeof api.connections.create>[0]["payload"]>) =>
        Effect.flip(api.connections.create({ payload: { ...input, ...change } }))
      const domain = yield* refused({ domain: "carrier-pigeon" })
      assert.deepStrictEqual([domain._tag, /carrier-pigeon/.test(domain.message)], ["UsageProblem", true])
      const pasted = yield* refused({ domain: "xoxp-T0ps3cret" })
      assert.deepStrictEqual([pasted._tag, /T0ps3cret/.test(pasted.message)], ["UsageProblem", false])
      const config = yield* refused({ config: { folder: 7 } })
      assert.deepStrictEqual([config._tag, /folder/.test(config.message)], ["UsageProblem", true])
      assert.deepStrictEqual("errors" in config && config.errors, [
        { place: "config", field: "folder", message: "folder: expected string" }
      ])
      const secret = yield* refused({ credentials: Redacted.make({ token: { t0ps3cret: 1 } }) })
      assert.deepStrictEqual([secret._tag, /t0ps3cret/.test(secret.message)], ["UsageProblem", false])
      assert.match(secret.message, /^the credentials of memory are not valid: token/)
      yield* answering((method) =>
        method === "account" ? fault(new Unauthorized({ message: "the token is not valid" })) : Effect.void
      )
      const source = yield* refused({})
      assert.deepStrictEqual(
        [source._tag, "reason" in source && source.reason, source.message],
        ["SourceRefusedProblem", "Unauthorized", "the token is not valid"]
      )
      assert.notInclude(
        (yield* api.connections.list({})).connections.map((each) => each.name),
        "refused"
      )
    })
  )

  law("a connection keeps its account", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { source } = yield* Scripted
      const { input, name } = yield* connected()
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          source.account = "you@example.com"
        }),
        () =>
          Effect.sync(() => {
            source.account = "me@example.com"
          })
      )
      const error = yield* Effect.flip(
        api.connections.change({ ...at(name), payload: { credentials: input.credentials } })
      )
      assert.strictEqual(error._tag, "UsageProblem")
      assert.strictEqual((yield* api.connections.get(at(name))).account, "me@example.com")
    })
  )

  law("stored credentials are not sent to another address than the one they were given for", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { source } = yield* Scripted
      const { input, name } = yield* connected()
      const { folder } = input.config
      const change = (config: Schema.Json, given?: Schema.Json) =>
        api.connections.change({
          ...at(name),
          payload: { config, ...(given === undefined ? {} : { credentials: Redacted.make(given) }) }
        })
      const seen = Effect.map(api.connections.get(at(name)), ({ config }) => ({
        config,
        asked: source.calls.filter((call) => call === "account").length
      }))
      const refused = Effect.fnUntraced(function* (config: Schema.Json, given?: Schema.Json) {
        const before = yield* seen
        const error = yield* Effect.flip(change(config, given))
        assert.strictEqual(error._tag, "UsageProblem")
        for (const said of [/\bserver\b/, new RegExp(`"${name}"`), /give the credentials/]) {
          assert.match(error.message, said)
        }
        assert.deepStrictEqual(yield* seen, before)
      })
      yield* refused({ folder, server: "theirs" })
      yield* refused({ folder, server: "theirs" }, null)
      assert.deepStrictEqual((yield* change({ folder, note: "n" })).connection.config, { folder, note: "n" })
      yield* change({ folder, server: "ours" }, credentials)
      yield* change({ folder, server: "ours", note: "n" })
      yield* refused({ folder, server: "theirs" })
      yield* refused({ folder })
      assert.deepStrictEqual((yield* change({ folder }, credentials)).connection.config, { folder })
    })
  )

  law("every operation on an unknown name fails with a suggestion", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { name } = yield* connected()
      const meant = yield* Effect.flip(api.connections.get(at(name.toUpperCase())))
      assert.include(meant.message, `did you mean "${name}"?`)
      const there = at(nobody)
      const all: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string; readonly message: string }, ApiClient>> =
        [
          api.connections.get(there),
          api.connections.change({ ...there, payload: {} }),
          api.connections.pause(there),
          api.connections.resume(there),
          api.connections.remove({ ...there, query: { deleteContents: true } }),
          submit(nobody),
          api.tasks.submit({ ...there, headers: {}, payload: { dryRun: true } }),
          api.tasks.get({ params: { connection: nobody, task: noSuchTask } }),
          tasksOf(nobody, 10),
          redrive(nobody),
          runsOf(nobody, 10),
          statisticsOf(nobody, 10),
          api.contents.list({ ...there, query }),
          api.contents.listInFull({ ...there, query }),
          api.contents.get({ ...there, query: { externalId: "a" } }),
          body(nobody, "a"),
          api.connections.purge({ ...there, payload: { before: DateTime.makeUnsafe(0) } }),
          ledgerOf(nobody, 10),
          deletionsOf(nobody, 10),
          api.connections.approveDeletions({ ...there, payload: { token: "any" } }),
          api.contents.changes({ query: { connection: nobody, limit: 10, wait: 0 } })
        ]
      for (const [index, ask] of all.entries()) {
        const error = yield* Effect.flip(ask)
        assert.deepStrictEqual(
          [index, error._tag, "what" in error && error.what],
          [index, "NotFoundProblem", "connection"]
        )
        assert.include(error.message, nobody)
      }
    })
  )

  law("a name with characters that the database cannot store is not found, in every operation", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { name } = yield* connected()
      const unkept = "no\0body"
      const all: ReadonlyArray<[string, Effect.Effect<unknown, { readonly _tag: string }>]> = [
        ["connection", api.connections.get(at(unkept))],
        ["connection", api.contents.changes({ query: { connection: unkept, limit: 10, wait: 0 } })],
        ["task", api.tasks.get({ params: { connection: name, task: TaskId.make(unkept) } })],
        ["run", api.tasks.run({ params: { run: RunId.make(unkept) } })]
      ]
      for (const [what, ask] of all) {
        const error = yield* Effect.flip(ask)
        assert.deepStrictEqual([error._tag, "what" in error && error.what], ["NotFoundProblem", what])
      }
    })
  )

  law("a pause keeps its reason, and a resume ends it", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { name } = yield* connected()
      assert.strictEqual((yield* api.connections.pause(at(name))).paused, pausedByPerson)
      assert.strictEqual((yield* api.connections.pause(at(name))).paused, pausedByPerson)
      assert.strictEqual((yield* api.connections.get(at(name))).nextPollAt, null)
      // A change of the schedule does not end the pause either.
      const changed = yield* api.connections.change({ ...at(name), payload: { every: Duration.minutes(9) } })
      assert.deepStrictEqual([changed.connection.every, changed.connection.paused], ["9 minutes", pausedByPerson])
      const resumed = yield* api.connections.resume(at(name))
      assert.deepStrictEqual([resumed.paused, resumed.nextPollAt === null], [null, false])
    })
  )

  law("deletions that are held back wait for a person, and can then be purged", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { source } = yield* Scripted
      const { ids, name } = yield* quiet(130)
      for (const id of ids.slice(0, 120)) source.remove(id)
      const held = yield* syncNow(name)
      assert.deepStrictEqual([held.counts.deleted, held.counts.deletionsHeld], [0, 120])
      const { deletions, token, total } = yield* deletionsOf(name, 1000)
      assert.deepStrictEqual([deletions.length, total], [120, 120])
      const [first] = deletions
      assert.deepInclude(first, { externalId: ids[0] ?? "", title: `title of ${ids[0]}`, cause: "event" })
      const few = yield* deletionsOf(name, 7)
      assert.deepStrictEqual([few.deletions.length, few.total, few.token], [7, 120, token])
      const approve = (payload: Approval) => api.connections.approveDeletions({ ...at(name), payload })
      const some = { externalIds: [ids[5] ?? ""] as const }
      assert.deepStrictEqual(yield* approve(some), { deleted: 1 })
      // Other deletions are held now than were listed.
      for (const stale of [some, { token }]) {
        const conflict = yield* Effect.flip(approve(stale))
        assert.strictEqual(conflict._tag, "ConflictProblem")
        assert.include(conflict.message, "list them again")
      }
      const now = yield* deletionsOf(name, 1)
      assert.strictEqual(now.total, 119)
      assert.deepStrictEqual(yield* approve({ token: now.token }), { deleted: 119 })
      assert.deepStrictEqual((yield* deletionsOf(name, 1)).deletions, [])
      const { totals } = yield* api.connections.get(at(name))
      assert.deepStrictEqual([totals.stored, totals.deleted, totals.deletionsHeld], [10, 120, 0])
      const purged = yield* api.connections.purge({
        ...at(name),
        payload: { before: DateTime.add(yield* DateTime.now, { hours: 1 }) }
      })
      assert.deepStrictEqual([purged.deleted, purged.bodies], [120, 120])
    })
  )

  law("a connection without credentials can be read, not run, until it is connected again", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { id, ids, input, name } = yield* quiet(2)
      assert.deepStrictEqual(yield* api.connections.remove({ ...at(name), query: {} }), { contents: 2 })
      assert.strictEqual((yield* api.connections.get(at(name))).state, "disconnected")
      assert.strictEqual((yield* Effect.flip(api.connections.resume(at(name))))._tag, "ConflictProblem")
      assert.strictEqual((yield* Effect.flip(submit(name)))._tag, "ConflictProblem")
      assert.strictEqual((yield* api.contents.list({ ...at(name), query })).contents.length, ids.length)
      const again = yield* api.connections.change({ ...at(name), payload: { credentials: input.credentials } })
      assert.deepStrictEqual([again.created, again.connection.id], [false, id])
      assert.strictEqual((yield* ended(name, yield* submit(name))).status, "succeeded")
      assert.deepStrictEqual(yield* api.connections.remove({ ...at(name), query: { deleteContents: true } }), {
        contents: 2
      })
      assert.strictEqual((yield* Effect.flip(api.connections.get(at(id))))._tag, "NotFoundProblem")
    })
  )
}
