/** The laws of the changes: their contents, their order, and the position at which a reader continues. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Change, ChangePlace } from "../../src/engine/model/Change.ts"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Model from "./model.ts"
import { deleteStaged, item, ledgerUpdate, page, row, running, settle, Time, AwaitVisible } from "./scenario.ts"
import { runs } from "../support/Property.ts"

/**
 * Reads all changes after a position, page by page, once all commits are visible. Returns them with the last position.
 */
const read = Effect.fnUntraced(function* (query: Partial<Parameters<WholeStore["changes"]>[0]>) {
  const store = yield* WholeStore
  const { limit = 1000 } = query
  yield* Effect.flatten(AwaitVisible)
  const changes: Array<Change> = []
  let after = query.after
  while (true) {
    const found = yield* store.changes({ ...query, after, limit })
    assert.isAtMost(found.changes.length, limit)
    assert.isFalse(found.isAhead)
    changes.push(...found.changes)
    after = found.next
    if (!found.more) return { changes, next: found.next }
  }
})

const told = ({ changes }: { readonly changes: ReadonlyArray<Change> }) =>
  changes.map(({ change, content }) => `${content.externalId} ${change}`)

const compare = (a: Change, b: Change): number => {
  const [one, other] = [a.place.transaction, b.place.transaction]
  if (one !== other) return one < other ? -1 : 1
  return (
    Buffer.compare(Buffer.from(a.connectionId), Buffer.from(b.connectionId)) ||
    Buffer.compare(Buffer.from(a.content.externalId), Buffer.from(b.content.externalId))
  )
}

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: changes`, (it) => {
    it.effect("the feed has each content once, with its latest change: stored, updated, deleted or undeleted", () =>
      Effect.gen(function* () {
        const { commit, fence, id } = yield* running()
        const now = Effect.map(read({ connectionId: id }), told)
        const steps = [
          [commit({ items: [item("a"), item("b")] }), ["a stored", "b stored"]],
          [commit({ items: [item("a", { text: "other" })] }), ["b stored", "a updated"]],
          [commit({ page: page({ patches: [{ externalId: "b", metadata: { n: 1 } }] }) }), ["a updated", "b updated"]],
          [commit({ page: page({ deleted: ["a"] }) }), ["a updated", "b updated"]],
          [settle(fence, { atMost: 9, share: 1 }), ["b updated", "a deleted"]],
          [commit({ ledgerUpdates: [ledgerUpdate("a")] }), ["b updated", "a deleted"]],
          [commit({ items: [item("a")] }), ["b updated", "a undeleted"]],
          [commit({ items: [item("a", { title: "another" })] }), ["b updated", "a updated"]]
        ] as const
        for (const [step, expected] of steps) {
          yield* step
          assert.deepStrictEqual(yield* now, [...expected])
        }
      })
    )

    it.effect("a change says when the content was stored and last undeleted, also after later changes", () =>
      Effect.gen(function* () {
        const { commit, fence, id } = yield* running()
        const now = Effect.map(read({ connectionId: id }), ({ changes }) => {
          const [only] = changes
          assert.strictEqual(changes.length, 1)
          return { ...only?.became, change: only?.change, at: only?.place.transaction }
        })
        yield* commit({ items: [item("a")] })
        const stored = (yield* now).at
        assert.deepStrictEqual(yield* now, { change: "stored", at: stored, stored: stored ?? null, undeleted: null })
        yield* commit({ items: [item("a", { text: "other" })] })
        yield* commit({ page: page({ patches: [{ externalId: "a", metadata: { n: 1 } }] }) })
        const updated = yield* now
        assert.deepStrictEqual([updated.change, updated.stored, updated.undeleted], ["updated", stored, null])
        assert.notStrictEqual(updated.at, stored)
        const deleteIt = Effect.andThen(commit({ page: page({ deleted: ["a"] }) }), deleteStaged(fence))
        yield* deleteIt
        assert.strictEqual((yield* now).stored, stored)
        let undeleted: bigint | undefined
        for (let time = 0; time < 2; time += 1) {
          yield* commit({ items: [item("a", { text: `back ${time}` })] })
          const back = yield* now
          assert.deepStrictEqual([back.change, back.stored, back.undeleted], ["undeleted", stored, back.at])
          assert.notStrictEqual(back.at, undeleted)
          undeleted = back.at
          yield* commit({ items: [item("a", { text: `changed ${time}`, revision: "r2" })] })
          yield* commit({ items: [item("a", { text: `changed ${time}`, revision: "r3" })] })
          const later = yield* now
          assert.deepStrictEqual([later.change, later.stored, later.undeleted], ["updated", stored, undeleted])
          yield* deleteIt
        }
        const last = yield* now
        assert.deepStrictEqual([last.change, last.stored, last.undeleted], ["deleted", stored, undeleted])
      })
    )

    it.effect("an item that was never stored, and content that is stored unchanged, are no changes", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        yield* commit({
          items: [item("a")],
          ledgerUpdates: [ledgerUpdate("b"), ledgerUpdate("c", { outcome: "gone", retryIn: undefined })]
        })
        const before = yield* read({ connectionId: id })
        assert.deepStrictEqual(told(before), ["a stored"])
        yield* commit({
          items: [item("a", { revision: "r2", volatile: { n: 1 } })],
          ledgerUpdates: [ledgerUpdate("b")]
        })
        yield* commit({ ledgerUpdates: [ledgerUpdate("a")] })
        const after = yield* read({ connectionId: id })
        assert.deepStrictEqual(
          after.changes.map(({ place }) => place),
          before.changes.map(({ place }) => place)
        )
        assert.deepStrictEqual(after.changes[0]?.content.state, "stored")
        assert.deepStrictEqual(told(yield* read({ connectionId: id, after: before.next })), [])
      })
    )

    it.effect("what is stored and patched in one commit is stored", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        yield* commit({ items: [item("a")], page: page({ patches: [{ externalId: "a", metadata: { n: 1 } }] }) })
        const { changes } = yield* read({ connectionId: id })
        assert.deepStrictEqual(told({ changes }), ["a stored"])
        assert.deepStrictEqual(changes[0]?.content.metadata, { from: "you", n: 1 })
      })
    )

    it.effect(
      "deleted content is told as deleted whatever the ledger says of it, and as a tombstone after a purge",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { commit, fence, id } = yield* running()
          yield* commit({ items: [item("a"), item("b")] })
          yield* commit({ page: page({ deleted: ["a", "b"] }) })
          yield* deleteStaged(fence)
          yield* commit({ ledgerUpdates: [ledgerUpdate("b")] })
          const before = yield* read({ connectionId: id })
          assert.deepStrictEqual(told(before), ["a deleted", "b deleted"])
          assert.isTrue(
            before.changes.every(({ content }) => content.state === "deleted" && content.title === "a title")
          )
          yield* Time.use((time) => time.pass(Duration.hours(1)))
          yield* store.purge(id, DateTime.add((yield* row(id, "a")).updatedAt, { minutes: 1 }))
          const after = yield* read({ connectionId: id })
          assert.deepStrictEqual(told(after), ["a deleted", "b deleted"])
          assert.isTrue(after.changes.every(({ content }) => content.title === null && content.hash === null))
          assert.deepStrictEqual(told(yield* read({ connectionId: id, after: before.next })), [])
        })
    )

    it.effect("changes come in one order, whatever the page, and go on after any of them", () =>
      Effect.gen(function* () {
        const one = yield* running()
        const other = yield* running()
        const ids = ["b", "a", "é", "😀", "\uffee", "a/b", "%"]
        const { next: after } = yield* read({})
        for (const [index, each] of [one, other, one].entries()) {
          yield* each.commit({ items: ids.map((id) => item(id, { text: `${id} of commit ${index}` })) })
        }
        yield* other.commit({ items: [item("late")] })
        const whole = yield* read({ after })
        assert.deepStrictEqual(whole.changes, whole.changes.toSorted(compare))
        assert.strictEqual(whole.changes.length, 2 * ids.length + 1)
        // The position of the next page also depends on concurrent transactions.
        for (const limit of [1, 2, 3, 5]) assert.deepStrictEqual((yield* read({ after, limit })).changes, whole.changes)
        for (const [index, { place }] of whole.changes.entries()) {
          assert.deepStrictEqual((yield* read({ after: place })).changes, whole.changes.slice(index + 1))
        }
        const mine = whole.changes.filter(({ connectionId }) => connectionId === one.id)
        assert.deepStrictEqual((yield* read({ connectionId: one.id, after, limit: 2 })).changes, mine)
        assert.deepStrictEqual((yield* read({ connectionId: one.id })).changes, mine)
        assert.deepStrictEqual((yield* read({ after: whole.next })).changes, [])
        yield* one.commit({ items: [item("a", { text: "new" })] })
        assert.deepStrictEqual(told(yield* read({ after: whole.next })), ["a updated"])
      })
    )

    it.effect("the feed of another connection, or of an unknown one, has no changes", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const one = yield* running()
        const other = yield* running()
        yield* one.commit({ items: [item("a")] })
        yield* Effect.flatten(AwaitVisible)
        for (const connectionId of [other.id, ConnectionId.make("no id at all")]) {
          const { changes, more } = yield* store.changes({ connectionId, limit: 10 })
          assert.deepStrictEqual([changes, more], [[], false])
        }
      })
    )

    it.effect("the feed no longer has contents that were removed with their connection", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ items: [item("a")] })
        assert.deepStrictEqual(told(yield* read({ connectionId: id })), ["a stored"])
        yield* store.disconnect(id, false)
        assert.deepStrictEqual(told(yield* read({ connectionId: id })), ["a stored"])
        yield* store.disconnect(id, true)
        assert.deepStrictEqual(told(yield* read({ connectionId: id })), [])
      })
    )

    it.effect("a position beyond the last transaction is ahead, and has no changes", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit } = yield* running()
        yield* commit({ items: [item("a")] })
        const { next } = yield* read({})
        assert.isFalse((yield* store.changes({ after: next, limit: 1 })).isAhead)
        for (const transaction of [next.transaction + 1_000_000n, 18_446_744_073_709_551_615n]) {
          const { changes, isAhead } = yield* store.changes({ after: { transaction, row: null }, limit: 1 })
          assert.deepStrictEqual([changes, isAhead], [[], true])
        }
      })
    )

    it.effect("who begins after all changes reads what changes later, and nothing before", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ items: [item("a")] })
        yield* Effect.flatten(AwaitVisible)
        const { next } = yield* store.changed(2n ** 63n - 1n)
        const after = { transaction: next, row: null }
        assert.deepStrictEqual(told(yield* read({ connectionId: id, after })), [])
        yield* commit({ items: [item("b")] })
        assert.deepStrictEqual(told(yield* read({ connectionId: id, after })), ["b stored"])
      })
    )

    it.effect("one query returns the connections with changes, and the position for the next query", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const one = yield* running()
        const other = yield* running()
        const { next } = yield* read({})
        const idle = yield* store.changed(next.transaction)
        assert.deepStrictEqual([...idle.connections], [])
        yield* one.commit({ items: [item("a"), item("b")], ledgerUpdates: [] })
        yield* other.commit({ ledgerUpdates: [ledgerUpdate("a")] })
        yield* Effect.flatten(AwaitVisible)
        const found = yield* store.changed(idle.next)
        assert.deepStrictEqual([...found.connections], [one.id])
        assert.isTrue(found.next > next.transaction)
        assert.deepStrictEqual([...(yield* store.changed(found.next)).connections], [])
        const ever = (yield* store.changed(0n)).connections
        assert.deepStrictEqual([ever.has(one.id), ever.has(other.id)], [true, false])
      })
    )

    it.effect("the epoch stays as it is while nothing is restored, and pages carry it", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const epoch = yield* store.epoch
        const { commit } = yield* running()
        yield* commit({ items: [item("a")] })
        assert.deepStrictEqual(yield* store.epoch, epoch)
        assert.deepStrictEqual((yield* store.changes({ limit: 1 })).epoch, epoch)
        assert.strictEqual(epoch.number, 1)
      })
    )

    it.effect.prop(
      "a mirror that follows, with pages of any size and at any time, ends up with what is stored",
      {
        steps: Model.sequence(
          Schema.Union([
            Model.Step,
            Schema.TaggedStruct("read", { limit: Schema.Literals([1, 2, 7]), pages: Schema.Literals([1, 2, 9]) })
          ])
        )
      },
      ({ steps }) =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { commit, fence, id } = yield* running()
          const mirror = new Map<string, string | null>()
          let after: ChangePlace | undefined
          const follow = Effect.fnUntraced(function* (limit: number, pages: number) {
            for (let n = 0; n < pages; n += 1) {
              const found = yield* store.changes({ connectionId: id, after, limit })
              for (const { change, content } of found.changes) {
                if (change === "deleted") mirror.delete(content.externalId)
                else {
                  assert.isNotNull(content.hash)
                  mirror.set(content.externalId, content.hash)
                }
              }
              after = found.next
              if (!found.more) return
            }
          })
          for (const step of steps) {
            if (step._tag === "read") yield* follow(step.limit, step.pages)
            else if (step._tag === "settle") yield* settle(fence, { atMost: 100, share: 1 })
            else yield* commit(Model.batchOf(step))
          }
          yield* Effect.flatten(AwaitVisible)
          yield* follow(7, 9)
          const { contents } = yield* store.contents(id, { state: "stored", limit: 100 })
          assert.deepStrictEqual(mirror, new Map(contents.map(({ externalId, hash }) => [externalId, hash])))
        }),
      runs(60)
    )
  })
}
