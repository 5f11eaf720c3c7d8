/**
 * The feed's waiting and cursors, over the store in memory. The order of changes is tested by the laws of the stores.
 */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Feed, layer as feedLayer, layerWith } from "../../../src/engine/feed/Feed.ts"
import { LocalCommits } from "../../../src/engine/feed/LocalCommits.ts"
import type { Epoch } from "../../../src/engine/model/Change.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Model from "../../stores/model.ts"
import { item, page, running, stored } from "../../stores/scenario.ts"
import { runs } from "../../support/Property.ts"

/** The number of calls of each store method. */
interface Asked {
  changes: number
  changed: number
}

/** A memory store that counts its calls, with an epoch and a health that the test sets. */
const sceneOf = Effect.fnUntraced(function* (layer: typeof feedLayer) {
  const store = yield* WholeStore
  const asked: Asked = { changes: 0, changed: 0 }
  const fault: { epoch: Epoch | undefined; error: StoreError | undefined; delay: Effect.Effect<void> } = {
    epoch: undefined,
    error: undefined,
    delay: Effect.void
  }
  const feed = yield* layer.pipe(
    Layer.provide(
      wholeStoreLayer({
        ...store,
        changes: (query) =>
          Effect.flatMap(store.changes(query), (found) => {
            asked.changes += 1
            return Effect.as(fault.delay, { ...found, epoch: fault.epoch ?? found.epoch })
          }),
        changed: (from) =>
          Effect.suspend(() => {
            asked.changed += 1
            return fault.error === undefined ? store.changed(from) : Effect.fail(fault.error)
          })
      })
    ),
    Layer.build
  )
  const service = yield* Effect.provideContext(Feed, feed)
  const changes = (query: Partial<Parameters<typeof service.changes>[0]>) =>
    service.changes({ limit: 10, wait: Duration.zero, ...query })
  return { asked, fault, changes }
})
const scene = sceneOf(feedLayer)

const ids = ({ changes }: Effect.Success<ReturnType<Feed["Service"]["changes"]>>) =>
  changes.map(({ change, content }) => `${content.externalId} ${change}`)

