/**
 * The order in which pages end: as they were listed, each after all its items have an outcome. If a page has lost an
 * item, neither it nor any later page ends in this slice: a checkpoint never skips an item.
 */
import type { PageEnd } from "../model/Batch.ts"
import type { Flight } from "./InFlight.ts"
import type { Fetched, NotFetched, PageListed } from "./SliceEvent.ts"

/** A page that has not ended. */
interface OpenPage {
  /** The page's event; undefined until it arrives. Events of its items may arrive first. */
  listed: PageListed | undefined
  /** The number of the page's items that have ended. */
  ended: number
  /** The page's ids that were gone when they were downloaded. */
  readonly gone: Set<string>
}

/** The pages of a slice, numbered from 1. Only the committing fiber changes them. */
export interface PageOrder {
  /** The number of the page that ends next. */
  next: number
  /** The number of the first page that lost an item. */
  brokenFrom: number
  readonly open: Map<number, OpenPage>
}

export const make = (): PageOrder => ({ next: 1, brokenFrom: Number.POSITIVE_INFINITY, open: new Map() })

const openPage = ({ open }: PageOrder, page: number): OpenPage => {
  const found = open.get(page) ?? { listed: undefined, ended: 0, gone: new Set() }
  open.set(page, found)
  return found
}

export const addPage = (order: PageOrder, page: PageListed): void => {
  openPage(order, page.page).listed = page
}

/** Returns true for an item that the source refused. An item that is not ready is not lost. */
const isLost = (event: Fetched | NotFetched): boolean =>
  event._tag === "NotFetched" && event.outcome === "deferred" && event.reason !== "Unsettled"

/** Adds the end of a page's item. An item that the slice did not reach never ends. */
export const addItem = (order: PageOrder, event: Fetched | NotFetched): void => {
  if (event.page === undefined) return
  const page = openPage(order, event.page)
  page.ended += 1
  if (event._tag === "NotFetched" && event.outcome === "gone") page.gone.add(event.externalId)
  if (isLost(event)) order.brokenFrom = Math.min(order.brokenFrom, event.page)
}

/**
 * Returns the end of the next page and advances, or returns undefined if that page can't end yet. `isIn` returns true
 * for an occurrence that is committed or in the open batch. Ids that were gone when they were downloaded are removed
 * from `seen`, because a seen id is unstaged.
 */
export const takeNext = (order: PageOrder, isIn: (flight: Flight) => boolean): PageEnd | undefined => {
  const page = order.open.get(order.next)
  if (page?.listed === undefined || order.next >= order.brokenFrom) return undefined
  const { downloads, end, waitsFor } = page.listed
  if (page.ended < downloads || !waitsFor.every(isIn)) return undefined
  order.open.delete(order.next)
  order.next += 1
  return page.gone.size === 0 ? end : { ...end, seen: end.seen.filter((externalId) => !page.gone.has(externalId)) }
}
