/**
 * The laws of `Control`: what a person may ask has the same outcome and the same errors, asked here or of a server.
 *
 * A layer gives `Control` and `Scripted`: the source that its connections of the domain `memory` mirror, over a store that a
 * poller polls for as long as the layer is there, in the time of the real clock. Each law has a folder of that source, and
 * a connection, to itself.
 */
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import { Forbidden, Malformed, Unauthorized } from "../../src/contract/IntegrationError.ts"
import { poll, type SyncTask } from "../../src/contract/SyncTask.ts"
import { type ContentQuery, Control, type NotFound } from "../../src/engine/Control.ts"
import type * as Documents from "../../src/engine/Documents.ts"
import { pausedByPerson } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import { TaskId } from "../../src/engine/model/Task.ts"
import { type StoreError } from "../../src/engine/Store.ts"
import { fault, type MemorySource } from "../support/MemorySource.ts"

/** What stands behind the control: its source. */
export class Scripted extends Context.Service<Scripted, { readonly source: MemorySource }>()(
  "test/engine/lawsOfControl/Scripted"
) {}

const credentials = { token: "t0ps3cret" }
const wait = Duration.seconds(20)
const nobody = "nobody-by-this-name"
const noSuchTask = TaskId.make("11111111-2222-4333-8444-555555555555")

let last = 0

/** A connection to a folder of its own with so many items, which is gone after the law. */
const connected = Effect.fnUntraced(function* (items = 0) {
  const { source } = yield* Scripted
  const control = yield* Control
  last += 1
  const folder = `folder ${last}/`
  const ids = Array.from({ length: items }, (_, index) => `${folder}${String(index).padStart(4, "0")}`)
  for (const id of ids) source.add(id)
  const input = { domain: "memory", name: `connection ${last}`, config: { folder }, credentials, every: undefined }
  const { connection } = yield* Effect.acquireRelease(control.connect({ ...input, mode: "create" }), ({ connection }) =>
    Effect.ignore(control.disconnect(connection.id, { deleteContents: true }))
  )
  return { folder, id: connection.id, ids, input, name: connection.name }
})

/** The same, with everything stored. */
const synced = Effect.fnUntraced(function* (items: number) {
  const control = yield* Control
  const made = yield* connected(items)
  const result = yield* control.sync(made.name, poll, { spec: "", wait: true })
  assert.strictEqual(result.status, "succeeded")
  return made
})