it.layer(Memory.layer)("the feed", (it) => {
  it.effect("a reader goes on from any cursor that it was given, one by one or page by page", () =>
    Effect.gen(function* () {
      const { changes } = yield* scene
      const { commit, id } = yield* running()
      yield* commit({ items: [item("a"), item("b"), item("c")] })
      const first = yield* changes({ connectionId: id, limit: 2 })
      assert.deepStrictEqual(ids(first), ["a stored", "b stored"])
      assert.strictEqual(first.changes[1]?.cursor, first.next)
      const rest = yield* changes({ connectionId: id, after: first.changes[0]?.cursor })
      assert.deepStrictEqual(ids(rest), ["b stored", "c stored"])
      const end = yield* changes({ connectionId: id, after: rest.next })
      assert.deepStrictEqual(ids(end), [])
      yield* commit({ items: [item("a", { text: "other" })] })
      const more = yield* changes({ connectionId: id, after: end.next })
      assert.deepStrictEqual(ids(more), ["a updated"])
    })
  )

  it.effect.prop(
    "a reader that asks for what is stored is told each content, and none again that it had at the end",
    {
      steps: Model.sequence(
        Schema.Union([
          Schema.TaggedStruct("store", {
            id: Schema.Literals(["a", "b", "c", "d", "e"]),
            text: Schema.Literals(["x", "y"])
          }),
          Schema.TaggedStruct("read", { limit: Schema.Literals([1, 2, 7]), pages: Schema.Literals([1, 2, 9]) })
        ])
      )
    },
    ({ steps }) =>
      Effect.gen(function* () {
        const { changes } = yield* scene
        const { commit, id } = yield* running()
        const told = new Set<string>()
        let atEnd: ReadonlySet<string> = new Set()
        let after: string | undefined
        const follow = Effect.fnUntraced(function* (limit: number, pages: number) {
          for (let n = 0; n < pages; n += 1) {
            const page = yield* changes({ connectionId: id, kinds: ["stored"], after, limit })
            for (const { change, content } of page.changes) {
              assert.strictEqual(change, "stored")
              assert.isFalse(atEnd.has(content.externalId), `${content.externalId} was told again`)
              told.add(content.externalId)
            }
            const isEnd = (yield* changes({ connectionId: id, after: page.next, limit: 1 })).changes.length === 0
            after = page.next
            if (!isEnd) continue
            atEnd = new Set(told)
            return
          }
        })
        for (const step of steps) {
          if (step._tag === "read") yield* follow(step.limit, step.pages)
          else yield* commit({ items: [item(step.id, { text: step.text })] })
        }
        yield* follow(7, 9)
        assert.deepStrictEqual([...told].toSorted(), yield* stored(id))
      }).pipe(Effect.scoped),
    runs(200)
  )

  it.effect("a reader that waits is told as soon as there is something, and not of others' changes", () =>
    Effect.gen(function* () {
      const { asked, changes } = yield* scene
      const mine = yield* running()
      const other = yield* running()
      const { next } = yield* changes({ connectionId: mine.id })
      const reader = yield* Effect.forkChild(
        changes({ connectionId: mine.id, after: next, wait: Duration.seconds(30) })
      )
      let all = yield* changes({ limit: 1000 })
      while (all.changes.length > 0) all = yield* changes({ after: all.next, limit: 1000 })
      const readerOfAll = yield* Effect.forkChild(changes({ after: all.next, wait: Duration.seconds(30) }))
      yield* TestClock.adjust("5 seconds")
      assert.isUndefined(readerOfAll.pollUnsafe())
      const before = asked.changes
      yield* other.commit({ items: [item("b")] })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(readerOfAll.pollUnsafe()?._tag, "Success")
      assert.deepStrictEqual(ids(yield* Fiber.join(readerOfAll)), ["b stored"])
      assert.isUndefined(reader.pollUnsafe())
      // The store was asked again for the other reader only, because this reader's connection had no new changes.
      assert.strictEqual(asked.changes, before + 1)
      yield* mine.commit({ items: [item("a")] })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ids(yield* Fiber.join(reader)), ["a stored"])
    })
  )

  it.effect("a change that comes before another reader joins is told to the reader that waited", () =>
    Effect.gen(function* () {
      const { changes } = yield* scene
      const { commit, id } = yield* running()
      const { next } = yield* changes({ connectionId: id })
      const query = { connectionId: id, wait: Duration.seconds(30) }
      const first = yield* Effect.forkChild(changes({ ...query, after: next }))
      yield* Effect.yieldNow
      yield* commit({ items: [item("a")] })
      // The second reader begins after the change, so that nothing is new to it, and one query of the store serves both
      // readers.
      const later = yield* changes({ connectionId: id })
      const second = yield* Effect.forkChild(changes({ ...query, after: later.next }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(first.pollUnsafe()?._tag, "Success")
      assert.deepStrictEqual(ids(yield* Fiber.join(first)), ["a stored"])
      assert.isUndefined(second.pollUnsafe())
      yield* Fiber.interrupt(second)
    })
  )

  it.effect("a change that comes while a reader joins others is told to it", () =>
    Effect.gen(function* () {
      const { asked, changes, fault } = yield* scene
      const mine = yield* running()
      const other = yield* running()
      const { next } = yield* changes({ connectionId: mine.id })
      const wait = Duration.seconds(30)
      const before = yield* Effect.forkChild(changes({ connectionId: other.id, wait }))
      yield* TestClock.adjust("1 second")
      const gate = yield* Deferred.make<void>()
      fault.delay = Deferred.await(gate)
      const reader = yield* Effect.forkChild(changes({ connectionId: mine.id, after: next, wait }))
      yield* Effect.yieldNow
      assert.strictEqual(asked.changes, 3)
      // The change is seen by the query for the first reader before the second one waits.
      yield* mine.commit({ items: [item("a")] })
      yield* TestClock.adjust("2 seconds")
      fault.delay = Effect.void
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(reader.pollUnsafe()?._tag, "Success")
      assert.deepStrictEqual(ids(yield* Fiber.join(reader)), ["a stored"])
      yield* Fiber.interrupt(before)
    })
  )

  it.effect("waiting ends with its time, at most a minute, and says where to go on", () =>
    Effect.gen(function* () {
      const { changes } = yield* scene
      const { commit, id } = yield* running()
      const reader = yield* Effect.forkChild(changes({ connectionId: id, wait: Duration.hours(1) }))
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(reader.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const { changes: none, next } = yield* Fiber.join(reader)
      assert.deepStrictEqual(none, [])
      yield* commit({ items: [item("a")] })
      const found = yield* changes({ connectionId: id, after: next })
      assert.deepStrictEqual(ids(found), ["a stored"])
    })
  )

  it.effect(
    "the database is asked as often for a hundred readers as for one, ever more seldom, and never for none",
    () =>
      Effect.gen(function* () {
        const { asked, changes } = yield* scene
        const { id } = yield* running()
        const readers = yield* Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.forkChild(changes({ connectionId: id, wait: Duration.seconds(60) }))
        )
        yield* TestClock.adjust("55 seconds")
        assert.isAtMost(asked.changed, 64)
        assert.isAtLeast(asked.changed, 50)
        yield* Fiber.interruptAll(readers)
        yield* TestClock.adjust("10 seconds")
        const before = asked.changed
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(asked.changed, before)
        const again = yield* Effect.forkChild(changes({ connectionId: id, wait: Duration.seconds(5) }))
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(again)
        assert.isAbove(asked.changed, before)
      })
  )

  it.effect("a reader that tolerates delay polls seldom, and a commit in this process wakes it", () =>
    Effect.gen(function* () {
      const { asked, changes } = yield* sceneOf(layerWith({ longestPause: 5000 }))
      const { commit, id } = yield* running()
      const reader = yield* Effect.forkChild(changes({ connectionId: id, wait: Duration.seconds(60) }))
      yield* TestClock.adjust("50 seconds")
      assert.isAtMost(asked.changed, 20)
      yield* commit({ items: [item("a")] })
      yield* (yield* LocalCommits).announce
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(ids(yield* Fiber.join(reader)), ["a stored"])
    })
  )

  it.effect("readers that wait hear that the database is away, and the next are served when it is back", () =>
    Effect.gen(function* () {
      const { changes, fault } = yield* scene
      const { commit, id } = yield* running()
      const query = { connectionId: id, wait: Duration.seconds(30) }
      const readers = yield* Effect.forEach([1, 2], () => Effect.forkChild(changes(query)))
      yield* TestClock.adjust("1 second")
      fault.error = new StoreError({ message: "away", cause: "away" })
      yield* TestClock.adjust("2 seconds")
      for (const reader of readers) assert.strictEqual((yield* Effect.flip(Fiber.join(reader))).message, "away")
      fault.error = undefined
      const reader = yield* Effect.forkChild(changes(query))
      yield* TestClock.adjust("1 second")
      yield* commit({ items: [item("a")] })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ids(yield* Fiber.join(reader)), ["a stored"])
    })
  )

  it.effect("after a restore a reader is told that its cursor is gone, also one that was waiting", () =>
    Effect.gen(function* () {
      const { changes, fault } = yield* scene
      const { commit, id } = yield* running()
      const { next } = yield* changes({ connectionId: id })
      const reader = yield* Effect.forkChild(
        Effect.flip(changes({ connectionId: id, after: next, wait: Duration.seconds(30) }))
      )
      const fresh = yield* Effect.forkChild(Effect.flip(changes({ connectionId: id, wait: Duration.seconds(30) })))
      yield* TestClock.adjust("1 second")
      fault.epoch = { ...(yield* Effect.flatMap(WholeStore, (store) => store.epoch)), number: 2, id: "another" }
      yield* commit({ items: [item("a")], page: page({}) })
      yield* TestClock.adjust("1 second")
      for (const each of [reader, fresh]) {
        assert.include(JSON.stringify(yield* Fiber.join(each)), '"reason":"gone"')
      }
      const error = yield* Effect.flip(changes({ connectionId: id, after: next }))
      assert.match(error.message, /restored.*start again/)
      const again = yield* changes({ connectionId: id })
      assert.deepStrictEqual(ids(again), ["a stored"])
    })
  )

  it.effect("a cursor of another connection, and one that is ahead of the database, are refused", () =>
    Effect.gen(function* () {
      const { changes } = yield* scene
      const one = yield* running()
      const other = yield* running()
      const { next } = yield* changes({ connectionId: one.id })
      const reason = (query: { readonly connectionId?: typeof one.id; readonly after: string }) =>
        Effect.map(Effect.flip(changes(query)), (error) => (error._tag === "CursorInvalid" ? error.reason : error))
      assert.strictEqual(yield* reason({ connectionId: other.id, after: next }), "foreign")
      assert.strictEqual(yield* reason({ after: next }), "foreign")
      assert.strictEqual(yield* reason({ connectionId: one.id, after: "nonsense" }), "malformed")
      const parts = JSON.parse(Buffer.from(next, "base64url").toString()) as Array<unknown>
      parts[4] = String(BigInt(String(parts[4])) + 1000n)
      const ahead = Buffer.from(JSON.stringify(parts)).toString("base64url")
      assert.strictEqual(yield* reason({ connectionId: one.id, after: ahead }), "gone")
    })
  )

  it.effect("the end of the feed's scope ends the readers that wait", () =>
    Effect.gen(function* () {
      const { id } = yield* running()
      const begun = yield* Deferred.make<Fiber.Fiber<unknown, unknown>>()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { asked, changes } = yield* scene
          const reader = yield* Effect.forkDetach(changes({ connectionId: id, wait: Duration.seconds(60) }))
          yield* TestClock.adjust("1 second")
          assert.isAbove(asked.changed, 0)
          yield* Deferred.succeed(begun, reader)
        })
      )
      const reader = yield* Deferred.await(begun)
      assert.isTrue((yield* Fiber.await(reader))._tag === "Failure")
    })
  )
})
