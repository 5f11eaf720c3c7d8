/** The laws of the API about tasks, their runs, and the ledger. */
import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { Forbidden, Malformed } from "../../src/contract/IntegrationError.ts"
import { pausedByPerson } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import { ApiClient, body } from "../../src/http/client/ApiClient.ts"
import { fault } from "../support/MemorySource.ts"
import {
  Scripted,
  noSuchTask,
  at,
  connected,
  synced,
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

export const lawsOfTasks = (law: Law): void => {
  law("a sync stores what is new, once, and its runs and the status say so", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { id, ids, name } = yield* synced(3)
      const again = yield* syncNow(name)
      assert.deepStrictEqual([again.status, again.counts.stored, again.connection], ["succeeded", 0, id])
      const status = yield* api.connections.get(at(name))
      assert.deepStrictEqual([status.totals.stored, status.ledger, status.unfinished], [3, 0, []])
      assert.strictEqual(status.lastRun?.run, again.run)
      const runs = yield* runsOf(name, 10)
      assert.strictEqual(
        runs.reduce((sum, run) => sum + run.stored, 0),
        ids.length
      )
      assert.strictEqual((yield* runsOf(name, 1)).length, 1)
      const run = yield* api.tasks.run({ params: { run: RunId.make(again.run ?? "") } })
      assert.deepStrictEqual([run.connection, run.status, run.error], [id, "succeeded", null])
      const unknown = yield* Effect.flip(api.tasks.run({ params: { run: RunId.make("no-such-run") } }))
      assert.deepStrictEqual([unknown._tag, "what" in unknown && unknown.what], ["NotFoundProblem", "run"])
    })
  )

  law("a plan says what would be done, and writes nothing", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { source } = yield* Scripted
      const { folder, name } = yield* quiet(2)
      const before = [
        yield* runsOf(name, 100),
        yield* api.contents.list({ ...at(name), query }),
        yield* tasksOf(name, 9)
      ]
      source.add(`${folder}new`)
      const plan = yield* api.tasks.submit({ ...at(name), headers: {}, payload: { dryRun: true } })
      assert.deepStrictEqual([plan.status, plan.run, "planned" in plan && plan.planned?.download], ["planned", null, 1])
      assert.deepStrictEqual(
        [yield* runsOf(name, 100), yield* api.contents.list({ ...at(name), query }), yield* tasksOf(name, 9)],
        before
      )
    })
  )

  law("a task is run to its end by whoever serves, also while its connection is paused, which stays so", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { source } = yield* Scripted
      const { folder, id, ids, name } = yield* quiet(3)
      source.add(`${folder}new`)
      const live = yield* submit(name)
      const forced = yield* submit(name, { force: true })
      const one = yield* submit(name, { forceIds: ids.slice(0, 1) })
      assert.deepStrictEqual([live.connection, live.spec, forced.spec], [id, "", "--force"])
      const ends = yield* Effect.forEach([live, forced, one], (task) => ended(name, task))
      assert.deepStrictEqual(
        ends.map(({ counts, error, status }) => [status, error, counts.stored, counts.unchanged]),
        [
          ["succeeded", null, 1, 0],
          ["succeeded", null, 0, 4],
          ["succeeded", null, 0, 1]
        ]
      )
      assert.deepStrictEqual(
        (yield* tasksOf(name, 3)).map(({ task }) => task),
        [one.task, forced.task, live.task]
      )
      assert.strictEqual((yield* tasksOf(name, 2)).length, 2)
      const runs = yield* runsOf(name, 10)
      for (const end of ends) assert.strictEqual(runs.find(({ run }) => run === end.run)?.task, end.task)
      assert.strictEqual((yield* api.connections.get(at(name))).paused, pausedByPerson)
      const unknown = yield* Effect.flip(api.tasks.get({ params: { connection: name, task: noSuchTask } }))
      assert.deepStrictEqual([unknown._tag, "what" in unknown && unknown.what], ["NotFoundProblem", "task"])
      const elsewhere = yield* connected()
      assert.strictEqual(
        (yield* Effect.flip(api.tasks.get({ params: { connection: elsewhere.name, task: live.task } })))._tag,
        "NotFoundProblem"
      )
    })
  )

  law("one key is one request, of one connection", () =>
    Effect.gen(function* () {
      const { ids, name } = yield* quiet(2)
      const key = "a key"
      const request = { forceIds: ids }
      const first = yield* submit(name, request, key)
      assert.strictEqual((yield* submit(name, request, key)).task, first.task)
      yield* ended(name, first)
      assert.strictEqual((yield* submit(name, request, key)).task, first.task)
      const other = yield* Effect.flip(submit(name, { force: true }, key))
      assert.deepStrictEqual([other._tag, /a key/.test(other.message)], ["ConflictProblem", true])
      assert.strictEqual((yield* tasksOf(name, 10)).filter(({ spec }) => spec !== "").length, 1)
      const elsewhere = yield* quiet(1)
      assert.notStrictEqual((yield* submit(elsewhere.name, {}, key)).task, first.task)
    })
  )

  law("a task that can't go on ends as failed, and says why", () =>
    Effect.gen(function* () {
      const { name } = yield* quiet(1)
      yield* answering((method) =>
        method === "list" ? fault(new Forbidden({ message: "the folder is closed to us" })) : Effect.void
      )
      const task = yield* ended(name, yield* submit(name, { force: true }))
      assert.deepStrictEqual(
        [task.status, task.error],
        ["failed", { reason: "Forbidden", message: "the folder is closed to us" }]
      )
    })
  )

  law("what failed is in the ledger, and a retry of it tries just that", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { source } = yield* Scripted
      const { folder, name } = yield* quiet(1)
      const [bad, worse] = [`${folder}bad`, `${folder}worse`]
      source.add(bad)
      source.add(worse)
      yield* answering((method) =>
        /(bad|worse)$/.test(method) ? fault(new Malformed({ message: "not an email" })) : Effect.void
      )
      assert.strictEqual((yield* syncNow(name)).status, "partial")
      const ledger = yield* ledgerOf(name, 10)
      assert.deepStrictEqual(
        ledger.map(({ externalId, message, reason }) => [externalId, reason, message]),
        [bad, worse].map((id) => [id, "Malformed", "not an email"])
      )
      assert.strictEqual((yield* ledgerOf(name, 1)).length, 1)
      assert.strictEqual(
        (yield* api.contents.get({ ...at(name), query: { externalId: bad } })).failure?.reason,
        "Malformed"
      )
      const none = yield* Effect.flip(body(name, bad))
      assert.deepStrictEqual([none._tag, "what" in none && none.what], ["NotFoundProblem", "body"])
      const unknown = yield* Effect.flip(redrive(name, ["not failed"]))
      assert.deepStrictEqual([unknown._tag, /not failed/.test(unknown.message)], ["UsageProblem", true])
      assert.deepStrictEqual("notInLedger" in unknown && unknown.notInLedger, ["not failed"])

      yield* answering((method) =>
        method.endsWith("worse") ? fault(new Malformed({ message: "still not" })) : Effect.void
      )
      const lists = source.calls.filter((call) => call === "list" || call === "changes").length
      const one = yield* ended(name, yield* redrive(name, [bad]))
      assert.deepStrictEqual([one.status, one.counts.retried, one.counts.stored], ["succeeded", 1, 1])
      const rest = yield* ended(name, yield* redrive(name, []))
      assert.deepStrictEqual([rest.status, rest.counts.retried, rest.counts.failed], ["partial", 1, 1])
      assert.strictEqual(source.calls.filter((call) => call === "list" || call === "changes").length, lists)
      source.answer = () => Effect.void
      assert.strictEqual((yield* ended(name, yield* redrive(name))).counts.stored, 1)
      assert.deepStrictEqual(yield* ledgerOf(name, 10), [])
    })
  )

  law("every hour is in the statistics, and runs in theirs", () =>
    Effect.gen(function* () {
      const { name } = yield* quiet(4)
      const hours = yield* statisticsOf(name, 48)
      assert.strictEqual(hours.length, 48)
      for (const [index, { hour }] of hours.slice(1).entries()) {
        const before = hours[index]?.hour ?? hour
        assert.strictEqual(DateTime.toEpochMillis(hour) - DateTime.toEpochMillis(before), 3_600_000)
      }
      const runs = yield* runsOf(name, 100)
      const sum = (of: "runs" | "stored" | "apiCalls") => hours.reduce((total, hour) => total + hour[of], 0)
      assert.deepStrictEqual(
        [sum("runs"), sum("stored"), sum("apiCalls")],
        [runs.length, 4, runs.reduce((total, run) => total + run.apiCalls, 0)]
      )
    })
  )
}
