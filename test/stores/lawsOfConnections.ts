/** The laws of connections: creating, changing, pausing and removing. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { allRead, connect, item, ledgerUpdate, running, stored, take, Time, ttl } from "./scenario.ts"
import { begin, forced, request, sync } from "./taskFixture.ts"

const nowhere = ConnectionId.make("11111111-2222-4333-8444-555555555555")

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: connections`, (it) => {
    it.effect("a created connection is read back as it was given, and is due at once", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const created = yield* connect()
        assert.deepStrictEqual(yield* store.connection(created.id), Option.some(created))
        assert.deepStrictEqual(yield* store.connectionByName(created.name), Option.some(created))
        assert.deepStrictEqual(yield* store.connectionsById([created.id, nowhere, created.id]), [created])
        assert.deepStrictEqual(yield* store.connectionsById([ConnectionId.make("no id")]), [])
        assert.deepStrictEqual(created.config, { query: "in:inbox" })
        assert.deepStrictEqual(created.credentials, new Uint8Array([1, 2, 3]))
        assert.strictEqual(Duration.toMillis(created.every), 300_000)
        assert.deepStrictEqual(created.checkpoint, Option.none())
        assert.isNull(created.lease)
        assert.isTrue((yield* store.due(1000)).some((due) => due.connectionId === created.id))
      })
    )

    it.effect(
      "a connection that another one made says so, is the only one of its account, and outlives the other",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { account, config, domain, every, id: owner, name } = yield* connect()
          const member = { of: owner, externalId: "user 1" }
          const given = { account, config, domain, every, credentials: new Uint8Array([1]), member }
          const made = yield* store.createConnection({ ...given, name: `${name} 1` })
          assert.deepStrictEqual(made.member, member)
          assert.deepStrictEqual(yield* store.connection(made.id), Option.some(made))
          const again = yield* Effect.flip(store.createConnection({ ...given, name: `${name} 2` }))
          assert.strictEqual(again._tag, "StoreError")
          yield* store.createConnection({ ...given, name: `${name} 2`, member: { of: owner, externalId: "user 2" } })
          yield* store.disconnect(owner, true)
          const left = Option.getOrThrow(yield* store.connection(made.id))
          assert.isNull(left.member)
          yield* store.disconnect(made.id, true)
          assert.deepStrictEqual(yield* store.connection(made.id), Option.none())
        })
    )

    it.effect("whether a connection is guarded is kept, and changed only where that is said", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id, ...made } = yield* connect()
        assert.isFalse(made.guarded)
        const change = (guarded?: boolean) => Effect.map(store.updateConnection(id, { guarded }), Option.getOrThrow)
        assert.isTrue((yield* change(true)).guarded)
        assert.isTrue((yield* change()).guarded)
        assert.isFalse((yield* change(false)).guarded)
        const { account, config, domain, every } = made
        const given = { account, config, domain, every, name: `${made.name} guarded`, credentials: new Uint8Array([1]) }
        assert.isTrue((yield* store.createConnection({ ...given, guarded: true })).guarded)
      })
    )

    it.effect("the connections of an account include those of accounts within it, without paused ones", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { account: _, config, every, name } = yield* connect()
        const make = (domain: string, account: string) => {
          const given = { domain, account, name: `${name} ${domain} ${account}`, config, every }
          return Effect.map(store.createConnection({ ...given, credentials: new Uint8Array([1]) }), ({ id }) => id)
        }
        const [team, user] = [yield* make("chat", "T%_1"), yield* make("chat", "T%_1/U1")]
        for (const account of ["T%_12", "T", "t%_1", "TxU1/U1", "T9/T%_1"]) yield* make("chat", account)
        yield* make("mail", "T%_1")
        const idsOf = (account: string) => Effect.map(store.connectionIdsOf("chat", account), (ids) => ids.toSorted())
        assert.deepStrictEqual(yield* idsOf("T%_1"), [team, user].toSorted())
        assert.deepStrictEqual(yield* idsOf("T%_1/U1"), [user])
        assert.deepStrictEqual(yield* idsOf("T%_1/U"), [])
        assert.deepStrictEqual(yield* idsOf("T\0\ud800"), [])
        yield* store.setPaused(team, "by a person")
        assert.deepStrictEqual(yield* idsOf("T%_1"), [user])
        yield* store.setPaused(team, null)
        assert.deepStrictEqual(yield* idsOf("T%_1"), [team, user].toSorted())
      })
    )

    it.effect("a name is taken once", () =>
      Effect.gen(function* () {
        const first = yield* connect()
        const error = yield* Effect.flip(connect(first.name))
        assert.strictEqual(error._tag, "NameTaken")
      })
    )

    it.effect("a connection that never existed is not found, and changing it changes nothing", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        assert.isTrue(Option.isNone(yield* store.connection(nowhere)))
        assert.isTrue(Option.isNone(yield* store.connection(ConnectionId.make("not an id"))))
        assert.isTrue(Option.isNone(yield* store.connectionByName("nobody")))
        assert.isTrue(Option.isNone(yield* store.connectionByName("no\0body")))
        assert.isTrue(Option.isNone(yield* store.updateConnection(nowhere, {})))
        assert.isTrue(Option.isNone(yield* store.run(RunId.make("no such run"))))
        for (const id of ["no\0run", "no \ud800 run"]) {
          assert.isTrue(Option.isNone(yield* store.run(RunId.make(id))))
        }
        yield* store.setPaused(nowhere, "why")
        yield* store.setHintsProblem(nowhere, "why")
        yield* store.disconnect(nowhere, true)
        const nothing = { deleted: 0, gone: 0, bodies: 0, bytes: 0 }
        assert.deepStrictEqual(yield* store.purge(nowhere, DateTime.makeUnsafe(0)), nothing)
        yield* store.release({ connectionId: nowhere, fence: 1n }, {})
        assert.strictEqual((yield* Effect.flip(store.acquire(nowhere, { holder: "h", ttl })))._tag, "Superseded")
        assert.deepStrictEqual(yield* store.existing(nowhere, ["a"]), new Set())
        assert.strictEqual((yield* store.totals(nowhere)).stored, 0)
        const { token } = yield* store.deletions(nowhere, { which: "held", limit: 10 })
        assert.strictEqual(yield* store.approveDeletions(nowhere, { token }), 0)
        assert.deepStrictEqual(yield* store.readyDeletions(nowhere, allRead), { waiting: 0, moved: 0, held: 0 })
      })
    )

    it.effect("connections are listed in the order of their names", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        for (const name of ["zoë", "Zoe", "abe", "😀", "\uffee"]) yield* connect(name)
        const names = (yield* store.connections).map((one) => one.name)
        const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        assert.deepStrictEqual(names, sorted)
        const named = (yield* store.connections).map(({ id, name }) => ({ id, name }))
        assert.deepStrictEqual(yield* store.connectionNames, named)
      })
    )

    it.effect("the members of a connection are those that it made, in the order of their names", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { account, config, domain, every, id: owner, name } = yield* connect()
        const given = { account, config, domain, every, credentials: new Uint8Array([1]) }
        const { id: other } = yield* connect()
        const make = (of: ConnectionId, user: string) =>
          store.createConnection({ ...given, name: `${name} ${user}`, member: { of, externalId: user } })
        const [second, first] = [yield* make(owner, "b"), yield* make(owner, "a")]
        yield* make(other, "c")
        assert.deepStrictEqual(yield* store.membersOf(owner), [first, second])
        assert.deepStrictEqual(yield* store.membersOf(first.id), [])
        assert.deepStrictEqual(yield* store.membersOf(nowhere), [])
      })
    )

    it.effect(
      "a change keeps the fields that are not given, ends the lease, supersedes the run and makes the connection due",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { commit, fence, id } = yield* running()
          yield* store.release(fence, { pollIn: Duration.hours(1) })
          const changed = Option.getOrThrow(yield* store.updateConnection(id, { every: Duration.minutes(9) }))
          assert.deepStrictEqual(changed.config, { query: "in:inbox" })
          assert.strictEqual(Duration.toMillis(changed.every), 540_000)
          assert.isNull(changed.lease)
          assert.isTrue(changed.fence > fence.fence)
          assert.strictEqual((yield* Effect.flip(commit({ items: [item("a")] })))._tag, "Superseded")
          assert.deepStrictEqual(yield* stored(id), [])
          assert.isTrue((yield* store.due(1000)).some((due) => due.connectionId === id))
        })
    )

    it.effect("a change ends the run that it supersedes, whose row says so", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { fence, id, runId } = yield* running()
        yield* store.updateConnection(id, { every: Duration.minutes(9) })
        const run = Option.getOrThrow(yield* store.run(runId))
        assert.deepStrictEqual([run.status, run.finishedAt === null], ["interrupted", false])
        const end = { runId, status: "succeeded", counts: {}, notes: [], error: null } as const
        assert.strictEqual((yield* Effect.flip(store.finishRun(fence, end)))._tag, "Superseded")
        yield* store.release(yield* take(id), {})
        assert.strictEqual(Option.getOrThrow(yield* store.run(runId)).status, "interrupted")
      })
    )

    it.effect("a change that expects an older config does nothing", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { config: was, id } = yield* connect()
        const change = (query: string, given: typeof was) =>
          store.updateConnection(id, { config: { query }, was: given })
        const first = Option.getOrThrow(yield* change("first", was))
        assert.deepStrictEqual(first.config, { query: "first" })
        assert.isTrue(Option.isNone(yield* change("late", was)))
        assert.deepStrictEqual(yield* store.connection(id), Option.some(first))
        assert.isTrue(Option.isSome(yield* change("second", { query: "first" })))
        assert.isTrue(Option.isNone(yield* store.updateConnection(nowhere, { was })))
      })
    )

    it.effect("refreshed credentials are saved under the fence only, and keep it", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { fence, id } = yield* running()
        yield* store.saveCredentials(fence, new Uint8Array([9]))
        const saved = Option.getOrThrow(yield* store.connection(id))
        assert.deepStrictEqual(saved.credentials, new Uint8Array([9]))
        assert.strictEqual(saved.fence, fence.fence)
        const late = { ...fence, fence: fence.fence - 1n }
        assert.strictEqual((yield* Effect.flip(store.saveCredentials(late, new Uint8Array([7]))))._tag, "Superseded")
        assert.deepStrictEqual(Option.getOrThrow(yield* store.connection(id)).credentials, new Uint8Array([9]))
      })
    )

    it.effect("a paused connection is not due; resumed it is due at once, with no failures", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const fence = yield* take(id)
        yield* store.release(fence, { pollIn: Duration.hours(1), failures: 3 })
        yield* store.setPaused(id, "the grant is gone")
        const paused = Option.getOrThrow(yield* store.connection(id))
        assert.strictEqual(paused.paused, "the grant is gone")
        assert.strictEqual(paused.failures, 3)
        assert.strictEqual(paused.fence, fence.fence)
        yield* Time.use((time) => time.pass(Duration.hours(2)))
        assert.isFalse((yield* store.due(1000)).some((due) => due.connectionId === id))
        yield* store.setPaused(id, null)
        assert.strictEqual(Option.getOrThrow(yield* store.connection(id)).failures, 0)
        assert.isTrue((yield* store.due(1000)).some((due) => due.connectionId === id))
      })
    )

    it.effect("disconnecting forgets the credentials, keeps the content, and stops the run", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, fence, id, runId } = yield* running()
        yield* commit({ items: [item("a")] })
        yield* store.disconnect(id, false)
        const left = Option.getOrThrow(yield* store.connection(id))
        assert.isTrue(left.fence > fence.fence)
        assert.isNull(left.credentials)
        assert.isNotNull(left.paused)
        assert.deepStrictEqual(yield* stored(id), ["a"])
        assert.strictEqual((yield* Effect.flip(commit({ items: [item("b")] })))._tag, "Superseded")
        assert.strictEqual(Option.getOrThrow(yield* store.run(runId)).status, "interrupted")
      })
    )

    it.effect("disconnecting ends the tasks that wait, and no other", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { fence, id } = yield* running()
        const ended = yield* request(id, sync())
        yield* store.finishTask(fence, ended.id)
        const command = yield* store.openTask(id, { task: forced, spec: "command", resumeWithin: Duration.days(1) })
        const waits = yield* request(id, sync())
        yield* store.disconnect(id, false)
        const tasks = yield* Effect.forEach([ended, command, waits], (task) => store.task(task.id))
        assert.deepStrictEqual(
          tasks.map(Option.getOrThrow).map(({ error, finishedAt }) => [finishedAt !== null, error?.reason]),
          [
            [true, undefined],
            [false, undefined],
            [true, "Disconnected"]
          ]
        )
      })
    )

    it.effect("disconnecting leaves the tasks, the runs and the owner of another connection", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { account, config, domain, every, id: owner, name } = yield* connect()
        const member = { of: owner, externalId: "user 1" }
        const given = { account, config, domain, every, credentials: new Uint8Array([1]), member, name: `${name} 1` }
        const { id } = yield* store.createConnection(given)
        const fence = yield* take(id)
        const task = yield* request(id, sync())
        const runId = yield* begin(fence, task)
        for (const withContents of [false, true]) yield* store.disconnect((yield* running()).id, withContents)
        assert.deepStrictEqual(Option.getOrThrow(yield* store.connection(id)).member, member)
        assert.isNull(Option.getOrThrow(yield* store.task(task.id)).finishedAt)
        assert.strictEqual(Option.getOrThrow(yield* store.run(runId)).status, "running")
      })
    )

    it.effect("disconnecting with its contents leaves nothing, and a run that is late finds nothing to write to", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, fence, id, name, runId } = yield* running()
        yield* commit({ items: [item("a")], ledgerUpdates: [ledgerUpdate("b")] })
        yield* store.disconnect(id, true)
        assert.isTrue(Option.isNone(yield* store.connection(id)))
        assert.isTrue(Option.isNone(yield* store.run(runId)))
        assert.deepStrictEqual(yield* store.existing(id, ["a", "b"]), new Set())
        assert.strictEqual((yield* Effect.flip(commit({ items: [item("a")] })))._tag, "Superseded")
        assert.strictEqual((yield* Effect.flip(store.renew(fence, ttl)))._tag, "Superseded")
        const again = yield* connect(name)
        assert.notStrictEqual(again.id, id)
        assert.deepStrictEqual(yield* stored(again.id), [])
      })
    )
  })
}
