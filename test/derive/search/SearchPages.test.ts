/** The pages of a search: each result comes once, also if contents change between two pages. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { bytesOf, item, page, running, settle } from "../../stores/scenario.ts"
import { derive, layer, search } from "./Scenario.ts"

/** A message with the word `pelican`, also in the title if `titled`. */
const message = (id: string, titled: boolean, day: number) =>
  item(id, {
    title: titled ? "pelican" : "Bird",
    occurredAt: DateTime.makeUnsafe(Date.UTC(2024, 0, 1 + day)),
    metadata: { channel: "C1" },
    bytes: bytesOf(JSON.stringify({ type: "message", text: "a pelican" })),
    mediaType: "application/json"
  })

it.layer(layer, { excludeTestServices: true })("the pages of a search", (it) => {
  it.effect("have each result once, also beyond those that are ranked together", () =>
    Effect.gen(function* () {
      const run = yield* running("slack")
      const all = Array.from({ length: 450 }, (_, index) => `C1/${index}`)
      yield* run.commit({ items: all.map((id, index) => message(id, index % 50 === 0, index % 336)) })
      yield* derive
      const seen: Array<string> = []
      let after: string | undefined
      do {
        const { next, results } = yield* search("pelican", { connectionIds: [run.id], limit: 70, after })
        seen.push(...results.map(({ externalId }) => externalId))
        after = next ?? undefined
      } while (after !== undefined)
      assert.deepStrictEqual(seen.toSorted(), all.toSorted())
      // The titles of all windows come with the first window.
      assert.strictEqual(
        seen.slice(0, 9).every((id) => Number(id.slice(3)) % 50 === 0),
        true
      )
    })
  )

  it.effect("have each remaining result once, if results are deleted and added between two pages", () =>
    Effect.gen(function* () {
      const run = yield* running("slack")
      const all = Array.from({ length: 260 }, (_, day) => `C1/${day}`)
      yield* run.commit({ items: all.map((id, day) => message(id, day % 3 === 0, day)) })
      yield* derive
      const seen: Array<string> = []
      const deleted = new Set<string>()
      let after: string | undefined
      do {
        const { next, results } = yield* search("pelican", { connectionIds: [run.id], limit: 30, after })
        seen.push(...results.map(({ externalId }) => externalId))
        const unseen = all.findLast((id) => !seen.includes(id) && !deleted.has(id))
        const going = [results[0]?.externalId, results.at(-1)?.externalId, unseen].filter((id) => id !== undefined)
        for (const id of going) deleted.add(id)
        yield* run.commit({ page: page({ deleted: going }) })
        yield* settle(run.fence, { atMost: 2000, share: 1 })
        const added = [true, false, true, false].map((titled, index) =>
          message(`C1/${seen.length}/${index}`, titled, 200 + index)
        )
        yield* run.commit({ items: added })
        yield* derive
        after = next ?? undefined
      } while (after !== undefined)
      assert.deepStrictEqual([...new Set(seen)], seen)
      assert.deepStrictEqual(
        all.filter((id) => !seen.includes(id) && !deleted.has(id)),
        []
      )
      assert.isAbove(deleted.size, 20)
    })
  )

  it.effect("leave no result out, if more are added than are ranked together", () =>
    Effect.gen(function* () {
      const run = yield* running("slack")
      const all = Array.from({ length: 150 }, (_, day) => `C1/${day}`)
      yield* run.commit({ items: all.map((id, day) => message(id, day % 3 === 0, day)) })
      yield* derive
      const seen = new Set<string>()
      let after: string | undefined
      do {
        const { next, results } = yield* search("pelican", { connectionIds: [run.id], limit: 30, after })
        if (after === undefined) {
          const added = Array.from({ length: 300 }, (_, index) => message(`C1/new/${index}`, index % 2 === 0, 140))
          yield* run.commit({ items: added })
          yield* derive
        }
        for (const { externalId } of results) seen.add(externalId)
        after = next ?? undefined
      } while (after !== undefined)
      assert.deepStrictEqual(
        all.filter((id) => !seen.has(id)),
        []
      )
    })
  )
})
