/**
 * The laws of the API: each operation has the same outcome and the same errors in process and over the network.
 *
 * A layer gives `ApiClient` and `Scripted`: the source that its connections of the domain `memory` mirror. A scheduler
 * polls the store for as long as the layer lives. Each law has a folder of that source, and a connection, to itself.
 */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import { Forbidden, Malformed, Unauthorized } from "../../src/contract/IntegrationError.ts"
import { pausedByPerson } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import { TaskId } from "../../src/engine/model/Task.ts"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import { ApiClient, body } from "../../src/http/client/ApiClient.ts"
import type { Approval } from "../../src/http/connections/ConnectionDocuments.ts"
import type { Task } from "../../src/http/tasks/TaskDocuments.ts"
import type { SyncRequest } from "../../src/http/tasks/TaskEndpoints.ts"
import { fault, type MemorySource } from "../support/MemorySource.ts"

/** The source behind the API. */
export class Scripted extends Context.Service<Scripted, { readonly source: MemorySource }>()(
  "test/http/lawsOfApi/Scripted"
) {}

/** The scheduler, by a clock on which each wait is a tenth: every law waits for a few of its looks, a second apart. */
export const scheduler = Layer.provide(
  Scheduler.layer,
  Layer.effect(
    Clock.Clock,
    Clock.clockWith((real) =>
      Effect.succeed<Clock.Clock>({
        currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe(),
        currentTimeMillis: real.currentTimeMillis,
        currentTimeNanosUnsafe: () => real.currentTimeNanosUnsafe(),
        currentTimeNanos: real.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: real.monotonicTimeNanos,
        sleep: (duration) => real.sleep(Duration.divideUnsafe(duration, 10))
      })
    )
  )
)

const credentials = { token: "t0ps3cret" }
const wait = 20
const nobody = "nobody-by-this-name"
const noSuchTask = TaskId.make("11111111-2222-4333-8444-555555555555")

/** A request about this connection. */
const at = (connection: string) => ({ params: { connection } })

let last = 0

/** A connection to a folder of its own with so many items, which is gone after the law. */
const connected = Effect.fnUntraced(function* (items = 0) {
  const { source } = yield* Scripted
  const api = yield* ApiClient
  last += 1
  const folder = `folder ${last}/`
  const ids = Array.from({ length: items }, (_, index) => `${folder}${String(index).padStart(4, "0")}`)
  for (const id of ids) source.add(id)
  const input = {
    domain: "memory",
    name: `connection ${last}`,
    config: { folder },
    credentials: Redacted.make<Schema.Json>(credentials)
  }
  const { connection } = yield* Effect.acquireRelease(api.connections.create({ payload: input }), ({ connection }) =>
    Effect.ignore(api.connections.remove({ ...at(connection.id), query: { deleteContents: true } }))
  )
  return { folder, id: connection.id, ids, input, name: connection.name }
})

/** The same, with everything stored. */
const synced = Effect.fnUntraced(function* (items: number) {
  const made = yield* connected(items)
  assert.strictEqual((yield* syncNow(made.name)).status, "succeeded")
  return made
})

/** The same, paused, with nobody running it: what is asked is all that happens. */
const quiet = Effect.fnUntraced(function* (items: number) {
  const api = yield* ApiClient
  const made = yield* synced(items)
  yield* api.connections.pause(at(made.name))
  yield* eventually(api.connections.get(at(made.id)), ({ state }) => state === "paused")
  return made
})

/** Asks until the answer is right. */
const eventually = <A, E, R>(ask: Effect.Effect<A, E, R>, isRight: (answer: A) => boolean): Effect.Effect<A, E, R> =>
  Effect.flatMap(ask, (answer) =>
    isRight(answer)
      ? Effect.succeed(answer)
      : Effect.andThen(
          Effect.sleep("20 millis"),
          Effect.suspend(() => eventually(ask, isRight))
        )
  )

const ended = Effect.fnUntraced(function* (connection: string, { task }: Task) {
  const api = yield* ApiClient
  return yield* eventually(api.tasks.get({ params: { connection, task } }), ({ finishedAt }) => finishedAt !== null)
})

/** Submits a sync: what a poll does, unless the request says otherwise. */
const submit = Effect.fnUntraced(function* (connection: string, payload: SyncRequest = {}, key?: string) {
  const api = yield* ApiClient
  const headers = key === undefined ? {} : { "idempotency-key": key }
  const answer = yield* api.tasks.submit({ ...at(connection), headers, payload })
  return "createdAt" in answer ? answer : yield* Effect.die(new Error("a dry run is no task"))
})

const syncNow = (connection: string) => Effect.flatMap(submit(connection), (task) => ended(connection, task))

