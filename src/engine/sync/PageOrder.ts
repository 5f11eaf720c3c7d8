/**
 * The order in which pages end: as they were listed, each once all its items have an outcome. Once a page has lost an
 * item, neither it nor any later page ends in this slice: a checkpoint never skips an item.
 */
import type { PageEnd } from "../model/Batch.ts"
import type { Flight } from "./InFlight.ts"
import type { Fetched, Missed, PageListed } from "./SliceEvent.ts"

/** A page that has not ended. */
interface OpenPage {
  /** Undefined until its own event has come: events of its items may come first. */
  listed: PageListed | undefined
  /** How many of its items have ended. */
  ended: number
  /** Its ids that were gone when they were downloaded. */
  readonly gone: Set<string>
}

/** The pages of a slice, numbered from 1. Only the committing fiber changes it. */
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

/** True for an item that the source refused. An item that is not ready is not lost. */
const isLost = (event: Fetched | Missed): boolean =>
  event._tag === "Missed" && event.outcome === "deferred" && event.reason !== "Unsettled"

/** Adds the end of an item of a page. An item that the slice did not reach never ends. */
export const addItem = (order: PageOrder, event: Fetched | Missed): void => {
  if (event.page === undefined) return
  const page = openPage(order, event.page)
  page.ended += 1
  if (event._tag === "Missed" && event.outcome === "gone") page.gone.add(event.externalId)
  if (isLost(event)) order.brokenFrom = Math.min(order.brokenFrom, event.page)
}

/**
 * Takes the end of the next page, if that page can end. `isIn` returns true for an occurrence that is committed, or in
 * the open batch. Ids that were gone when they were downloaded are removed from `seen`, because seeing an id takes its
 * deletion back.
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
