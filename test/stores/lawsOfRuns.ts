/** The laws of leases and runs. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import {
  allRead,
  batch,
  beginRun,
  connect,
  item,
  ledgerUpdate,
  nextRun,
  page,
  running,
  take,
  Time,
  ttl
} from "./scenario.ts"
import { lawsOfReleases } from "./lawsOfReleases.ts"

const poll = { force: false, forceIds: [], dryRun: false }

/** Reads all data of a connection. */
const everything = Effect.fnUntraced(function* (id: ConnectionId) {
  const store = yield* WholeStore
  return {
    connection: yield* store.connection(id),
    contents: yield* store.contents(id, { state: "stored", limit: 100 }),
    deletions: yield* store.deletions(id, { which: "staged", limit: 100 }),
    ledger: yield* store.ledger(id, { limit: 100 }),
    runs: yield* store.runs(id, 100),
    tasks: yield* store.openTasks(id),
    totals: yield* store.totals(id)
  }
})

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: leases and runs`, (it) => {
    it.effect("a lease that holds keeps others out, and one that ran out does not", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const first = yield* take(id, "first")
        assert.isTrue(Option.isNone(yield* store.acquire(id, { holder: "second", ttl })))
        assert.strictEqual(Option.getOrThrow(yield* store.connection(id)).lease?.holder, "first")
        assert.isFalse((yield* store.due(1000)).some((due) => due.connectionId === id))
        yield* Time.use((time) => time.pass(Duration.minutes(20)))
        yield* store.renew(first, ttl)
        yield* Time.use((time) => time.pass(Duration.minutes(20)))
        assert.isTrue(Option.isNone(yield* store.acquire(id, { holder: "second", ttl })))
        yield* Time.use((time) => time.pass(Duration.minutes(20)))
        assert.isTrue((yield* store.due(1000)).some((due) => due.connectionId === id))
        const second = yield* take(id, "second")
        assert.isTrue(second.fence > first.fence)
        assert.strictEqual((yield* Effect.flip(store.renew(first, ttl)))._tag, "Superseded")
      })
    )

    it.effect("a lease that was released is not renewed", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const fence = yield* take(id)
        yield* store.release(fence, {})
        assert.strictEqual((yield* Effect.flip(store.renew(fence, ttl)))._tag, "Superseded")
        assert.isNull(Option.getOrThrow(yield* store.connection(id)).lease)
        yield* take(id, "the next")
      })
    )

    it.effect("a lease says what waits for its run: due retries, deferred items, and staged and held deletions", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const first = yield* running()
        /** Returns the waiting work in the lease of the next run, after this run has committed these parts. */
        const after = Effect.fnUntraced(function* (parts: Parameters<typeof first.commit>[0]) {
          const { fence, runId } = yield* nextRun(first)
          yield* store.commit(fence, batch(runId, parts))
          yield* store.release(fence, {})
          const { fence: number, waiting } = Option.getOrThrow(yield* store.acquire(first.id, { holder: "next", ttl }))
          yield* store.release({ connectionId: first.id, fence: number }, {})
          return waiting
        })
        const nothing = { retries: false, deletions: false, deletionsHeld: 0 }
        yield* store.release(first.fence, {})
        assert.deepStrictEqual(yield* after({ items: [item("a"), item("b")] }), nothing)
        assert.deepStrictEqual(
          yield* after({ ledgerUpdates: [ledgerUpdate("c"), ledgerUpdate("d", { retryIn: undefined })] }),
          nothing
        )
        yield* Time.use((time) => time.pass(Duration.minutes(2)))
        assert.deepStrictEqual(yield* after({}), { ...nothing, retries: true })
        assert.deepStrictEqual(yield* after({ items: [item("c")] }), nothing)
        const deferred = ledgerUpdate("e", { outcome: "deferred", attempts: 0 })
        assert.deepStrictEqual(yield* after({ ledgerUpdates: [deferred] }), { ...nothing, retries: true })
        yield* after({ items: [item("e")] })
        assert.deepStrictEqual(yield* after({ page: page({ deleted: ["a"] }) }), { ...nothing, deletions: true })
        yield* store.holdDeletions(yield* take(first.id), allRead)
        const last = Option.getOrThrow(yield* store.acquire(first.id, { holder: "x", ttl, deadHolder: "a holder" }))
        assert.deepStrictEqual(last.waiting, { ...nothing, deletionsHeld: 1 })
      })
    )

    it.effect("a lease that is given back in the middle of a run leaves the run interrupted", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { fence, id, runId } = yield* running()
        yield* store.release(fence, { interrupted: true })
        assert.strictEqual(Option.getOrThrow(yield* store.run(runId)).status, "interrupted")
        assert.isNull(Option.getOrThrow(yield* store.connection(id)).lease)
      })
    )

    it.effect("a dead holder's lease does not hold, and its runs become interrupted", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id, runId } = yield* running()
        assert.isTrue(Option.isNone(yield* store.acquire(id, { holder: "next", ttl, deadHolder: "somebody else" })))
        const taken = yield* store.acquire(id, { holder: "next", ttl, deadHolder: "a holder" })
        assert.isTrue(Option.isSome(taken))
        const run = Option.getOrThrow(yield* store.run(runId))
        assert.strictEqual(run.status, "interrupted")
        assert.isNotNull(run.finishedAt)
      })
    )

    it.effect("a new lease interrupts the runs of its own connection that go on, and no others", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const [one, other] = [yield* running(), yield* running()]
        const end = { status: "succeeded", counts: {}, notes: [], error: null } as const
        yield* store.finishRun(one.fence, { ...end, runId: one.runId })
        const open = yield* beginRun(one.fence)
        yield* store.acquire(one.id, { holder: "next", ttl, deadHolder: "a holder" })
        const runs = yield* Effect.forEach([one.runId, open, other.runId], (runId) => store.run(runId))
        assert.deepStrictEqual(
          runs.map((run) => Option.getOrThrow(run).status),
          ["succeeded", "interrupted", "running"]
        )
      })
    )

    it.effect("an old fence writes nothing, whatever it tries", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, fence, id, runId } = yield* running()
        yield* commit({ items: [item("a"), item("b")], page: page({ deleted: ["b"] }) })
        const task = yield* store.openTask(id, { task: poll, spec: "a task", resumeWithin: ttl })
        const next = Option.getOrThrow(yield* store.acquire(id, { holder: "next", ttl, deadHolder: "a holder" }))
        yield* beginRun({ connectionId: id, fence: next.fence })
        const before = yield* everything(id)
        const attempts = [
          commit({
            items: [item("a", { text: "other" }), item("c")],
            ledgerUpdates: [ledgerUpdate("d")],
            page: page({ listing: "l" })
          }),
          store.changeScope(fence, "another"),
          store.applyDeletions(fence, allRead, runId),
          store.holdDeletions(fence, allRead),
          store.beginRun(fence, { runId: RunId.make("late"), taskId: undefined }),
          store.finishRun(fence, { runId, status: "succeeded", counts: {}, notes: [], error: null }),
          store.finishTask(fence, task.id),
          store.saveCredentials(fence, new Uint8Array()),
          store.renew(fence, ttl)
        ]
        for (const attempt of attempts) {
          assert.strictEqual((yield* Effect.flip(Effect.asVoid(attempt)))._tag, "Superseded")
        }
        yield* store.release(fence, {
          pollIn: Duration.zero,
          failures: 9,
          paused: { from: null, to: "the old grant was refused" },
          problems: { current: [{ place: "inbox", message: "no access" }], found: [] },
          checked: true,
          interrupted: true
        })
        assert.deepStrictEqual(yield* everything(id), before)
        assert.isTrue(Option.isNone(yield* store.run(RunId.make("late"))))
      })
    )

    it.effect("beginning a run twice changes nothing, because the first answer may have been lost", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, fence, runId } = yield* running()
        yield* commit({ items: [item("a")], counts: { listed: 1 } })
        yield* store.beginRun(fence, { runId, taskId: undefined, kind: "force" })
        const { counts, status } = Option.getOrThrow(yield* store.run(runId))
        assert.strictEqual(status, "running")
        assert.deepInclude(counts, { listed: 1, stored: 1 })
      })
    )

    it.effect("a run keeps what it was for, and a connection how much its source said there is", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { account, config, domain, every, id, name } = yield* connect()
        const runId = RunId.make(`kind-${id}`)
        yield* store.beginRun(yield* take(id), { runId, taskId: undefined, kind: "window" })
        assert.strictEqual(Option.getOrThrow(yield* store.run(runId)).kind, "window")
        const estimate = { items: 150, unitsPerItem: 5.01 }
        const given = { account, config, domain, every, credentials: new Uint8Array([1]), name: `${name} counted` }
        const made = yield* store.createConnection({ ...given, estimate })
        assert.deepStrictEqual(made.estimate, estimate)
        const changed = yield* store.updateConnection(made.id, { estimate: { ...estimate, items: 151 } })
        assert.strictEqual(Option.getOrThrow(changed).estimate?.items, 151)
        assert.strictEqual(Option.getOrThrow(yield* store.updateConnection(made.id, {})).estimate?.items, 151)
      })
    )

    it.effect("a batch of a run without a row stores its page, and its counts are dropped", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const { patched } = yield* store.commit(yield* take(id), {
          ...batch(RunId.make("none"), { counts: { listed: 1, existing: 1 }, page: page({ checkpoint: { at: 2 } }) }),
          runId: undefined
        })
        assert.strictEqual(patched, 0)
        assert.deepStrictEqual(Option.getOrThrow(yield* store.connection(id)).checkpoint, Option.some({ at: 2 }))
        assert.deepStrictEqual(yield* store.runs(id, 10), [])
      })
    )

    it.effect("a run's counts are what its batches and its end added", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, fence, id, runId } = yield* running()
        const problems = [{ place: "#general", message: "not\0 ours" }]
        yield* commit({ items: [item("a"), item("b")], counts: { listed: 3, apiCalls: 2, quotaUnits: 0.5 }, problems })
        yield* commit({
          items: [item("a"), item("b", { text: "other" })],
          counts: { listed: 2, quotaUnits: 0.25 },
          page: page({ patches: [{ externalId: "a", metadata: { labels: ["x"] } }] })
        })
        assert.strictEqual(Option.getOrThrow(yield* store.run(runId)).status, "running")
        yield* store.finishRun(fence, {
          runId,
          status: "partial",
          counts: { apiCalls: 1 },
          notes: ["a note"],
          error: { reason: "Transient", message: "it broke" }
        })
        const run = Option.getOrThrow(yield* store.run(runId))
        assert.strictEqual(run.status, "partial")
        const { apiCalls, listed, patched, quotaUnits, stored: storedCount, unchanged, updated } = run.counts
        assert.deepStrictEqual(
          { apiCalls, listed, patched, quotaUnits, storedCount, unchanged, updated },
          { apiCalls: 3, listed: 5, patched: 1, quotaUnits: 0.75, storedCount: 2, unchanged: 1, updated: 1 }
        )
        assert.deepStrictEqual(run.problems, [{ place: "#general", message: "not\uFFFD ours" }])
        assert.deepStrictEqual(run.notes, ["a note"])
        assert.deepStrictEqual(run.error, { reason: "Transient", message: "it broke" })
        const second = yield* beginRun(fence)
        assert.deepStrictEqual(
          (yield* store.runs(id, 10)).map((one) => one.id),
          [second, runId]
        )
        assert.strictEqual((yield* store.runs(id, 1)).length, 1)
      })
    )

    it.effect("a run keeps at most 100 problems", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, runId } = yield* running()
        const problems = Array.from({ length: 70 }, (_, n) => ({ place: `place ${n}`, message: "m" }))
        yield* commit({ problems })
        yield* commit({ problems })
        assert.strictEqual(Option.getOrThrow(yield* store.run(runId)).problems.length, 100)
      })
    )

    lawsOfReleases(it)
  })
}