const runsOf = (connection: string, limit: number) =>
  ApiClient.use((api) => Effect.map(api.tasks.runs({ ...at(connection), query: { limit } }), ({ runs }) => runs))

const tasksOf = (connection: string, limit: number) =>
  ApiClient.use((api) => Effect.map(api.tasks.list({ ...at(connection), query: { limit } }), ({ tasks }) => tasks))

const ledgerOf = (connection: string, limit: number) =>
  ApiClient.use((api) =>
    Effect.map(api.connections.ledger({ ...at(connection), query: { limit } }), ({ ledger }) => ledger)
  )

const deletionsOf = (connection: string, limit: number) =>
  ApiClient.use((api) => api.connections.deletions({ ...at(connection), query: { limit } }))

const statisticsOf = (connection: string, hours: number) =>
  ApiClient.use((api) =>
    Effect.map(api.tasks.statistics({ ...at(connection), query: { hours } }), ({ hours }) => hours)
  )

/** Retries these rows of the ledger, or all of them. */
const redrive = (connection: string, externalIds?: ReadonlyArray<string>) =>
  ApiClient.use((api) =>
    api.connections.redrive({ ...at(connection), payload: externalIds === undefined ? null : { externalIds } })
  )

const query = { state: "stored", order: "id", limit: 100 } as const

const textOf = <E>(bytes: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(bytes), (chunks) => Buffer.concat(Array.from(chunks)).toString())

/** Answers of the source from now on, and its own again when the law has ended. */
const answering = Effect.fnUntraced(function* (answer: MemorySource["answer"]) {
  const { source } = yield* Scripted
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      source.answer = answer
    }),
    () =>
      Effect.sync(() => {
        source.answer = () => Effect.void
      })
  )
})

