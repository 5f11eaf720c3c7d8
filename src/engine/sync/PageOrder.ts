/**
 * The order in which pages end: as they were listed, each once all its items have an outcome. Once a page has lost an
 * item, neither it nor any later page ends in this slice: a checkpoint never skips an item.
 */
import type { Flight } from "./InFlight.ts"
import type { PageListed } from "./SliceEvent.ts"

/** The state of the pages, which only the committing fiber has. Pages are numbered from 1. */
export interface PageOrder {
  readonly next: number
  readonly brokenFrom: number
  /** How many items of a page have an outcome. */
  readonly arrived: ReadonlyMap<number, number>
  /** Ids of a page that were gone when they were downloaded. */
  readonly gone: ReadonlyMap<number, ReadonlyArray<string>>
  /** Pages that have not ended. */
  readonly listed: ReadonlyMap<number, PageListed>
}

export const initial: PageOrder = {
  next: 1,
  brokenFrom: Number.POSITIVE_INFINITY,
  arrived: new Map(),
  gone: new Map(),
  listed: new Map()
}

/** Counts an item of this page that has an outcome. */
export const withItem = (order: PageOrder, page: number): PageOrder => ({
  ...order,
  arrived: new Map(order.arrived).set(page, (order.arrived.get(page) ?? 0) + 1)
})

/** Notes that this page lost an item. */
export const brokenAt = (order: PageOrder, page: number): PageOrder => ({
  ...order,
  brokenFrom: Math.min(order.brokenFrom, page)
})

/** Notes an id that this page listed, and that was gone when it was downloaded. */
export const withGone = (order: PageOrder, page: number, externalId: string): PageOrder => ({
  ...order,
  gone: new Map(order.gone).set(page, [...(order.gone.get(page) ?? []), externalId])
})

export const withPage = (order: PageOrder, page: PageListed): PageOrder => ({
  ...order,
  listed: new Map(order.listed).set(page.page, page)
})

/**
 * Returns the next page that can end, and the order after it. `isIn` returns true for an occurrence that is committed,
 * or in the open batch. Ids that were gone when they were downloaded are removed from `seen`, because seeing an id
 * takes its deletion back.
 */
export const takeNext = (
  order: PageOrder,
  isIn: (flight: Flight) => boolean
): readonly [PageListed, PageOrder] | undefined => {
  const page = order.listed.get(order.next)
  if (page === undefined || order.next >= order.brokenFrom) return undefined
  if ((order.arrived.get(order.next) ?? 0) < page.downloads || !page.waitsFor.every(isIn)) return undefined
  const listed = new Map(order.listed)
  const arrived = new Map(order.arrived)
  const gone = new Map(order.gone)
  const goneIds = new Set(order.gone.get(order.next))
  listed.delete(order.next)
  arrived.delete(order.next)
  gone.delete(order.next)
  const ended =
    goneIds.size === 0
      ? page
      : { ...page, end: { ...page.end, seen: page.end.seen.filter((externalId) => !goneIds.has(externalId)) } }
  return [ended, { ...order, next: order.next + 1, listed, arrived, gone }]
}
