import { assert, describe, it } from "@effect/vitest"
import type { PageEnd } from "../../../src/engine/model/Batch.ts"
import * as InFlight from "../../../src/engine/sync/InFlight.ts"
import * as OpenBatch from "../../../src/engine/sync/OpenBatch.ts"
import type { Fetched, NotFetched, PageListed } from "../../../src/engine/sync/SliceEvent.ts"
import { item, page } from "../../stores/scenario.ts"

const flight = InFlight.make().begin("an id", undefined)
const fetched = (externalId: string, origin: Fetched["origin"] = "listed"): Fetched => ({
  _tag: "Fetched",
  origin,
  flight,
  page: 1,
  item: item(externalId),
  batchBytes: 21
})
const notFetched = (externalId: string, parts: Partial<NotFetched> = {}): NotFetched => ({
  _tag: "NotFetched",
  origin: "listed",
  flight,
  page: 1,
  externalId,
  revision: undefined,
  outcome: "failed",
  reason: "Transient",
  message: "busy",
  ...parts
})

const withEnds = (...ends: ReadonlyArray<Partial<PageEnd>>) => {
  const batch = OpenBatch.make()
  for (const end of ends) OpenBatch.addEnd(batch, page(end), 0)
  return batch
}
const many = (count: number) => Array.from({ length: count }, (_, index) => `${index}`)
const moves = (count: number) => many(count).map((key) => ({ key, checkpoint: null }))
const patches = [{ externalId: "a", metadata: {} }]

describe("the ends of two pages in one batch", () => {
  const before = {
    checkpoint: 1,
    seen: ["a"],
    parts: [
      { key: "one", checkpoint: 1 },
      { key: "two", checkpoint: 1 }
    ]
  }
  const after = {
    checkpoint: 2,
    seen: ["b"],
    parts: [
      { key: "two", checkpoint: 2 },
      { key: "three", checkpoint: 2 }
    ]
  }

  it("have the later checkpoint, what both have seen, and each part where it was moved last", () => {
    for (const forgetsParts of [false, true]) {
      assert.deepStrictEqual(
        withEnds({ ...before, forgetsParts }, after).end,
        page({
          checkpoint: 2,
          seen: ["a", "b"],
          parts: [
            { key: "one", checkpoint: 1 },
            { key: "two", checkpoint: 2 },
            { key: "three", checkpoint: 2 }
          ],
          forgetsParts
        })
      )
    }
  })

  it("have no part of the first page if the second forgets all parts", () => {
    assert.deepStrictEqual(
      withEnds(before, { ...after, forgetsParts: true }).end,
      page({ ...after, seen: ["a", "b"], forgetsParts: true })
    )
  })
})

it("a page's end is committed before the next page if it deletes, patches or covers, or is large", () => {
  const alone: ReadonlyArray<Partial<PageEnd>> = [
    { deleted: ["a"] },
    { patches },
    { covers: [{ prefix: "a" }] },
    { complete: true },
    { seen: many(1000) },
    { parts: moves(1000) }
  ]
  for (const end of alone) assert.isTrue(OpenBatch.endsNow(withEnds(end)), Object.keys(end).join())
  for (const end of [{ seen: many(999) }, { parts: moves(999) }]) assert.isFalse(OpenBatch.endsNow(withEnds(end)))
  assert.isFalse(OpenBatch.endsNow(OpenBatch.make()))
})

