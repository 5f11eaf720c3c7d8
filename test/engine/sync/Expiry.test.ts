/** Checkpoints that expire, listings that end with a slice, and tasks that are removed while they run. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { only } from "../../support/MemorySource.ts"
import { ids, sync, withConnection } from "../../support/TestEngine.ts"
import * as LeasedSlice from "../../../src/engine/sync/LeasedSlice.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"

describe("a checkpoint that expires in the middle of the changes", () => {
  it.effect("loses no deletion that earlier changes reported", () =>
    withConnection(function* (source, connection) {
      source.pageSize = 1
      source.add("a")
      yield* sync(connection)
      source.add("b")
      source.add("c")
      let pages = 0
      source.answer = (method) =>
        Effect.sync(() => {
          if (method === "changes") pages += 1
          // The first page listed b, which was downloaded. Then the source forgets that b was deleted.
          if (method !== "changes" || pages !== 2) return
          source.remove("b")
          source.expiredBefore = source.log.length
        })
      yield* sync(connection)
      assert.deepStrictEqual(yield* ids(connection), ["a", "c"])
    })
  )

  it.effect("does not use up a page of the slice", () =>
    withConnection(
      function* (source, connection) {
        source.add("a")
        yield* sync(connection)
        source.remove("a")
        source.add("b")
        source.expiredBefore = source.log.length
        yield* sync(connection)
        assert.deepStrictEqual(yield* ids(connection), ["b"])
      },
      { slicePages: 1 }
    )
  )
})

describe("a listing that ends with the last page of a slice", () => {
  it.effect("leaves nothing to do", () =>
    withConnection(
      function* (source, connection) {
        source.pageSize = 1
        source.add("a")
        source.add("b")
        const store = yield* WholeStore
        const taken = yield* store.acquire(connection.id, { holder: "a test", ttl: Duration.minutes(1) })
        const result = yield* LeasedSlice.run(Option.getOrThrow(taken), LeasedSlice.poll, () => Effect.void)
        assert.notStrictEqual(result.next._tag, "More")
        assert.deepStrictEqual(yield* ids(connection), ["a", "b"])
      },
      { slicePages: 2 }
    )
  )
})

describe("a task whose row was removed while it ran", () => {
  it.effect("fails instead of beginning again for ever", () =>
    withConnection(
      function* (source, connection) {
        source.pageSize = 1
        source.addMany(5)
        const store = yield* WholeStore
        const prune = Effect.andThen(TestClock.adjust("1 second"), Effect.orDie(store.pruneRuns(Duration.zero)))
        source.answer = only("list", Effect.asVoid(prune))
        const result = yield* sync(connection, { force: true })
        assert.strictEqual(result.error?.reason, "TaskRemoved")
      },
      { slicePages: 1 }
    )
  )
})
