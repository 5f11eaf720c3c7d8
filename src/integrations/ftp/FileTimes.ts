/**
 * The size and the modification time of a file: its revision, whether it is in a window, and whether it has changed.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type * as SyncTask from "../../contract/SyncTask.ts"
import * as Remote from "./Remote.ts"

/**
 * How long before its listing a file must have changed to be sure that no later change followed within the same second;
 * and how far a server's clock may be ahead.
 */
const recentMillis = 2_000
export const clockAheadMillis = 3_600_000

/**
 * Returns the revision to store. If a file was changed just before it was listed, its revision gets a mark that equals
 * no later revision, so that the next poll downloads the file again.
 */
export const storedRevision = (stat: Remote.Stat, listedAt: number): string | undefined => {
  const revision = Remote.revisionOf(stat)
  const time = Option.getOrUndefined(Option.map(instant(stat.modified), DateTime.toEpochMillis))
  if (revision === undefined || time === undefined) return revision
  const isRecent = time >= listedAt - recentMillis && time <= listedAt + clockAheadMillis
  return isRecent ? `${revision} recent` : revision
}

export const instant = (modified: string | undefined): Option.Option<DateTime.Utc> =>
  modified === undefined ? Option.none() : Option.map(DateTime.make(modified), DateTime.toUtc)

/**
 * Returns true if the time is in the window. A file without a known time is in every window, so that no file is left
 * out by a guess.
 */
export const isInWindow = (window: SyncTask.Window | undefined, modified: string | undefined): boolean => {
  if (window === undefined) return true
  const time = Option.getOrUndefined(instant(modified))
  if (time === undefined) return true
  return (
    (window.since === undefined || DateTime.isGreaterThanOrEqualTo(time, window.since)) &&
    (window.until === undefined || DateTime.isLessThan(time, window.until))
  )
}

/** Returns true if both values are known and differ. An unknown value does not count as a change. */
export const differ = (a: string | number | undefined, b: string | number | undefined): boolean =>
  a !== undefined && b !== undefined && a !== b

export const isChanged = (a: Remote.Stat, b: Remote.Stat): boolean =>
  differ(a.size, b.size) || differ(a.modified, b.modified)
