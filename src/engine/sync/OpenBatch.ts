/** The open batch. Only the committing fiber changes it, and only until its commit begins. */
import type { Problem } from "../../contract/Page.ts"
import { maxParts } from "../../contract/Parts.ts"
import type { Item, PageEnd } from "../model/Batch.ts"
import * as RunCounts from "../model/RunCounts.ts"
import * as BodyReader from "./BodyReader.ts"
import type { Flight } from "./InFlight.ts"
import type { Fetched, Missed, PageListed } from "./SliceEvent.ts"

/** A batch grows in place: it holds up to 1,000 items, and a copy for each of them would cost more than the rest. */
export interface OpenBatch {
  readonly items: Array<Item>
  /** The ids of the items and misses that a page listed. */
  readonly listed: Array<string>
  readonly misses: Array<Missed>
  /** The occurrences in it. */
  readonly flights: Set<Flight>
  readonly counts: RunCounts.Tally
  readonly problems: Array<Problem>
  end: PageEnd | undefined
  /** Bytes of bodies that it holds in memory. */
  bytes: number
  /** When the first event came in, by `RunMeter.monotonicMillis`. */
  since: number | undefined
}

export const make = (): OpenBatch => ({
  items: [],
  listed: [],
  misses: [],
  flights: new Set(),
  counts: RunCounts.tally(),
  problems: [],
  end: undefined,
  bytes: 0,
  since: undefined
})

/** Adds an item or a miss, and its problem if it has one. */
export const addOccurrence = (
  batch: OpenBatch,
  event: Fetched | Missed,
  found: ReadonlyArray<Problem>,
  now: number
): void => {
  const externalId = event._tag === "Fetched" ? event.item.externalId : event.externalId
  if (event._tag === "Fetched") {
    batch.items.push(event.item)
    batch.bytes += BodyReader.batchBytes(event.item)
  } else {
    batch.misses.push(event)
  }
  if (event.origin === "listed") batch.listed.push(externalId)
  batch.flights.add(event.flight)
  batch.counts[event.origin] += 1
  batch.problems.push(...found)
  batch.since ??= now
}

/** Adds what a page says before its items are in; `problems` are those of its problems that the run keeps. */
export const addPage = (batch: OpenBatch, page: PageListed, problems: ReadonlyArray<Problem>, now: number): void => {
  batch.counts.listed += page.existing + page.unusable.length
  batch.counts.existing += page.existing
  batch.counts.failed += page.unusable.length
  batch.problems.push(...problems)
  batch.since ??= now
}

/** Adds the end of a page, which joins that of the page before it. */
export const addEnd = (batch: OpenBatch, end: PageEnd, now: number): void => {
  batch.end = batch.end === undefined ? end : together(batch.end, end)
  batch.since ??= now
}

/** The end of several pages: the last one's, with what all of them saw and moved. */
const together = (before: PageEnd, end: PageEnd): PageEnd => {
  const seen = [...before.seen, ...end.seen]
  if (end.forgetsParts) return { ...end, seen }
  const parts = new Map([...before.parts, ...end.parts].map((move) => [move.key, move]))
  return { ...end, seen, parts: [...parts.values()], forgetsParts: before.forgetsParts }
}

/** Turns transient failures into deferrals while the source is down, so that they cost the items no attempt. */
export const withoutAttempts = (batch: OpenBatch): OpenBatch => ({
  ...batch,
  misses: batch.misses.map((miss) =>
    miss.outcome === "failed" && miss.reason === "Transient" ? { ...miss, outcome: "deferred" } : miss
  )
})

/** Counts the misses of a batch by outcome. */
export const missed = ({ misses }: OpenBatch): Record<Missed["outcome"], number> => {
  const of = { failed: 0, deferred: 0, gone: 0 }
  for (const { outcome } of misses) of[outcome] += 1
  return of
}

/** Seen ids that one transaction marks. */
const seenAtOnce = 1000

/** True if the page's end is committed before the next page's: deletions, patches and coverage are in order. */
export const endsNow = ({ end }: OpenBatch): boolean =>
  end !== undefined &&
  (end.deleted.length > 0 ||
    end.patches.length > 0 ||
    end.covers.length > 0 ||
    end.complete ||
    end.seen.length >= seenAtOnce ||
    end.parts.length >= maxParts)

/** True if it has reached this number of items, or bytes of bodies. */
export const isFull = (batch: OpenBatch, atMost: { readonly items: number; readonly bytes: number }): boolean =>
  batch.items.length + batch.misses.length >= atMost.items || batch.bytes >= atMost.bytes

/** True if the batch makes the run worth a row of its own. */
export const isWorthARow = ({ end, items, misses, problems }: OpenBatch): boolean =>
  items.length > 0 ||
  misses.length > 0 ||
  problems.length > 0 ||
  (end !== undefined && (end.deleted.length > 0 || end.patches.length > 0))

/** True if it changes nothing in the store, where this checkpoint is stored already. */
export const isQuiet = (batch: OpenBatch, checkpoint: string | undefined): boolean =>
  !isWorthARow(batch) &&
  (batch.end === undefined ||
    (checkpointText(batch.end) === checkpoint &&
      batch.end.parts.length === 0 &&
      !batch.end.forgetsParts &&
      batch.end.covers.length === 0 &&
      !batch.end.complete &&
      batch.end.seen.length === 0))

/** A checkpoint with its scope, as text to compare. */
export const checkpointText = ({ checkpoint, scope }: Pick<PageEnd, "checkpoint" | "scope">): string =>
  `${scope} ${JSON.stringify(checkpoint)}`
