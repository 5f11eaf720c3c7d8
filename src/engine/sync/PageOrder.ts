/**
 * The order in which pages end: as they were listed, each once all its items have an outcome. No page ends from the
 * first one on that lost an item, so that no checkpoint passes an item.
 */
import type { Flight } from "./InFlight.ts"
import type { PageListed } from "./SliceEvent.ts"

/** A value that only the committing fiber holds. Pages are numbered from 1. */
export interface PageOrder {
  readonly next: number
  readonly brokenFrom: number
  /** How many items of a page are in. */
  readonly arrived: ReadonlyMap<number, number>
  /** Ids of a page whose downloads answered that they are gone. */
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

/** An item of this page is in, or was given up. */
export const withItem = (order: PageOrder, page: number): PageOrder => ({
  ...order,
  arrived: new Map(order.arrived).set(page, (order.arrived.get(page) ?? 0) + 1)
})

/** This page lost an item: neither it nor a later one ends in this slice. */
export const brokenAt = (order: PageOrder, page: number): PageOrder => ({
  ...order,
  brokenFrom: Math.min(order.brokenFrom, page)
})

/** The source listed this id with this page, and had it no more when it was asked for. */
export const withGone = (order: PageOrder, page: number, externalId: string): PageOrder => ({
  ...order,
  gone: new Map(order.gone).set(page, [...(order.gone.get(page) ?? []), externalId])
})

export const withPage = (order: PageOrder, page: PageListed): PageOrder => ({
  ...order,
  listed: new Map(order.listed).set(page.page, page)
})

/**
 * The page whose turn it is to end, and the order after it. `isIn`: this occurrence is committed, or in the open batch.
 * Ids that were gone when they were asked for do not count as seen: that would take their deletion back.
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
