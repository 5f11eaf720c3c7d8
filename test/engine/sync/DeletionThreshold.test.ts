/** How many deletions are applied without a person: up to 10 here, or up to a fifth of the stored content. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { bytes, MemorySource } from "../../support/MemorySource.ts"
import { connect, layer, sync } from "../../support/TestEngine.ts"

/**
 * Returns the deletions of the sync after each of these changes at a source of `count` stored items. `planned` is how
 * many a dry run before it reports as held.
 */
const syncs = (count: number, changes: ReadonlyArray<(source: MemorySource) => void>) => {
  const source = new MemorySource()
  for (let index = 0; index < count; index += 1) source.add(`${index}`, { bodyKey: `key ${index}` })
  return Effect.gen(function* () {
    const connection = yield* connect()
    yield* sync(connection)
    return yield* Effect.forEach(
      changes,
      Effect.fnUntraced(function* (change) {
        change(source)
        const { planned } = yield* sync(connection, { dryRun: true })
        const { deleted, deletionsHeld } = (yield* sync(connection)).counts
        return { deleted, held: deletionsHeld, planned: planned?.held }
      })
    )
  }).pipe(Effect.provide(layer(source, { limits: { deletions: 10, deletionShare: 0.2 } })))
}

/** Removes the oldest items. */
const remove = (count: number) => (source: MemorySource) => {
  for (const id of [...source.items.keys()].slice(0, count)) source.remove(id)
}

describe("deletions", () => {
  const bounds = [
    [20, 10, true],
    [20, 11, false],
    [60, 12, true],
    [60, 13, false]
  ] as const
  for (const [stored, count, areApplied] of bounds) {
    it.effect(`of ${count} of ${stored} are ${areApplied ? "applied" : "held"}`, () =>
      Effect.gen(function* () {
        const expected = areApplied
          ? { deleted: count, held: 0, planned: 0 }
          : { deleted: 0, held: count, planned: count }
        assert.deepStrictEqual(yield* syncs(stored, [remove(count)]), [expected])
      })
    )
  }

  it.effect("count together with those that are held", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* syncs(20, [remove(11), remove(1)]), [
        { deleted: 0, held: 11, planned: 11 },
        { deleted: 0, held: 12, planned: 12 }
      ])
    })
  )

  it.effect("are compared with what was stored when the reading of the changes began that told them", () =>
    Effect.gen(function* () {
      const add = (source: MemorySource) => source.addMany(190)
      const [, , last] = yield* syncs(10, [remove(1), add, remove(20)])
      assert.deepStrictEqual(last, { deleted: 20, held: 0, planned: 0 })
    })
  )

  it.effect("of content that moved do not count", () =>
    Effect.gen(function* () {
      const move = (source: MemorySource) => {
        for (let index = 0; index < 20; index += 1) {
          source.remove(`${index}`)
          source.add(`moved ${index}`, { body: bytes(`body of ${index}`), bodyKey: `key ${index}` })
        }
      }
      const [moved] = yield* syncs(20, [move])
      assert.deepInclude(moved, { deleted: 20, held: 0 })
    })
  )
})