export const suite = <E>(name: string, layer: Layer.Layer<ApiClient | Scripted, E>): void => {
  it.layer(layer, { excludeTestServices: true })(`${name}: the API`, (it) => {
    const law = (says: string, work: () => Effect.Effect<void, unknown, ApiClient | Scripted | Scope>) =>
      it.effect(says, () => Effect.scoped(Effect.orDie(work())))

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
        const secret = yield* refused({ credentials: Redacted.make({ token: { t0ps3cret: 1 } }) })
        assert.deepStrictEqual([secret._tag, /t0ps3cret/.test(secret.message)], ["UsageProblem", false])
        assert.match(secret.message, /^the credentials of memory are not right: token/)
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

    law("a name that is not there is said with what was meant, whatever is asked of it", () =>
      Effect.gen(function* () {
        const api = yield* ApiClient
        const { name } = yield* connected()
        const meant = yield* Effect.flip(api.connections.get(at(name.toUpperCase())))
        assert.include(meant.message, `did you mean "${name}"?`)
        const there = at(nobody)
        const all: ReadonlyArray<
          Effect.Effect<unknown, { readonly _tag: string; readonly message: string }, ApiClient>
        > = [
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

    law("text that no database keeps is the name of nothing, whatever is asked by it", () =>
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
        // Nor does a change of the schedule end it.
        const changed = yield* api.connections.change({ ...at(name), payload: { every: Duration.minutes(9) } })
        assert.deepStrictEqual([changed.connection.every, changed.connection.paused], ["9 minutes", pausedByPerson])
        const resumed = yield* api.connections.resume(at(name))
        assert.deepStrictEqual([resumed.paused, resumed.nextPollAt === null], [null, false])
      })
    )

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
        assert.deepStrictEqual(
          [plan.status, plan.run, "planned" in plan && plan.planned?.download],
          ["planned", null, 1]
        )
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

    law("what is stored is listed page by page, and a cursor is good for its own list only", () =>
      Effect.gen(function* () {
        const api = yield* ApiClient
        const { ids, name } = yield* quiet(5)
        const first = yield* api.contents.list({ ...at(name), query: { ...query, limit: 2 } })
        const rest = yield* api.contents.list({ ...at(name), query: { ...query, after: first.next ?? "" } })
        assert.deepStrictEqual(
          [...first.contents, ...rest.contents].map((row) => row.externalId),
          ids
        )
        assert.isNull(rest.next)
        const full = yield* api.contents.listInFull({
          ...at(name),
          query: { ...query, text: "TITLE OF", limit: 1 }
        })
        const row = yield* api.contents.get({ ...at(name), query: { externalId: ids[0] ?? "" } })
        assert.deepStrictEqual({ ...full.contents[0], failure: null }, { ...row })
        const refused = (ref: string, after: string) =>
          Effect.map(Effect.flip(api.contents.list({ ...at(ref), query: { ...query, after } })), (error) =>
            error._tag === "CursorProblem" ? error.reason : error._tag
          )
        assert.strictEqual(yield* refused(name, "no cursor"), "malformed")
        assert.strictEqual(yield* refused((yield* connected()).name, first.next ?? ""), "foreign")
        const now = yield* DateTime.now
        const empty = yield* Effect.flip(
          api.contents.list({ ...at(name), query: { ...query, since: now, until: now } })
        )
        assert.strictEqual(empty._tag, "UsageProblem")
      })
    )

    law("a list says who wrote each content and where, by name", () =>
      Effect.gen(function* () {
        const api = yield* ApiClient
        const { source } = yield* Scripted
        const { name } = yield* quiet(1)
        source.add("users/U1")
        source.add("channels/C1")
        source.add("C1/1.1", { metadata: { user: "U1", channel: "C1" } })
        yield* ended(name, yield* submit(name, { forceIds: ["C1/1.1", "channels/C1", "users/U1"] }))
        const author = { from: "title of users/U1", in: "title of channels/C1" }
        const named = { ...author, names: { U1: author.from, C1: author.in } }
        const nobody = { from: null, in: null, names: {} }
        const { contents } = yield* api.contents.list({ ...at(name), query })
        const full = yield* api.contents.listInFull({ ...at(name), query })
        for (const rows of [contents, full.contents]) {
          assert.deepStrictEqual(
            rows.map((row) => ({ from: row.from, in: row.in, names: row.names })),
            [named, nobody, nobody, nobody]
          )
        }
        const one = yield* api.contents.get({ ...at(name), query: { externalId: "C1/1.1" } })
        assert.deepStrictEqual({ from: one.from, in: one.in, names: one.names }, named)
      })
    )

    law("a content is read by its id, and its body whole or in parts", () =>
      Effect.gen(function* () {
        const api = yield* ApiClient
        const { ids, name } = yield* quiet(1)
        const id = ids[0] ?? ""
        const content = yield* api.contents.get({ ...at(name), query: { externalId: id } })
        assert.deepStrictEqual(
          [content.externalId, content.title, content.state, content.mediaType, content.failure],
          [id, `title of ${id}`, "stored", "text/plain", null]
        )
        const text = `body of ${id}`
        const { bytes, hash, size } = yield* body(name, id)
        assert.deepStrictEqual([size, hash], [text.length, content.hash])
        assert.strictEqual(yield* textOf(bytes), text)
        const part = Effect.fnUntraced(function* (start: number, end: number) {
          const { headers, status, stream } = yield* api.contents.body({
            ...at(name),
            query: { externalId: id },
            headers: { range: `bytes=${start}-${end - 1}` },
            responseMode: "response-only"
          })
          assert.deepStrictEqual([status, headers["content-type"]], [206, "text/plain"])
          return yield* textOf(stream)
        })
        assert.strictEqual(yield* part(5, 7), text.slice(5, 7))
        assert.strictEqual(yield* part(0, text.length), text)
        const absent: ReadonlyArray<
          Effect.Effect<unknown, { readonly _tag: string; readonly message: string }, ApiClient>
        > = [api.contents.get({ ...at(name), query: { externalId: "absent" } }), body(name, "absent")]
        for (const ask of absent) {
          const error = yield* Effect.flip(ask)
          assert.deepStrictEqual([error._tag, "what" in error && error.what], ["NotFoundProblem", "content"])
          assert.include(error.message, "absent")
        }
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
        // By now others are held than those that were listed.
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

    law("changes are told in order, to whoever waits too, and a cursor is good for its own list only", () =>
      Effect.gen(function* () {
        const api = yield* ApiClient
        const { source } = yield* Scripted
        const { folder, id, ids, name } = yield* quiet(2)
        const changes = (after?: string) =>
          api.contents.changes({
            query: { connection: name, limit: 100, wait, ...(after === undefined ? {} : { after }) }
          })
        const first = yield* eventually(changes(), (page) => page.changes.length === 2)
        assert.deepStrictEqual(
          first.changes.map(({ change, connection, content }) => [change, connection, content.externalId]),
          ids.map((each) => ["stored", id, each])
        )
        source.add(`${folder}new`)
        const [next] = yield* Effect.all([changes(first.next), submit(name)], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          next.changes.map(({ content }) => content.externalId),
          [`${folder}new`]
        )
        const refused = (after: string, connection?: string) =>
          Effect.map(
            Effect.flip(
              api.contents.changes({
                query: { after, limit: 1, wait: 0, ...(connection === undefined ? {} : { connection }) }
              })
            ),
            (error) => (error._tag === "CursorProblem" ? error.reason : error._tag)
          )
        assert.strictEqual(yield* refused("no cursor"), "malformed")
        assert.strictEqual(yield* refused(first.next, (yield* connected()).name), "foreign")
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
  })
}
