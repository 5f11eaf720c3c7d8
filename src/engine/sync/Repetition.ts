/**
 * Delays the slices of a listing that repeats itself: its checkpoint returns to an earlier value, or changes only with
 * the clock, and each slice reports that there is more. At full speed such slices would spend an account's quota for
 * nothing. A backfill of known content is not slowed down, because each of its slices lists other pages.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import type { PageEnd } from "../model/Batch.ts"
import { Limits } from "../Limits.ts"
import type { PageFingerprint, SliceResult } from "./SliceResult.ts"

/**
 * How often a listing may list the same pages again: Slack's polls read the newest messages before and after the rest.
 */
const allowedTimes = 3

const longestDelay = Duration.minutes(1)

/** Bounds of the memory: the listings of a process, and the pages of one listing. Beyond them the oldest is removed. */
const maxListings = 1000
const maxPages = 20_000

export const fingerprintOf = (end: Pick<PageEnd, "checkpoint" | "parts" | "seen">): PageFingerprint => {
  const { checkpoint, parts, seen } = end
  const isEmpty = seen.length + parts.length === 0
  const content = isEmpty ? checkpoint : [seen, parts.map(({ key }) => key)]
  return { isEmpty, fingerprint: Hash.string(JSON.stringify(content)) }
}

/** Consecutive slices of one listing that stored nothing new. */
interface Streak {
  /** The fingerprints of the pages that they listed. */
  readonly pages: Set<number>
  /** How often each page was listed again, since a slice last listed a page that was new to the streak. */
  readonly again: Map<number, number>
  /** How many of the last slices listed only pages that were listed too often. */
  readonly repeats: number
}

/** The streaks, by connection or task. They are lost when the process restarts. */
const Streaks = Context.Reference<Map<string, Streak>>("idem/engine/sync/Repetition/Streaks", {
  defaultValue: () => new Map()
})

/** Returns true for a slice that stored and changed nothing, and left more to list. */
const isQuiet = ({ counts, error, hintedOnly, next }: SliceResult): boolean =>
  error === null &&
  next._tag === "More" &&
  !hintedOnly &&
  counts.stored + counts.updated + counts.patched + counts.deleted === 0

/**
 * Returns the result of a slice with a delay if it repeats earlier slices. `listing` is the id of its connection, or of
 * its task.
 */
export const delayIfRepeated = (listing: string, result: SliceResult): Effect.Effect<SliceResult> =>
  Effect.gen(function* () {
    const streaks = yield* Streaks
    const { repeatDelay } = yield* Limits
    const before = streaks.get(listing)
    streaks.delete(listing)
    if (!isQuiet(result)) return result
    const isNew = before === undefined || before.pages.size > maxPages
    const { again, pages } = isNew ? { again: new Map<number, number>(), pages: new Set<number>() } : before
    // Empty pages between others are ignored: their checkpoints may hold the time.
    const full = result.pages.filter(({ isEmpty }) => !isEmpty)
    const listed = (full.length > 0 ? full : result.pages).map(({ fingerprint }) => fingerprint)
    if (listed.some((page) => !pages.has(page))) again.clear()
    else for (const page of new Set(listed)) again.set(page, (again.get(page) ?? 0) + 1)
    const isRepeated = listed.length > 0 && listed.every((page) => (again.get(page) ?? 0) > allowedTimes)
    const repeats = isRepeated ? (before?.repeats ?? 0) + 1 : 0
    for (const page of listed) pages.add(page)
    streaks.set(listing, { again, pages, repeats })
    for (const oldest of streaks.keys()) {
      if (streaks.size <= maxListings) break
      streaks.delete(oldest)
    }
    if (repeats === 0) return result
    const delay = Duration.min(Duration.times(repeatDelay, 2 ** Math.min(repeats - 1, 10)), longestDelay)
    return { ...result, repeats, next: { _tag: "Wait", delay, askedWait: undefined, isRefusal: false } }
  })
