/** The open batch. Only the committing fiber changes it, until its commit begins. */
import type { Problem } from "../../contract/Page.ts"
import { maxParts } from "../../contract/Parts.ts"
import type { Item, PageEnd } from "../model/Batch.ts"
import * as RunCounts from "../model/RunCounts.ts"
import type { Flight } from "./InFlight.ts"
import type { Fetched, NotFetched, PageListed } from "./SliceEvent.ts"

/**
 * A batch is changed in place: it holds up to 1,000 items, and copying it for each item would cost more than the rest.
 */
export interface OpenBatch {
  readonly items: Array<Item>
  /** The ids that a page listed, of `items` and `notFetched`. */
  readonly listed: Array<string>
  readonly notFetched: Array<NotFetched>
  /** The occurrences in the batch. */
  readonly flights: Set<Flight>
  readonly counts: RunCounts.Tally
  readonly problems: Array<Problem>
  end: PageEnd | undefined
  /** The sum of `Fetched.batchBytes`. */
  bytes: number
  /** When the first event was added, by `RunMeter.monotonicMillis`. */
  since: number | undefined
}

export const make = (): OpenBatch => ({
  items: [],
  listed: [],
  notFetched: [],
  flights: new Set(),
  counts: RunCounts.tally(),
  problems: [],
  end: undefined,
  bytes: 0,
  since: undefined
})

/** Adds an item, fetched or not, with its problem if it has one. */
export const addOccurrence = (
  batch: OpenBatch,
  event: Fetched | NotFetched,
  found: ReadonlyArray<Problem>,
  now: number
): void => {
  const externalId = event._tag === "Fetched" ? event.item.externalId : event.externalId
  if (event._tag === "Fetched") {
    batch.items.push(event.item)
    batch.bytes += event.batchBytes
  } else {
    batch.notFetched.push(event)
  }
  if (event.origin === "listed") batch.listed.push(externalId)
  batch.flights.add(event.flight)
  batch.counts[event.origin] += 1
  batch.problems.push(...found)
  batch.since ??= now
}

/** Adds the counts of a page that need no download. `problems` are the problems of the page that the run keeps. */
export const addPage = (batch: OpenBatch, page: PageListed, problems: ReadonlyArray<Problem>, now: number): void => {
  batch.counts.listed += page.existing + page.unusable.length
  batch.counts.existing += page.existing
  batch.counts.failed += page.unusable.length
  batch.problems.push(...problems)
  batch.since ??= now
}

/** Adds the end of a page, and joins it with the ends of earlier pages. */
export const addEnd = (batch: OpenBatch, end: PageEnd, now: number): void => {
  batch.end = batch.end === undefined ? end : together(batch.end, end)
  batch.since ??= now
}

/** Joins the ends of two pages: the later checkpoint, with the seen ids and moved parts of both. */
const together = (before: PageEnd, end: PageEnd): PageEnd => {
  const seen = [...before.seen, ...end.seen]
  if (end.forgetsParts) return { ...end, seen }
  const parts = new Map([...before.parts, ...end.parts].map((move) => [move.key, move]))
  return { ...end, seen, parts: [...parts.values()], forgetsParts: before.forgetsParts }
}

/** Turns transient failures into deferrals while the source is down, so that they cost the items no attempt. */
export const withoutAttempts = (batch: OpenBatch): OpenBatch => ({
  ...batch,
  notFetched: batch.notFetched.map((event) =>
    event.outcome === "failed" && event.reason === "Transient" ? { ...event, outcome: "deferred" } : event
  )
})

/** Counts the items that were not fetched, by outcome. */
export const outcomesOf = ({ notFetched }: OpenBatch): Record<NotFetched["outcome"], number> => {
  const of = { failed: 0, deferred: 0, gone: 0 }
  for (const { outcome } of notFetched) of[outcome] += 1
  return of
}

/** The most seen ids that one transaction marks. */
const seenAtOnce = 1000

/**
 * Returns true if the page's end must be committed before the next page's, because deletions, patches and coverage
 * depend on the order.
 */
export const endsNow = ({ end }: OpenBatch): boolean =>
  end !== undefined &&
  (end.deleted.length > 0 ||
    end.patches.length > 0 ||
    end.covers.length > 0 ||
    end.complete ||
    end.seen.length >= seenAtOnce ||
    end.parts.length >= maxParts)

/** Returns true if the batch has reached this number of items, or bytes of bodies. */
export const isFull = (batch: OpenBatch, atMost: { readonly items: number; readonly bytes: number }): boolean =>
  batch.items.length + batch.notFetched.length >= atMost.items || batch.bytes >= atMost.bytes

/** Returns true if the batch justifies a row for the run. */
export const isWorthARow = ({ end, items, notFetched, problems }: OpenBatch): boolean =>
  items.length > 0 ||
  notFetched.length > 0 ||
  problems.length > 0 ||
  (end !== undefined && (end.deleted.length > 0 || end.patches.length > 0))

/** Returns true if the batch changes nothing in the store, given that this checkpoint is already stored. */
export const isQuiet = (batch: OpenBatch, checkpoint: string | undefined): boolean =>
  !isWorthARow(batch) &&
  (batch.end === undefined ||
    (checkpointText(batch.end) === checkpoint &&
      batch.end.parts.length === 0 &&
      !batch.end.forgetsParts &&
      batch.end.covers.length === 0 &&
      !batch.end.complete &&
      batch.end.seen.length === 0))

/** Returns a checkpoint with its scope, as a text to compare. */
export const checkpointText = ({ checkpoint, scope }: Pick<PageEnd, "checkpoint" | "scope">): string =>
  `${scope} ${JSON.stringify(checkpoint)}`
