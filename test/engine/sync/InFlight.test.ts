import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ContentExistenceCheckerError } from "../../../src/contract/ContentExistenceChecker.ts"
import { ConnectionId } from "../../../src/engine/model/Connection.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import * as InFlight from "../../../src/engine/sync/InFlight.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"

const connectionId = ConnectionId.make("0b1c0b1c-0000-4000-8000-000000000001")

/** A checker over a store that knows `stored`, at revision 2. */
const scene = Effect.gen(function* () {
  const store = yield* WholeStore
  const inflight = InFlight.make()
  const meter = yield* RunMeter.make()
  const fault: { error: StoreError | undefined } = { error: undefined }
  const answer = <A>(known: A) =>
    Effect.suspend(() => (fault.error === undefined ? Effect.succeed(known) : fault.error))
  const checker = InFlight.checker({
    contents: {
      ...store,
      existing: () => answer(new Set(["stored"])),
      revisions: () => answer(new Map([["stored", Option.some("2")]]))
    },
    connectionId,
    inflight,
    meter
  })
  return { checker, fault, inflight, meter }
})

describe("the checker of a run", () => {
  it.effect("knows what is stored and what is in flight, and no more once the flight has ended", () =>
    Effect.gen(function* () {
      const { checker, inflight, meter } = yield* scene
      const ids = ["stored", "new", "chosen", "chosen without a revision"]
      const chosen = inflight.begin("chosen", "1")
      inflight.begin("chosen without a revision", undefined)
      const [stored, unknown, ...flying] = ids
      assert.deepStrictEqual([...(yield* checker.existing(ids))], [stored, ...flying])
      assert.deepStrictEqual(
        [...(yield* checker.revisions(ids))],
        [
          [stored, Option.some("2")],
          ["chosen", Option.some("1")],
          ["chosen without a revision", Option.none()]
        ]
      )
      const again = inflight.begin("chosen", "3")
      yield* chosen.end
      assert.deepStrictEqual([chosen.isEnded(), again.isEnded()], [true, false])
      assert.deepStrictEqual((yield* checker.revisions(ids)).get("chosen"), Option.some("3"))
      yield* again.end
      assert.isFalse((yield* checker.existing(ids)).has("chosen"))
      assert.strictEqual((yield* RunMeter.read(meter)).checkerQueries, 4)
      assert.deepStrictEqual(
        ids.filter((id) => inflight.isUnknown(id)),
        [unknown, "chosen"]
      )
    }).pipe(Effect.provide(Memory.layer))
  )

  for (const method of ["existing", "revisions"] as const) {
    it.effect(`remembers from \`${method}\` what the store does not know, until it is chosen`, () =>
      Effect.gen(function* () {
        const { checker, inflight } = yield* scene
        inflight.begin("chosen", "1")
        yield* checker[method](["stored", "new", "chosen"])
        assert.deepStrictEqual(
          ["stored", "new", "chosen", "not asked"].map((id) => inflight.isUnknown(id)),
          [false, true, false, false]
        )
        inflight.begin("new", "1")
        assert.isFalse(inflight.isUnknown("new"))
      }).pipe(Effect.provide(Memory.layer))
    )

    it.effect(`fails if the store can't be asked by \`${method}\`, and never answers that nothing exists`, () =>
      Effect.gen(function* () {
        const { checker, fault } = yield* scene
        fault.error = new StoreError({ message: "the database is away", cause: undefined })
        const ask: Effect.Effect<unknown, ContentExistenceCheckerError> = checker[method](["stored"])
        const error = yield* Effect.flip(ask)
        assert.deepStrictEqual([error._tag, error.message], ["ContentExistenceCheckerError", "the database is away"])
      }).pipe(Effect.provide(Memory.layer))
    )
  }
})

it("an id that a page deletes has returned once it is chosen, until a page deletes it again", () => {
  const inflight = InFlight.make()
  const states = [() => inflight.remove(["a"]), () => inflight.begin("a", "1"), () => inflight.remove(["a"])].map(
    (step) => {
      step()
      return [inflight.isRemoved("a"), inflight.hasReturned("a")]
    }
  )
  assert.deepStrictEqual(states, [
    [true, false],
    [false, true],
    [true, false]
  ])
  inflight.begin("b", "1")
  assert.isFalse(inflight.hasReturned("b"))
})
