/** The laws of releasing a connection: the values that a run stores, and the time of the next poll. */
import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ConnectionId, pausedByPerson } from "../../src/engine/model/Connection.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { batch, beginRun, connect, ledgerUpdate, running, take, Time, type Laws } from "./scenario.ts"

export const lawsOfReleases = (it: Laws): void => {
  it.effect("a release sets the next poll and the failures, or leaves them", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      yield* store.release(yield* take(id), { pollIn: Duration.minutes(10), failures: 2 })
      const released = Option.getOrThrow(yield* store.connection(id))
      assert.isNull(released.lease)
      assert.strictEqual(released.failures, 2)
      assert.isFalse((yield* store.due(1000)).some((due) => due.connectionId === id))
      yield* store.release(yield* take(id), {})
      const again = Option.getOrThrow(yield* store.connection(id))
      assert.strictEqual(again.failures, 2)
      assert.deepStrictEqual(again.nextPollAt, released.nextPollAt)
      yield* Time.use((time) => time.pass(Duration.minutes(11)))
      assert.isTrue((yield* store.due(1000)).some((due) => due.connectionId === id))
    })
  )

  it.effect("a release stores until when the source asked to wait, or clears it", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const releasing = Effect.fnUntraced(function* (next: Parameters<typeof store.release>[1]) {
        yield* store.release(yield* take(id), next)
        return Option.getOrThrow(yield* store.connection(id))
      })
      const asked = yield* releasing({ pollIn: Duration.hours(5), askedWait: Duration.hours(3) })
      const until = asked.askedWaitUntil ?? asked.createdAt
      const hours = Duration.toHours(DateTime.distance(until, asked.nextPollAt))
      assert.closeTo(hours, 2, 0.1)
      const left = yield* releasing({ pollIn: Duration.hours(6) })
      assert.deepStrictEqual(left.askedWaitUntil, asked.askedWaitUntil)
      assert.isNull((yield* releasing({ pollIn: Duration.hours(5), askedWait: null })).askedWaitUntil)
    })
  )

  it.effect("a release pauses, or lifts a pause, where the pause is still the one that it replaces", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const paused = Effect.map(store.connection(id), (row) => Option.getOrThrow(row).paused)
      yield* store.release(yield* take(id), { paused: { from: null, to: "the grant is gone" } })
      assert.strictEqual(yield* paused, "the grant is gone")
      yield* store.release(yield* take(id), { paused: { from: null, to: "another reason" } })
      assert.strictEqual(yield* paused, "the grant is gone")
      const fence = yield* take(id)
      yield* store.setPaused(id, pausedByPerson)
      yield* store.release(fence, { paused: { from: "the grant is gone", to: null } })
      assert.strictEqual(yield* paused, pausedByPerson)
      yield* store.release(yield* take(id), { paused: { from: pausedByPerson, to: null } })
      assert.isNull(yield* paused)
      yield* store.release(yield* take(id), {})
      assert.isNull(yield* paused)
    })
  )

  it.effect("a release says when the source was checked, and what could not be listed, or leaves both", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const found = Effect.map(store.connection(id), Option.getOrThrow)
      assert.isNull((yield* found).lastCheckedAt)
      assert.deepStrictEqual((yield* found).problems, { current: [], found: [] })
      const problem = { place: "in\0box", message: "no access" }
      yield* store.release(yield* take(id), { checked: true, problems: { current: [problem], found: [problem] } })
      const checked = yield* found
      const kept = { place: "in\uFFFDbox", message: "no access" }
      assert.isNotNull(checked.lastCheckedAt)
      assert.deepStrictEqual(checked.problems, { current: [kept], found: [kept] })
      yield* store.release(yield* take(id), { pollIn: Duration.hours(1) })
      assert.deepStrictEqual((yield* found).lastCheckedAt, checked.lastCheckedAt)
      assert.deepStrictEqual((yield* found).problems, checked.problems)
      yield* Time.use((time) => time.pass(Duration.minutes(1)))
      yield* store.release(yield* take(id), { checked: true, problems: { current: [], found: [] } })
      const again = yield* found
      assert.isTrue(
        again.lastCheckedAt !== null &&
          checked.lastCheckedAt !== null &&
          DateTime.isGreaterThan(again.lastCheckedAt, checked.lastCheckedAt)
      )
      assert.deepStrictEqual(again.problems.current, [])
    })
  )

  it.effect("the refusal of hints stays through runs until it is taken back", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      const problems = Effect.map(store.connection(id), (found) => Option.getOrThrow(found).problems)
      yield* store.setHintsProblem(id, "not\0 ours")
      const problem = { place: "inbox", message: "no access" }
      yield* store.release(yield* take(id), { problems: { current: [problem], found: [] } })
      yield* store.release(yield* take(id), {})
      assert.deepStrictEqual(yield* problems, { current: [problem], found: [], hints: "not\uFFFD ours" })
      yield* store.setHintsProblem(id, null)
      assert.deepStrictEqual(yield* problems, { current: [problem], found: [] })
    })
  )

  it.effect("a failed item's retry makes its connection due before its next poll, a deferred one does not", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const isDue = (id: ConnectionId) =>
        Effect.map(store.due(1000), (all) => all.some((due) => due.connectionId === id))
      const { commit, fence, id } = yield* running()
      yield* commit({ ledgerUpdates: [ledgerUpdate("a", { retryIn: Duration.minutes(2) })] })
      yield* store.release(fence, { pollIn: Duration.hours(1) })
      const other = yield* running()
      yield* other.commit({ ledgerUpdates: [ledgerUpdate("a", { outcome: "deferred" })] })
      yield* store.release(other.fence, { pollIn: Duration.hours(1) })
      assert.isFalse(yield* isDue(id))
      yield* Time.use((time) => time.pass(Duration.minutes(3)))
      assert.isTrue(yield* isDue(id))
      assert.isFalse(yield* isDue(other.id))
    })
  )

  it.effect("a run that dies before it releases is due for its retries all the same", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { id } = yield* connect()
      yield* store.release(yield* take(id), { pollIn: Duration.hours(5) })
      const fence = yield* take(id)
      const runId = yield* beginRun(fence)
      yield* store.commit(fence, batch(runId, { ledgerUpdates: [ledgerUpdate("a", { retryIn: Duration.minutes(2) })] }))
      yield* Time.use((time) => time.pass(Duration.minutes(31)))
      assert.isTrue((yield* store.due(1000)).some((due) => due.connectionId === id))
    })
  )

  it.effect(
    "a release makes the connection due for a retry before its next poll, or lets retries wait for the poll",
    () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { id } = yield* connect()
        const fence = yield* take(id)
        const runId = yield* beginRun(fence)
        yield* store.commit(fence, batch(runId, { ledgerUpdates: [ledgerUpdate("a", { retryIn: Duration.zero })] }))
        const isDue = Effect.map(store.due(1000), (due) => due.some((one) => one.connectionId === id))
        yield* store.release(fence, { pollIn: Duration.hours(1) })
        assert.isTrue(yield* isDue)
        yield* store.release(yield* take(id), { pollIn: Duration.hours(1), retriesWait: true })
        assert.isFalse(yield* isDue)
        yield* store.release(yield* take(id), { retriesWait: true })
        assert.isFalse(yield* isDue)
        yield* Time.use((time) => time.pass(Duration.minutes(61)))
        assert.isTrue(yield* isDue)
      })
  )

  it.effect("the connections that have been due longest come first", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      for (const minutes of [3, 1, 2]) {
        const { id } = yield* connect()
        yield* store.release(yield* take(id), { pollIn: Duration.minutes(minutes) })
      }
      yield* Time.use((time) => time.pass(Duration.minutes(4)))
      const due = (yield* store.due(1000)).map((one) => DateTime.toEpochMillis(one.dueAt))
      assert.deepStrictEqual(
        due,
        due.toSorted((a, b) => a - b)
      )
      assert.strictEqual((yield* store.due(2)).length, 2)
    })
  )

  it.effect("a waiting connection comes before connections that were run since, however many there are", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const many = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.map(connect(), ({ id }) => id))
      yield* Time.use((time) => time.pass(Duration.seconds(1)))
      const { id } = yield* connect()
      yield* Time.use((time) => time.pass(Duration.seconds(1)))
      const ours = new Set([...many, id])
      const order: Array<ConnectionId> = []
      while (!order.includes(id) && order.length < 100) {
        const due = (yield* store.due(1000)).filter(({ connectionId }) => ours.has(connectionId))
        for (const { connectionId } of due.slice(0, 3)) {
          order.push(connectionId)
          // Due again at once, like a connection with a backfill.
          yield* store.release(yield* take(connectionId), { pollIn: Duration.zero })
        }
        yield* Time.use((time) => time.pass(Duration.seconds(1)))
      }
      assert.sameMembers(order.slice(0, many.length), many)
      assert.strictEqual(order[many.length], id)
    })
  )
}
