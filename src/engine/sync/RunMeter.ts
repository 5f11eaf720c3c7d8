/** What one run has spent, and when it last moved. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export interface Meter {
  apiCalls: number
  quotaUnits: number
  checkerQueries: number
  downloads: number
  /** Milliseconds since the epoch at which something last moved: a call, bytes of a body, a commit. */
  movedAt: number
  /** Until when the run may wait for quota; later it yields instead. */
  waitUntil: number
  /** Our own budget would have had the run wait beyond that, by so many milliseconds from then: the slice is over. */
  exhausted: number | undefined
}

export const make: Effect.Effect<Meter> = Effect.map(Clock.currentTimeMillis, (now) => ({
  apiCalls: 0,
  quotaUnits: 0,
  checkerQueries: 0,
  downloads: 0,
  movedAt: now,
  waitUntil: Number.POSITIVE_INFINITY,
  exhausted: undefined
}))

/** Says that the run moves. */
export const touch = (meter: Meter): Effect.Effect<void> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    meter.movedAt = now
  })

/** What a run has spent on its source and on the checker. */
export type Spent = Pick<Meter, "apiCalls" | "quotaUnits" | "checkerQueries" | "downloads">

export const nothing: Spent = { apiCalls: 0, quotaUnits: 0, checkerQueries: 0, downloads: 0 }

export const spent = ({ apiCalls, checkerQueries, downloads, quotaUnits }: Meter): Spent => ({
  apiCalls,
  checkerQueries,
  downloads,
  quotaUnits
})

export const since = (now: Spent, before: Spent): Spent => ({
  apiCalls: now.apiCalls - before.apiCalls,
  checkerQueries: now.checkerQueries - before.checkerQueries,
  downloads: now.downloads - before.downloads,
  quotaUnits: now.quotaUnits - before.quotaUnits
})
