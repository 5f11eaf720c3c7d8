/** The laws of permanent removal: purges, disconnections with contents, and old runs. */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { RunId } from "../../src/engine/model/Run.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import {
  beginRun,
  bytesOf,
  deleteStaged,
  item,
  largeItem,
  listed,
  ledgerUpdate,
  page,
  row,
  running,
  settle,
  sha256,
  staged,
  stored,
  take,
  Time
} from "./scenario.ts"

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

const isThere = (hash: string) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(Effect.exit(Stream.runDrain(store.body(hash))), (exit) => exit._tag === "Success")
  )

/** Returns the time that was this long ago for the store. */
const ago = (by: Duration.Input) =>
  Effect.map(Clock.currentTimeMillis, (now) => DateTime.makeUnsafe(now - Duration.toMillis(by)))

const poll = { force: false, forceIds: [], dryRun: false }

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  // A person chooses the time of the purge, so the test uses the machine's clock if the store does.
  it.layer(layer, { excludeTestServices: name !== "Memory" })(`${name}: removal`, (it) => {
    const pass = (by: Duration.Duration) => Time.use((time) => time.pass(by))

    /** Makes content that the source deleted and whose deletion was applied. */
    const deleted = Effect.fnUntraced(function* (items: ReadonlyArray<ReturnType<typeof item>>) {
      const run = yield* running()
      yield* run.commit({ items })
      yield* run.commit({ page: page({ deleted: items.map((one) => one.externalId) }) })
      yield* settle(run.fence, { atMost: 2000, share: 1 })
      return run
    })

    it.effect("a purge removes the data of deleted content, and keeps its id, state and time", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const large = yield* largeItem("large", "a large body of its own")
        const run = yield* deleted([item("a", { text: "all mine" }), large])
        yield* run.commit({ items: [item("kept", { text: "kept" })] })
        yield* pass(Duration.days(10))
        const before = yield* row(run.id, "a")
        assert.deepStrictEqual(yield* store.purge(run.id, yield* ago("11 days")), {
          deleted: 0,
          gone: 0,
          bodies: 0,
          bytes: 0
        })
        assert.deepStrictEqual(yield* store.purge(run.id, yield* ago("9 days")), {
          deleted: 2,
          gone: 0,
          bodies: 2,
          bytes: "all mine".length + large.body.size
        })
        const after = yield* row(run.id, "a")
        assert.deepStrictEqual(after, {
          ...before,
          revision: null,
          hash: null,
          size: 0,
          title: null,
          mediaType: null,
          occurredAt: null,
          metadata: {},
          volatile: {}
        })
        assert.isFalse(yield* isThere(hex(sha256(bytesOf("all mine")))))
        assert.isFalse(yield* isThere(hex(large.body.hash)))
        assert.deepStrictEqual(yield* listed(run.id, "deleted"), ["a", "large"])
        assert.deepStrictEqual(yield* stored(run.id), ["kept"])
        assert.isTrue(yield* isThere((yield* row(run.id, "kept")).hash ?? ""))
        assert.strictEqual((yield* store.purge(run.id, yield* ago("9 days"))).deleted, 0)
      })
    )

    it.effect("a purge keeps a body that other content has too", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const other = yield* running()
        yield* other.commit({ items: [item("theirs", { text: "shared" })] })
        const run = yield* deleted([item("a", { text: "shared" }), item("b", { text: "twice" })])
        yield* run.commit({ items: [item("c", { text: "twice" })] })
        yield* pass(Duration.days(1))
        const purged = yield* store.purge(run.id, yield* ago("1 hour"))
        assert.deepStrictEqual(purged, { deleted: 2, gone: 0, bodies: 0, bytes: 0 })
        assert.isTrue(yield* isThere((yield* row(other.id, "theirs")).hash ?? ""))
        assert.isTrue(yield* isThere((yield* row(run.id, "c")).hash ?? ""))
      })
    )

    it.effect(
      "purged content that comes back is new; if its download fails and the source deletes it, it is deleted",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const run = yield* deleted([item("a"), item("b")])
          yield* pass(Duration.days(1))
          yield* store.purge(run.id, yield* ago("1 hour"))
          assert.deepStrictEqual(yield* store.existing(run.id, ["a", "b"]), new Set())
          const { outcomes } = yield* run.commit({ items: [item("a")], ledgerUpdates: [ledgerUpdate("b")] })
          assert.strictEqual(outcomes.get("a"), "stored")
          assert.isTrue(yield* isThere((yield* row(run.id, "a")).hash ?? ""))
          yield* run.commit({ page: page({ deleted: ["b"] }) })
          assert.deepStrictEqual(yield* listed(run.id, "deleted"), ["b"])
          assert.deepStrictEqual(yield* listed(run.id, "gone"), [])
        })
    )

    it.effect("a purge forgets ids that were gone before they were stored, and touches no ledger and no stage", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        yield* run.commit({
          items: [item("a"), item("held")],
          ledgerUpdates: [ledgerUpdate("g", { outcome: "gone" }), ledgerUpdate("f")]
        })
        yield* run.commit({ ledgerUpdates: [ledgerUpdate("a")], page: page({ deleted: ["held"] }) })
        yield* pass(Duration.days(1))
        const purged = yield* store.purge(run.id, yield* ago("1 hour"))
        assert.deepStrictEqual(purged, { deleted: 0, gone: 1, bodies: 0, bytes: 0 })
        assert.isTrue(Option.isNone(yield* store.content(run.id, "g")))
        assert.deepStrictEqual(yield* stored(run.id), ["a", "held"])
        const ledger = yield* store.ledger(run.id, { limit: 10 })
        assert.deepStrictEqual(
          ledger.map((one) => one.externalId),
          ["a", "f"]
        )
        assert.deepStrictEqual(yield* staged(run.id), ["held event"])
        assert.strictEqual(yield* deleteStaged(run.fence), 1)
      })
    )

    it.effect("a purge of more than fits one step does all of it", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* deleted(Array.from({ length: 1200 }, (_, n) => item(`${n}`, { text: `purged ${n}` })))
        yield* pass(Duration.days(1))
        const purged = yield* store.purge(run.id, yield* ago("1 hour"))
        assert.deepStrictEqual([purged.deleted, purged.bodies], [1200, 1200])
      })
    )

    it.effect("disconnecting with contents removes their bodies and blobs, but none that another connection has", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const other = yield* running()
        const run = yield* running()
        const large = yield* largeItem("large", "a large body of a connection that goes")
        yield* other.commit({ items: [item("theirs", { text: "of both" })] })
        yield* run.commit({ items: [item("a", { text: "of one" }), item("b", { text: "of both" }), large] })
        yield* store.disconnect(run.id, true)
        assert.isFalse(yield* isThere(hex(sha256(bytesOf("of one")))))
        assert.isFalse(yield* isThere(hex(large.body.hash)))
        assert.isTrue(yield* isThere((yield* row(other.id, "theirs")).hash ?? ""))
        assert.isTrue(Option.isNone(yield* store.content(run.id, "a")))
      })
    )

    it.effect("each connection keeps its own last run, however old it is", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const runs = [yield* running(), yield* running(), yield* running()]
        for (const { fence, runId } of runs) {
          yield* store.finishRun(fence, { runId, status: "succeeded", counts: {}, notes: [], error: null })
          yield* pass(Duration.days(1))
        }
        yield* pass(Duration.days(40))
        yield* store.pruneRuns(Duration.days(30))
        for (const { id, runId } of runs) {
          assert.deepStrictEqual(
            (yield* store.runs(id, 10)).map((run) => run.id),
            [runId]
          )
        }
      })
    )

    it.effect("pruning removes old runs and tasks, but not a connection's last run, nor a run that goes on", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { fence, id, runId } = yield* running()
        const end = (runId: RunId) =>
          store.finishRun(fence, { runId, status: "succeeded", counts: {}, notes: [], error: null })
        yield* store.openTask(id, { task: poll, spec: "given up", resumeWithin: Duration.days(1) })
        yield* end(runId)
        yield* pass(Duration.days(20))
        const second = yield* beginRun(fence)
        yield* end(second)
        yield* pass(Duration.days(20))
        assert.strictEqual(yield* store.pruneRuns(Duration.days(30)), 1)
        assert.deepStrictEqual(
          (yield* store.runs(id, 10)).map((run) => run.id),
          [second]
        )
        assert.deepStrictEqual(yield* store.openTasks(id), [])
        yield* pass(Duration.days(20))
        assert.strictEqual(yield* store.pruneRuns(Duration.days(30)), 0)
        yield* store.release(fence, {})
        const third = yield* beginRun(yield* take(id))
        yield* pass(Duration.days(90))
        assert.strictEqual(yield* store.pruneRuns(Duration.days(30)), 1)
        assert.strictEqual((yield* store.runs(id, 10))[0]?.id, third)
      })
    )

    it.effect("runs and tasks that ended since then stay", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { fence, id, runId } = yield* running()
        const end = { status: "succeeded", counts: {}, notes: [], error: null } as const
        const task = yield* store.openTask(id, { task: poll, spec: "ended", resumeWithin: Duration.days(1) })
        yield* store.finishTask(fence, task.id)
        yield* store.finishRun(fence, { ...end, runId })
        yield* store.finishRun(fence, { ...end, runId: yield* beginRun(fence) })
        yield* pass(Duration.days(20))
        yield* store.pruneRuns(Duration.days(30))
        assert.strictEqual((yield* store.runs(id, 10)).length, 2)
        assert.isTrue(Option.isSome(yield* store.task(task.id)))
      })
    )

    it.effect("pruning keeps a requested task that has not ended, however old it is", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        const request = Effect.fnUntraced(function* (spec: string) {
          const key = { key: spec, digest: "00" }
          const asked = {
            kind: "sync",
            task: poll,
            spec,
            externalIds: null,
            key,
            resumeWithin: Duration.days(1)
          } as const
          const made = yield* store.requestTask(run.id, asked)
          return made._tag === "Requested" ? made.task.id : assert.fail(made._tag)
        })
        const [ended, waits] = [yield* request("ended"), yield* request("waits")]
        yield* store.finishTask(run.fence, ended)
        yield* pass(Duration.hours(1))
        yield* store.pruneRuns(Duration.minutes(1))
        assert.isTrue(Option.isNone(yield* store.task(ended)))
        assert.isTrue(Option.isSome(yield* store.task(waits)))
        assert.strictEqual(Option.getOrThrow(yield* store.nextTask(run.id)).id, waits)
        assert.strictEqual(yield* request("waits"), waits)
      })
    )
  })
}