/** The same, paused, with nobody running it: what is asked is all that happens. */
const quiet = Effect.fnUntraced(function* (items: number) {
  const control = yield* Control
  const made = yield* synced(items)
  yield* control.pause(made.name)
  yield* eventually(control.connection(made.id), ({ state }) => state === "paused")
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

const ended = Effect.fnUntraced(function* (ref: string, { task }: Documents.Task) {
  const control = yield* Control
  return yield* eventually(control.task(ref, task), ({ finishedAt }) => finishedAt !== null)
})

const query = (changed: Partial<ContentQuery> = {}): ContentQuery => ({
  state: "stored",
  order: "id",
  limit: 100,
  ...changed
})

const asked = (task: Partial<SyncTask> = {}, spec = ""): Documents.TaskRequest => ({
  _tag: "sync",
  task: { ...poll, ...task },
  spec
})

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

export const suite = <E>(name: string, layer: Layer.Layer<Control | Scripted, E>): void => {
  it.layer(layer, { excludeTestServices: true, timeout: "30 seconds" })(`${name}: control`, (it) => {
    const law = (says: string, work: () => Effect.Effect<void, unknown, Control | Scripted | Scope>) =>
      it.effect(says, () => Effect.scoped(Effect.orDie(work())), 30_000)

    law("a connection is made once, and is found by its name and by its id", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { id, input, name } = yield* connected(3)
        const found = yield* control.connection(name)
        assert.deepStrictEqual(
          [found.id, found.name, found.domain, found.account, found.every, found.paused],
          [id, name, "memory", "me@example.com", "5 minutes", null]
        )
        assert.deepStrictEqual((yield* control.connection(id)).name, name)
        assert.include(
          (yield* control.connections).map((each) => each.id),
          id
        )
        assert.strictEqual((yield* Effect.flip(control.connect({ ...input, mode: "create" })))._tag, "NameTaken")
        const again = yield* control.connect({ ...input, every: Duration.minutes(7), mode: "update" })
        assert.deepStrictEqual([again.created, again.connection.id, again.connection.every], [false, id, "7 minutes"])
        assert.strictEqual(again.estimate.unitsPerItem, 2)
        const none = yield* Effect.flip(control.connect({ ...input, name: nobody, mode: "update" }))
        assert.strictEqual(none._tag, "NotFound")
      })
    )

    law("what can't be connected is refused, and nothing is made", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const input = {
          domain: "memory",
          name: "refused",
          config: {},
          credentials,
          every: undefined,
          mode: "create"
        } as const
        const refused = (change: Partial<Parameters<typeof control.connect>[0]>) =>
          Effect.flip(control.connect({ ...input, ...change }))
        const domain = yield* refused({ domain: "carrier-pigeon" })
        assert.deepStrictEqual([domain._tag, /carrier-pigeon/.test(domain.message)], ["UsageError", true])
        const pasted = yield* refused({ domain: "xoxp-T0ps3cret" })
        assert.deepStrictEqual([pasted._tag, /T0ps3cret/.test(pasted.message)], ["UsageError", false])
        const config = yield* refused({ config: { folder: 7 } })
        assert.deepStrictEqual([config._tag, /folder/.test(config.message)], ["UsageError", true])
        const secret = yield* refused({ credentials: { token: { t0ps3cret: 1 } } })
        assert.deepStrictEqual([secret._tag, /t0ps3cret/.test(secret.message)], ["UsageError", false])
        assert.match(secret.message, /^the credentials of memory are not right: token/)
        yield* answering((method) =>
          method === "account" ? fault(new Unauthorized({ message: "the token is not valid" })) : Effect.void
        )
        const source = yield* refused({})
        assert.deepStrictEqual(
          [source._tag, "reason" in source && source.reason, source.message],
          ["SourceError", "Unauthorized", "the token is not valid"]
        )
        assert.notInclude(
          (yield* control.connections).map((each) => each.name),
          "refused"
        )
      })
    )

    law("a connection keeps its account", () =>
      Effect.gen(function* () {
        const control = yield* Control
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
        const error = yield* Effect.flip(control.connect({ ...input, mode: "update" }))
        assert.strictEqual(error._tag, "UsageError")
        assert.strictEqual((yield* control.connection(name)).account, "me@example.com")
      })
    )

    law("stored credentials are not sent to another address than the one they were given for", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { source } = yield* Scripted
        const { input, name } = yield* connected()
        const { folder } = input.config
        const change = (config: unknown, given?: unknown) =>
          control.connect({ ...input, config, credentials: given, mode: "update" })
        const seen = Effect.map(control.connection(name), ({ config }) => ({
          config,
          asked: source.calls.filter((call) => call === "account").length
        }))
        const refused = Effect.fnUntraced(function* (config: unknown, given?: unknown) {
          const before = yield* seen
          const error = yield* Effect.flip(change(config, given))
          assert.strictEqual(error._tag, "UsageError")
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
        const control = yield* Control
        const { name } = yield* connected()
        const meant = yield* Effect.flip(control.connection(name.toUpperCase()))
        assert.include(meant.message, `did you mean "${name}"?`)
        const options = { spec: "", wait: true }
        const all: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string; readonly message: string }>> = [
          control.connection(nobody),
          control.status(nobody),
          control.pause(nobody),
          control.resume(nobody),
          control.disconnect(nobody, { deleteContents: true }),
          control.submit(nobody, asked(), {}),
          control.task(nobody, noSuchTask),
          control.tasks(nobody, 10),
          control.plan(nobody, poll),
          control.sync(nobody, poll, options),
          control.retry(nobody, undefined),
          control.runs(nobody, 10),
          control.statistics(nobody, 10),
          control.contents(nobody, query()),
          control.contentsInFull(nobody, query()),
          control.content(nobody, "a"),
          control.body(nobody, "a"),
          control.purge(nobody, DateTime.makeUnsafe(0)),
          control.ledger(nobody, 10),
          control.deletions(nobody, 10),
          control.approveDeletions(nobody),
          control.changes({ connection: nobody, limit: 10, wait: Duration.zero })
        ]
        for (const [index, ask] of all.entries()) {
          const error = yield* Effect.flip(ask)
          assert.deepStrictEqual([index, error._tag, "what" in error && error.what], [index, "NotFound", "connection"])
          assert.include(error.message, nobody)
        }
      })
    )

    law("text that no database keeps is the name of nothing, whatever is asked by it", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { name } = yield* connected()
        const unkept = "no\0body"
        const all: ReadonlyArray<[NotFound["what"], Effect.Effect<unknown, { readonly _tag: string }>]> = [
          ["connection", control.connection(unkept)],
          ["connection", control.changes({ connection: unkept, limit: 10, wait: Duration.zero })],
          ["task", control.task(name, TaskId.make(unkept))],
          ["run", control.run(RunId.make(unkept))]
        ]
        for (const [what, ask] of all) {
          const error = yield* Effect.flip(ask)
          assert.deepStrictEqual([error._tag, "what" in error && error.what], ["NotFound", what])
        }
      })
    )

    law("a pause keeps its reason, and a resume ends it", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { name } = yield* connected()
        assert.strictEqual((yield* control.pause(name)).paused, pausedByPerson)
        assert.strictEqual((yield* control.pause(name)).paused, pausedByPerson)
        assert.strictEqual((yield* control.connection(name)).nextPollAt, null)
        const resumed = yield* control.resume(name)
        assert.deepStrictEqual([resumed.paused, resumed.nextPollAt === null], [null, false])
      })
    )

    law("a sync stores what is new, once, and its runs and the status say so", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { id, ids, name } = yield* synced(3)
        const again = yield* control.sync(name, poll, { spec: "", wait: true })
        assert.deepStrictEqual([again.status, again.counts.stored, again.connection], ["succeeded", 0, name])
        const status = yield* control.status(name)
        assert.deepStrictEqual([status.totals.stored, status.ledger, status.unfinished], [3, 0, []])
        assert.strictEqual(status.lastRun?.run, again.run)
        const runs = yield* control.runs(name, 10)
        assert.strictEqual(
          runs.reduce((sum, run) => sum + run.stored, 0),
          ids.length
        )
        assert.strictEqual((yield* control.runs(name, 1)).length, 1)
        const run = yield* control.run(RunId.make(again.run ?? ""))
        assert.deepStrictEqual([run.connection, run.status, run.error], [id, "succeeded", null])
        const unknown = yield* Effect.flip(control.run(RunId.make("no-such-run")))
        assert.deepStrictEqual([unknown._tag, "what" in unknown && unknown.what], ["NotFound", "run"])
      })
    )

    law("a plan says what would be done, and writes nothing", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { source } = yield* Scripted
        const { folder, name } = yield* quiet(2)
        const before = [
          yield* control.runs(name, 100),
          yield* control.contents(name, query()),
          yield* control.tasks(name, 9)
        ]
        source.add(`${folder}new`)
        const plan = yield* control.plan(name, poll)
        assert.deepStrictEqual([plan.status, plan.run, plan.planned?.download], ["planned", null, 1])
        assert.deepStrictEqual(
          [yield* control.runs(name, 100), yield* control.contents(name, query()), yield* control.tasks(name, 9)],
          before
        )
      })
    )

    law("a task is run to its end by whoever serves, also while its connection is paused, which stays so", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { source } = yield* Scripted
        const { folder, id, ids, name } = yield* quiet(3)
        source.add(`${folder}new`)
        const live = yield* control.submit(name, asked(), {})
        const forced = yield* control.submit(name, asked({ force: true }, "--force"), {})
        const one = yield* control.submit(name, asked({ forceIds: ids.slice(0, 1) }, `--force-id=${ids[0]}`), {})
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
          (yield* control.tasks(name, 3)).map(({ task }) => task),
          [one.task, forced.task, live.task]
        )
        assert.strictEqual((yield* control.tasks(name, 2)).length, 2)
        const runs = yield* control.runs(name, 10)
        for (const end of ends) assert.strictEqual(runs.find(({ run }) => run === end.run)?.task, end.task)
        assert.strictEqual((yield* control.connection(name)).paused, pausedByPerson)
        const unknown = yield* Effect.flip(control.task(name, noSuchTask))
        assert.deepStrictEqual([unknown._tag, "what" in unknown && unknown.what], ["NotFound", "task"])
        const elsewhere = yield* connected()
        assert.strictEqual((yield* Effect.flip(control.task(elsewhere.name, live.task)))._tag, "NotFound")
      })
    )

    law("one key is one request, of one connection", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { ids, name } = yield* quiet(2)
        const key = { idempotencyKey: "a key" }
        const request = asked({ forceIds: [...ids] }, "--force-id=…")
        const first = yield* control.submit(name, request, key)
        assert.strictEqual((yield* control.submit(name, request, key)).task, first.task)
        yield* ended(name, first)
        assert.strictEqual((yield* control.submit(name, request, key)).task, first.task)
        const other = yield* Effect.flip(control.submit(name, asked({ force: true }, "--force"), key))
        assert.deepStrictEqual([other._tag, /a key/.test(other.message)], ["Conflict", true])
        assert.strictEqual((yield* control.tasks(name, 10)).filter(({ spec }) => spec !== "").length, 1)
        const elsewhere = yield* quiet(1)
        assert.notStrictEqual((yield* control.submit(elsewhere.name, asked(), key)).task, first.task)
      })
    )

    law("a task that can't go on ends as failed, and says why", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { name } = yield* quiet(1)
        yield* answering((method) =>
          method === "list" ? fault(new Forbidden({ message: "the folder is closed to us" })) : Effect.void
        )
        const task = yield* ended(name, yield* control.submit(name, asked({ force: true }, "--force"), {}))
        assert.deepStrictEqual(
          [task.status, task.error],
          ["failed", { reason: "Forbidden", message: "the folder is closed to us" }]
        )
      })
    )

    law("what failed is in the ledger, and a retry of it tries just that", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { source } = yield* Scripted
        const { folder, name } = yield* quiet(1)
        const [bad, worse] = [`${folder}bad`, `${folder}worse`]
        source.add(bad)
        source.add(worse)
        yield* answering((method) =>
          /(bad|worse)$/.test(method) ? fault(new Malformed({ message: "not an email" })) : Effect.void
        )
        assert.strictEqual((yield* control.sync(name, poll, { spec: "", wait: true })).status, "partial")
        const ledger = yield* control.ledger(name, 10)
        assert.deepStrictEqual(
          ledger.map(({ externalId, message, reason }) => [externalId, reason, message]),
          [bad, worse].map((id) => [id, "Malformed", "not an email"])
        )
        assert.strictEqual((yield* control.ledger(name, 1)).length, 1)
        assert.strictEqual((yield* control.content(name, bad)).failure?.reason, "Malformed")
        const none = yield* Effect.flip(control.body(name, bad))
        assert.deepStrictEqual([none._tag, "what" in none && none.what], ["NotFound", "body"])
        const unknown = yield* Effect.flip(control.submit(name, { _tag: "retry", externalIds: ["not failed"] }, {}))
        assert.deepStrictEqual([unknown._tag, /not failed/.test(unknown.message)], ["UsageError", true])

        yield* answering((method) =>
          method.endsWith("worse") ? fault(new Malformed({ message: "still not" })) : Effect.void
        )
        const lists = source.calls.filter((call) => call === "list" || call === "changes").length
        const one = yield* ended(name, yield* control.submit(name, { _tag: "retry", externalIds: [bad] }, {}))
        assert.deepStrictEqual([one.status, one.counts.retried, one.counts.stored], ["succeeded", 1, 1])
        const rest = yield* ended(name, yield* control.submit(name, { _tag: "retry", externalIds: [] }, {}))
        assert.deepStrictEqual([rest.status, rest.counts.retried, rest.counts.failed], ["partial", 1, 1])
        assert.strictEqual(source.calls.filter((call) => call === "list" || call === "changes").length, lists)
        source.answer = () => Effect.void
        assert.strictEqual((yield* control.retry(name, undefined)).counts.stored, 1)
        assert.deepStrictEqual(yield* control.ledger(name, 10), [])
      })
    )

    law("what is stored is listed page by page, and a cursor is good for its own list only", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { ids, name } = yield* quiet(5)
        const first = yield* control.contents(name, query({ limit: 2 }))
        const rest = yield* control.contents(name, query({ after: first.next ?? "" }))
        assert.deepStrictEqual(
          [...first.contents, ...rest.contents].map((row) => row.externalId),
          ids
        )
        assert.isNull(rest.next)
        const full = yield* control.contentsInFull(name, query({ text: "TITLE OF", limit: 1 }))
        const row = yield* control.content(name, ids[0] ?? "")
        assert.deepStrictEqual({ ...full.contents[0], failure: null }, { ...row })
        const refused = (ref: string, after: string) =>
          Effect.map(Effect.flip(control.contents(ref, query({ after }))), (error) =>
            error._tag === "CursorInvalid" ? error.reason : error._tag
          )
        assert.strictEqual(yield* refused(name, "no cursor"), "malformed")
        assert.strictEqual(yield* refused((yield* connected()).name, first.next ?? ""), "foreign")
        const now = yield* DateTime.now
        const empty = yield* Effect.flip(control.contents(name, query({ since: now, until: now })))
        assert.strictEqual(empty._tag, "UsageError")
      })
    )

    law("a content is read by its id, and its body whole or in parts", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { ids, name } = yield* quiet(1)
        const id = ids[0] ?? ""
        const content = yield* control.content(name, id)
        assert.deepStrictEqual(
          [content.externalId, content.title, content.state, content.mediaType, content.failure],
          [id, `title of ${id}`, "stored", "text/plain", null]
        )
        const body = yield* control.body(name, id)
        const text = `body of ${id}`
        assert.deepStrictEqual([body.size, body.mediaType, body.hash], [text.length, "text/plain", content.hash])
        assert.strictEqual(yield* textOf(body.bytes()), text)
        assert.strictEqual(yield* textOf(body.bytes({ start: 5, end: 7 })), text.slice(5, 7))
        assert.strictEqual(yield* textOf(body.bytes({ start: 0, end: text.length })), text)
        const absent: ReadonlyArray<Effect.Effect<unknown, NotFound | StoreError>> = [
          control.content(name, "absent"),
          control.body(name, "absent")
        ]
        for (const ask of absent) {
          const error = yield* Effect.flip(ask)
          assert.deepStrictEqual([error._tag, "what" in error && error.what], ["NotFound", "content"])
          assert.include(error.message, "absent")
        }
      })
    )

    law("deletions that are held back wait for a person, and can then be purged", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { source } = yield* Scripted
        const { ids, name } = yield* quiet(130)
        for (const id of ids.slice(0, 120)) source.remove(id)
        const held = yield* control.sync(name, poll, { spec: "", wait: true })
        assert.deepStrictEqual([held.counts.deleted, held.counts.deletionsHeld], [0, 120])
        const staged = yield* control.deletions(name, 1000)
        assert.deepStrictEqual([staged.length, staged[0]?.externalId, staged[0]?.cause], [120, ids[0], "event"])
        assert.strictEqual((yield* control.deletions(name, 7)).length, 7)
        assert.strictEqual(yield* control.approveDeletions(name), 120)
        assert.strictEqual(yield* control.approveDeletions(name), 0)
        const { totals } = yield* control.status(name)
        assert.deepStrictEqual([totals.stored, totals.deleted, totals.deletionsHeld], [10, 120, 0])
        const purged = yield* control.purge(name, DateTime.add(yield* DateTime.now, { hours: 1 }))
        assert.deepStrictEqual([purged.deleted, purged.bodies], [120, 120])
      })
    )

    law("changes are told in order, to whoever waits too, and a cursor is good for its own list only", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { source } = yield* Scripted
        const { folder, id, ids, name } = yield* quiet(2)
        const changes = (after?: string) =>
          control.changes({ connection: name, limit: 100, wait, ...(after === undefined ? {} : { after }) })
        const first = yield* eventually(changes(), (page) => page.changes.length === 2)
        assert.deepStrictEqual(
          first.changes.map(({ change, connection, content }) => [change, connection, content.externalId]),
          ids.map((each) => ["stored", id, each])
        )
        source.add(`${folder}new`)
        const [next] = yield* Effect.all([changes(first.next), control.submit(name, asked(), {})], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          next.changes.map(({ content }) => content.externalId),
          [`${folder}new`]
        )
        const refused = (after: string, connection?: string) =>
          Effect.map(
            Effect.flip(
              control.changes({
                after,
                limit: 1,
                wait: Duration.zero,
                ...(connection === undefined ? {} : { connection })
              })
            ),
            (error) => (error._tag === "CursorInvalid" ? error.reason : error._tag)
          )
        assert.strictEqual(yield* refused("no cursor"), "malformed")
        assert.strictEqual(yield* refused(first.next, (yield* connected()).name), "foreign")
      })
    )

    law("every hour is in the statistics, and runs in theirs", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { name } = yield* quiet(4)
        const hours = yield* control.statistics(name, 48)
        assert.strictEqual(hours.length, 48)
        for (const [index, { hour }] of hours.slice(1).entries()) {
          const before = hours[index]?.hour ?? hour
          assert.strictEqual(DateTime.toEpochMillis(hour) - DateTime.toEpochMillis(before), 3_600_000)
        }
        const runs = yield* control.runs(name, 100)
        const sum = (of: "runs" | "stored" | "apiCalls") => hours.reduce((total, hour) => total + hour[of], 0)
        assert.deepStrictEqual(
          [sum("runs"), sum("stored"), sum("apiCalls")],
          [runs.length, 4, runs.reduce((total, run) => total + run.apiCalls, 0)]
        )
      })
    )

    law("a connection without credentials can be read, not run, until it is connected again", () =>
      Effect.gen(function* () {
        const control = yield* Control
        const { id, ids, input, name } = yield* quiet(2)
        assert.deepStrictEqual(yield* control.disconnect(name, { deleteContents: false }), { contents: 2 })
        assert.strictEqual((yield* control.connection(name)).state, "disconnected")
        assert.strictEqual((yield* Effect.flip(control.resume(name)))._tag, "Conflict")
        assert.strictEqual((yield* Effect.flip(control.submit(name, asked(), {})))._tag, "Conflict")
        assert.strictEqual((yield* control.contents(name, query())).contents.length, ids.length)
        const again = yield* control.connect({ ...input, mode: "either" })
        assert.deepStrictEqual([again.created, again.connection.id], [false, id])
        assert.strictEqual((yield* ended(name, yield* control.submit(name, asked(), {}))).status, "succeeded")
        assert.deepStrictEqual(yield* control.disconnect(name, { deleteContents: true }), { contents: 2 })
        assert.strictEqual((yield* Effect.flip(control.status(id)))._tag, "NotFound")
      })
    )
  })
}
