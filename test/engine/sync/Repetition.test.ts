import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as RunCounts from "../../../src/engine/model/RunCounts.ts"
import * as Repetition from "../../../src/engine/sync/Repetition.ts"
import * as SliceResult from "../../../src/engine/sync/SliceResult.ts"

const fingerprintOf = (checkpoint: Schema.Json, seen: ReadonlyArray<string> = [], parts: ReadonlyArray<string> = []) =>
  Repetition.fingerprintOf({ checkpoint, seen, parts: parts.map((key) => ({ key, checkpoint })) })

let listings = 0
const another = () => `listing ${(listings += 1)}`

/** Runs slices of one listing that have more to list. Returns the delay after each, in seconds. */
const delaysOf = Effect.fnUntraced(function* (
  slices: ReadonlyArray<Partial<SliceResult.SliceResult>>,
  name = another()
) {
  const delays: Array<number> = []
  for (const slice of slices) {
    const { next } = yield* Repetition.delayIfRepeated(name, {
      ...SliceResult.nothing,
      next: { _tag: "More" },
      ...slice
    })
    if (next._tag === "Wait") assert.deepInclude(next, { askedWait: undefined, isRefusal: false })
    delays.push(next._tag === "Wait" ? Duration.toSeconds(next.delay) : 0)
  }
  return delays
})

const times = (count: number, slice: (index: number) => Partial<SliceResult.SliceResult>) =>
  Array.from({ length: count }, (_, index) => slice(index))

describe("the slices of a listing", () => {
  const same = { pages: [fingerprintOf(1, ["a", "b"])] }

  it.effect("wait longer and longer, up to a minute, if they list the same pages again", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* delaysOf(times(14, () => same)), [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60])
      // Another checkpoint, which may hold the time, makes a page with the same ids no other page.
      const moved = times(6, (index) => ({ pages: [fingerprintOf(index, ["a"], ["part"])] }))
      assert.deepStrictEqual(yield* delaysOf(moved), [0, 0, 0, 0, 1, 2])
      assert.deepStrictEqual(yield* delaysOf(times(6, () => ({ pages: [fingerprintOf(1)] }))), [0, 0, 0, 0, 1, 2])
      const withEmpty = times(6, (index) => ({ pages: [fingerprintOf(index), fingerprintOf(1, ["a"])] }))
      assert.deepStrictEqual(yield* delaysOf(withEmpty), [0, 0, 0, 0, 1, 2])
    })
  )

  it.effect("do not wait while they list something else: ids, parts, or a moving checkpoint of empty pages", () =>
    Effect.gen(function* () {
      const none = Array.from({ length: 12 }, () => 0)
      for (const page of [
        (index: number) => fingerprintOf(1, [`${index}`]),
        (index: number) => fingerprintOf(1, [], [`${index}`]),
        (index: number) => fingerprintOf(index),
        (index: number) => fingerprintOf(1, ["a"], [`${index}`])
      ]) {
        assert.deepStrictEqual(yield* delaysOf(times(12, (index) => ({ pages: [page(index)] }))), none)
      }
      assert.deepStrictEqual(yield* delaysOf(times(12, () => ({ pages: [] }))), none)
    })
  )

  it.effect("do not wait if they store, change, delete, end or fail, and begin anew after that", () =>
    Effect.gen(function* () {
      const counted = (counts: Partial<RunCounts.Counts>) => ({ ...same, counts: { ...RunCounts.zero, ...counts } })
      for (const other of [
        counted({ stored: 1 }),
        counted({ stored: 1, updated: 1 }),
        counted({ updated: 1, patched: 1 }),
        counted({ patched: 1, deleted: 1 }),
        { ...same, next: { _tag: "Done" } },
        { ...same, hintedOnly: true },
        { ...same, error: { reason: "Transient", message: "busy" } }
      ] as const) {
        const slices = [...times(5, () => same), other, ...times(5, () => same)]
        assert.deepStrictEqual(yield* delaysOf(slices), [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1])
      }
      // A page that was listed less often ends the waits too, and one that is new.
      const both = { pages: [...same.pages, fingerprintOf(1, ["c"])] }
      assert.deepStrictEqual(yield* delaysOf([both, ...times(4, () => same), both]), [0, 0, 0, 0, 1, 0])
      const extra = { pages: [...same.pages, fingerprintOf(1, ["new"])] }
      const slices = [...times(5, () => same), extra, ...times(3, () => same)]
      assert.deepStrictEqual(yield* delaysOf(slices), [0, 0, 0, 0, 1, 0, 0, 0, 0])
    })
  )

  it.effect("of one connection or task do not delay those of another", () =>
    Effect.gen(function* () {
      const [one, other] = [another(), another()]
      const slices = times(6, () => same)
      yield* delaysOf(slices, one)
      assert.deepStrictEqual(yield* delaysOf([same], other), [0])
      assert.deepStrictEqual(yield* delaysOf([same], one), [4])
    })
  )
})
