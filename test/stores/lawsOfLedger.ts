/** The laws of the ledger: ids that are known but not stored. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { item, listed, ledgerUpdate, row, running, staged, stored, take, Time } from "./scenario.ts"

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: the ledger`, (it) => {
    it.effect("a failed item is known, waits for its time, and is dead after its last attempt", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ ledgerUpdates: [ledgerUpdate("a", { revision: "r7", message: "bu\0sy" })] })
        assert.deepStrictEqual(yield* store.revisions(id, ["a"]), new Map([["a", Option.some("r7")]]))
        const [first] = yield* store.ledger(id, { limit: 10 })
        assert.deepStrictEqual(
          { ...first, nextAttemptAt: null },
          {
            externalId: "a",
            state: "failed",
            revision: "r7",
            reason: "Transient",
            message: "bu\uFFFDsy",
            attempts: 1,
            nextAttemptAt: null
          }
        )
        assert.deepStrictEqual(yield* store.retriesDue(id, 10), [])
        yield* Time.use((time) => time.pass(Duration.minutes(2)))
        assert.deepStrictEqual(
          (yield* store.retriesDue(id, 10)).map((one) => one.externalId),
          ["a"]
        )
        yield* commit({ ledgerUpdates: [ledgerUpdate("a", { attempts: 5, retryIn: undefined })] })
        assert.deepStrictEqual(yield* store.retriesDue(id, 10), [])
        const [dead] = yield* store.ledger(id, { limit: 10 })
        assert.strictEqual(dead?.state, "dead")
        assert.strictEqual(dead?.attempts, 5)
        assert.isNull(dead?.nextAttemptAt)
        assert.deepStrictEqual(yield* store.existing(id, ["a"]), new Set(["a"]))
        assert.deepStrictEqual(yield* listed(id, "dead"), ["a"])
        assert.strictEqual((yield* store.totals(id)).dead, 1)
      })
    )

    it.effect("deferring an item costs no attempt and makes it due at once; another revision resets its attempts", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        const attempts = Effect.map(store.ledger(id, { limit: 1 }), ([first]) => first?.attempts)
        yield* commit({ ledgerUpdates: [ledgerUpdate("a", { attempts: 2 })] })
        yield* commit({ ledgerUpdates: [ledgerUpdate("a", { outcome: "deferred", attempts: 0 })] })
        assert.strictEqual(yield* attempts, 2)
        const [deferred] = yield* store.retriesDue(id, 10)
        assert.strictEqual(deferred?.state, "deferred")
        assert.isNull(deferred?.nextAttemptAt)
        yield* commit({ ledgerUpdates: [ledgerUpdate("a", { outcome: "deferred", attempts: 0, revision: "r2" })] })
        assert.strictEqual(yield* attempts, 0)
      })
    )

    it.effect("the longest due come first, and no more than asked for", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ ledgerUpdates: [ledgerUpdate("first", { outcome: "deferred" })] })
        yield* commit({ ledgerUpdates: [ledgerUpdate("late", { retryIn: Duration.minutes(3) })] })
        yield* commit({ ledgerUpdates: [ledgerUpdate("early", { retryIn: Duration.minutes(1) })] })
        const [early, , late] = yield* Effect.map(store.ledger(id, { limit: 3 }), (rows) =>
          rows.map(({ nextAttemptAt }) => (nextAttemptAt === null ? Number.NaN : DateTime.toEpochMillis(nextAttemptAt)))
        )
        assert.closeTo((late ?? 0) - (early ?? 0), Duration.toMillis("2 minutes"), 10_000)
        yield* Time.use((time) => time.pass(Duration.minutes(4)))
        yield* commit({ ledgerUpdates: [ledgerUpdate("deferred", { outcome: "deferred" })] })
        const due = Effect.fnUntraced(function* (limit: number) {
          return (yield* store.retriesDue(id, limit)).map((one) => one.externalId)
        })
        assert.deepStrictEqual(yield* due(10), ["first", "early", "late", "deferred"])
        assert.deepStrictEqual(yield* due(2), ["first", "early"])
      })
    )

    it.effect("stored content whose update failed stays readable, under its old revision, and is in the ledger", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ items: [item("a")] })
        const before = yield* row(id, "a")
        yield* commit({ ledgerUpdates: [ledgerUpdate("a", { revision: "r2" })] })
        assert.deepStrictEqual(yield* row(id, "a"), before)
        assert.deepStrictEqual(yield* stored(id), ["a"])
        assert.deepStrictEqual(yield* listed(id, "failed"), ["a"])
        assert.deepStrictEqual(yield* store.revisions(id, ["a"]), new Map([["a", Option.some("r2")]]))
        yield* commit({ items: [item("a", { revision: "r2" })] })
        assert.deepStrictEqual(yield* store.ledger(id, { limit: 10 }), [])
        assert.deepStrictEqual(yield* store.revisions(id, ["a"]), new Map([["a", Option.some("r2")]]))
      })
    )

    it.effect("what is gone is not known afterwards; stored content that is gone is staged", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        const gone = { outcome: "gone", reason: "Gone", attempts: 0, retryIn: undefined } as const
        yield* commit({ items: [item("stored")], ledgerUpdates: [ledgerUpdate("failed")] })
        yield* commit({
          ledgerUpdates: [ledgerUpdate("failed", gone), ledgerUpdate("never", gone), ledgerUpdate("stored", gone)]
        })
        assert.deepStrictEqual(yield* store.existing(id, ["failed", "never", "stored"]), new Set(["stored"]))
        assert.deepStrictEqual(yield* listed(id, "gone"), ["failed", "never"])
        assert.deepStrictEqual(yield* staged(id), ["stored event"])
        assert.deepStrictEqual(yield* store.ledger(id, { limit: 10 }), [])
        const back = yield* commit({ items: [item("failed")] })
        assert.deepStrictEqual(back.outcomes, new Map([["failed", "stored"]]))
      })
    )

    it.effect(
      "redriving all rows, or the named ones, resets their attempts and makes them and their connection due",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { commit, fence, id } = yield* running()
          yield* commit({
            items: [item("fine"), item("stored")],
            ledgerUpdates: [
              ledgerUpdate("a"),
              ledgerUpdate("b", { attempts: 9, retryIn: undefined }),
              ledgerUpdate("c", { outcome: "deferred" })
            ]
          })
          yield* commit({ ledgerUpdates: [ledgerUpdate("stored", { attempts: 9, retryIn: undefined })] })
          yield* store.release(fence, { pollIn: Duration.hours(9) })
          const isDue = Effect.map(store.due(1000), (due) => due.some(({ connectionId }) => connectionId === id))
          assert.strictEqual(yield* store.redrive(id, ["fine", "nobody"]), 0)
          assert.isFalse(yield* isDue)
          assert.strictEqual(yield* store.redrive(id, ["b", "fine", "nobody"]), 1)
          assert.strictEqual((yield* row(id, "b")).state, "failed")
          assert.deepStrictEqual(
            (yield* store.retriesDue(id, 10)).map((one) => `${one.externalId} ${one.attempts}`).toSorted(),
            ["b 0", "c 0"]
          )
          assert.isTrue(yield* isDue)
          assert.strictEqual(yield* store.redrive(id, undefined), 4)
          assert.deepStrictEqual((yield* store.retriesDue(id, 10)).map((one) => one.externalId).toSorted(), [
            "a",
            "b",
            "c",
            "stored"
          ])
          assert.deepStrictEqual(yield* stored(id), ["fine", "stored"])
        })
    )

    it.effect("rows that were redriven are read in the order of their ids, until they are tried", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        const redriven = (redrivenAfter: string, limit = 10, externalIds?: ReadonlyArray<string>) =>
          Effect.map(store.ledger(id, { externalIds, redrivenAfter, limit }), (rows) =>
            rows.map(({ externalId }) => externalId)
          )
        yield* commit({ ledgerUpdates: ["a", "B", "é", "z"].map((externalId) => ledgerUpdate(externalId)) })
        assert.deepStrictEqual(yield* redriven(""), [])
        assert.strictEqual(yield* store.redrive(id, undefined), 4)
        // Sorted by bytes, like all lists of ids.
        assert.deepStrictEqual(yield* redriven(""), ["B", "a", "z", "é"])
        assert.deepStrictEqual(yield* redriven("B", 2), ["a", "z"])
        assert.deepStrictEqual(yield* redriven("", 10, ["é", "B", "nobody"]), ["B", "é"])
        yield* commit({
          items: [item("B")],
          ledgerUpdates: [
            ledgerUpdate("a", { attempts: 1 }),
            ledgerUpdate("new"),
            ledgerUpdate("later", { outcome: "deferred" })
          ]
        })
        assert.deepStrictEqual(yield* redriven(""), ["z", "é"])
      })
    )

    it.effect("failed rows are made due under the fence: their attempts stay, and dead rows stay dead", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, fence, id } = yield* running()
        assert.isFalse(yield* store.makeFailedDue(fence))
        yield* commit({
          items: [item("fine"), item("stored")],
          ledgerUpdates: [ledgerUpdate("a", { attempts: 3 }), ledgerUpdate("dead", { retryIn: undefined })]
        })
        yield* commit({ ledgerUpdates: [ledgerUpdate("stored", { attempts: 2 })] })
        const totals = yield* store.totals(id)
        assert.isTrue(yield* store.makeFailedDue(fence))
        const due = Effect.map(store.retriesDue(id, 10), (rows) =>
          rows.map((one) => `${one.externalId} ${one.state} ${one.attempts}`).toSorted()
        )
        assert.deepStrictEqual(yield* due, ["a failed 3", "stored failed 2"])
        assert.deepStrictEqual(yield* store.totals(id), totals)
        // Every failed item is already due.
        assert.isFalse(yield* store.makeFailedDue(fence))
        yield* commit({ ledgerUpdates: [ledgerUpdate("a", { attempts: 4 }), ledgerUpdate("stored", { attempts: 3 })] })
        yield* store.release(fence, {})
        yield* take(id)
        assert.strictEqual((yield* Effect.flip(store.makeFailedDue(fence)))._tag, "Superseded")
        assert.deepStrictEqual(yield* due, [])
      })
    )

    it.effect("the ledger is read whole or by id, in the order of ids", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ ledgerUpdates: ["c", "a", "b"].map((one) => ledgerUpdate(one)) })
        const read = Effect.fnUntraced(function* (options: Parameters<typeof store.ledger>[1]) {
          return (yield* store.ledger(id, options)).map((one) => one.externalId)
        })
        assert.deepStrictEqual(yield* read({ limit: 10 }), ["a", "b", "c"])
        assert.deepStrictEqual(yield* read({ limit: 2 }), ["a", "b"])
        assert.deepStrictEqual(yield* read({ limit: 10, externalIds: ["c", "x"] }), ["c"])
      })
    )
  })
}
