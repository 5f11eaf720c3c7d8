import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as InFlight from "../../../src/engine/sync/InFlight.ts"
import * as PageOrder from "../../../src/engine/sync/PageOrder.ts"
import type { Fetched, NotFetched, PageListed } from "../../../src/engine/sync/SliceEvent.ts"
import { item, page as pageEnd } from "../../stores/scenario.ts"

const flight = InFlight.make().begin("an id", undefined)
const none = () => false

const listed = (page: number, parts: Partial<PageListed> = {}): PageListed => ({
  _tag: "PageListed",
  page,
  existing: 0,
  unusable: [],
  problems: [],
  remaining: undefined,
  downloads: 1,
  waitsFor: [],
  end: pageEnd({ checkpoint: page, seen: ["a", "b"] }),
  ...parts
})

const fetched = (page: number | undefined): Fetched => ({
  _tag: "Fetched",
  origin: "listed",
  flight,
  page,
  item: item("a"),
  batchBytes: 1
})

const notFetched = (page: number, outcome: NotFetched["outcome"], reason: NotFetched["reason"]): NotFetched => ({
  _tag: "NotFetched",
  origin: "listed",
  flight,
  page,
  externalId: "a",
  revision: undefined,
  outcome,
  reason,
  message: "a reason"
})

/** Takes all pages that can end now. Returns their checkpoints. */
const ends = (order: PageOrder.PageOrder, isIn: (flight: InFlight.Flight) => boolean = none) => {
  const found: Array<unknown> = []
  for (let end = PageOrder.takeNext(order, isIn); end !== undefined; end = PageOrder.takeNext(order, isIn)) {
    found.push(end.checkpoint)
  }
  return found
}

describe("a page", () => {
  it("ends once all its items have ended, after the pages before it", () => {
    const order = PageOrder.make()
    PageOrder.addPage(order, listed(2, { downloads: 0 }))
    PageOrder.addItem(order, fetched(1))
    PageOrder.addItem(order, fetched(undefined))
    assert.deepStrictEqual(ends(order), [])
    PageOrder.addPage(order, listed(1, { downloads: 2 }))
    assert.deepStrictEqual(ends(order), [])
    PageOrder.addItem(order, notFetched(1, "failed", "Malformed"))
    assert.deepStrictEqual(ends(order), [1, 2])
    assert.deepStrictEqual(ends(order), [])
  })

  it.effect("ends after the occurrences of other pages that it waits for", () =>
    Effect.gen(function* () {
      const order = PageOrder.make()
      const [one, other] = [InFlight.make().begin("a", undefined), InFlight.make().begin("b", undefined)]
      PageOrder.addPage(order, listed(1, { downloads: 0, waitsFor: [one, other] }))
      yield* one.end
      assert.deepStrictEqual(
        ends(order, (each) => each.isEnded()),
        []
      )
      yield* other.end
      assert.deepStrictEqual(
        ends(order, (each) => each.isEnded()),
        [1]
      )
    })
  )

  it("that lost an item does not end, nor does a later one, but one before it does", () => {
    const order = PageOrder.make()
    for (const page of [1, 2, 3, 4]) PageOrder.addPage(order, listed(page))
    PageOrder.addItem(order, notFetched(3, "deferred", "Transient"))
    PageOrder.addItem(order, notFetched(2, "deferred", "RateLimited"))
    PageOrder.addItem(order, fetched(1))
    PageOrder.addItem(order, fetched(4))
    assert.deepStrictEqual(ends(order), [1])
  })

  it("with an item that is not ready ends all the same", () => {
    const order = PageOrder.make()
    PageOrder.addPage(order, listed(1))
    PageOrder.addItem(order, notFetched(1, "deferred", "Unsettled"))
    assert.deepStrictEqual(ends(order), [1])
  })

  it("has not seen an id that was gone when it was downloaded, so that its deletion stays staged", () => {
    for (const [outcome, seen] of [
      ["gone", ["b"]],
      ["failed", ["a", "b"]]
    ] as const) {
      const order = PageOrder.make()
      PageOrder.addPage(order, listed(1))
      PageOrder.addItem(order, notFetched(1, outcome, "Gone"))
      assert.deepStrictEqual(PageOrder.takeNext(order, none), pageEnd({ checkpoint: 1, seen }))
    }
  })
})