describe("a batch", () => {
  const of = (...events: ReadonlyArray<Fetched | NotFetched>) => {
    const batch = OpenBatch.make()
    for (const [index, event] of events.entries()) OpenBatch.addOccurrence(batch, event, [], 5 + index)
    return batch
  }

  it("has the ids that a page listed, a count by origin, and the time of its first event", () => {
    const batch = of(fetched("a"), fetched("b", "forced"), notFetched("c"), notFetched("d", { origin: "retried" }))
    assert.deepStrictEqual(batch.listed, ["a", "c"])
    assert.deepInclude({ ...batch.counts }, { listed: 2, forced: 1, retried: 1 })
    assert.isTrue(batch.flights.has(flight))
    assert.deepStrictEqual([batch.since, batch.bytes, batch.items.length, batch.notFetched.length], [5, 42, 2, 2])
  })

  it("counts what a page has listed and is not downloaded: as known, or as failed if its id can't be stored", () => {
    const batch = OpenBatch.make()
    const problem = { place: "a", message: "m" }
    const listed: PageListed = {
      _tag: "PageListed",
      page: 1,
      existing: 3,
      unusable: [problem],
      problems: [],
      remaining: undefined,
      downloads: 2,
      waitsFor: [],
      end: page({})
    }
    OpenBatch.addPage(batch, listed, [problem], 5)
    assert.deepInclude({ ...batch.counts }, { listed: 4, existing: 3, failed: 1 })
    assert.deepStrictEqual([batch.problems, batch.since], [[problem], 5])
    OpenBatch.addEnd(batch, page({}), 7)
    assert.deepStrictEqual([batch.since, withEnds({}).since], [5, 0])
  })

  it("is full at its number of items, or of bytes", () => {
    const batch = of(fetched("a"), notFetched("b"))
    const isFull = (items: number, bytes: number) => OpenBatch.isFull(batch, { items, bytes })
    assert.deepStrictEqual([isFull(2, 22), isFull(3, 21), isFull(3, 22)], [true, true, false])
  })

  it("costs no attempt of what failed because the source is down, and leaves other outcomes as they are", () => {
    const { notFetched: left } = OpenBatch.withoutAttempts(
      of(
        notFetched("a"),
        notFetched("b", { reason: "Malformed" }),
        notFetched("c", { outcome: "gone", reason: "Gone" })
      )
    )
    assert.deepStrictEqual(
      left.map(({ outcome }) => outcome),
      ["deferred", "failed", "gone"]
    )
    assert.deepStrictEqual(OpenBatch.outcomesOf(of(notFetched("a"), notFetched("b", { outcome: "gone" }))), {
      failed: 1,
      deferred: 0,
      gone: 1
    })
  })

  it("gives its run a row if it has items, fetched or not, problems, deletions or patches", () => {
    const withProblem = OpenBatch.make()
    OpenBatch.addOccurrence(withProblem, notFetched("a"), [{ place: "a", message: "m" }], 0)
    withProblem.notFetched.length = 0
    const worth = [
      of(fetched("a")),
      of(notFetched("a")),
      withProblem,
      withEnds({ deleted: ["a"] }),
      withEnds({ patches })
    ]
    for (const batch of worth) assert.isTrue(OpenBatch.isWorthARow(batch))
    for (const batch of [OpenBatch.make(), withEnds({ seen: ["a"] })]) assert.isFalse(OpenBatch.isWorthARow(batch))
  })

  it("changes nothing in the store only if its checkpoint is stored, and it moves, marks and covers nothing", () => {
    const stored = OpenBatch.checkpointText(page({}))
    const isQuiet = (batch: OpenBatch.OpenBatch) => OpenBatch.isQuiet(batch, stored)
    assert.isTrue(isQuiet(OpenBatch.make()))
    assert.isTrue(isQuiet(withEnds({})))
    const changes: ReadonlyArray<Partial<PageEnd>> = [
      { checkpoint: { at: 2 } },
      { scope: "another" },
      { parts: moves(1) },
      { forgetsParts: true },
      { covers: [{ prefix: "a" }] },
      { complete: true },
      { seen: ["a"] },
      { deleted: ["a"] }
    ]
    for (const end of changes) assert.isFalse(isQuiet(withEnds(end)), Object.keys(end).join())
    assert.isFalse(isQuiet(of(fetched("a"))))
    assert.isFalse(OpenBatch.isQuiet(withEnds({}), undefined))
  })
})
