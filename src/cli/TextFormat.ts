/** Formats values as text: one line each, aligned, without control characters from outside. */
import * as ByteSize from "effect/ByteSize"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import { lines, oneLine } from "../engine/SafeText.ts"
import type { FeedHolder } from "../engine/model/Change.ts"
import { counted, quoted, shellWord, short, units } from "../engine/MessageText.ts"

export { lines, oneLine, quoted, shellWord, short }

/** Formats names and values, one pair a line. */
export const fields = (entries: ReadonlyArray<readonly [string, string]>): string => {
  const longest = Math.max(...entries.map(([name]) => name.length))
  return entries.map(([name, value]) => `${name.padEnd(longest)}  ${value}`.trimEnd()).join("\n")
}

/** Formats a duration in its largest unit ("3 hours", "less than a second"). */
export const about = (input: Duration.Duration): string => {
  const millis = Duration.toMillis(input)
  const found = units.find(([, length]) => millis >= length * 0.95 && length >= 1000)
  return found === undefined ? "less than a second" : counted(Math.max(1, Math.round(millis / found[1])), found[0])
}

/** Formats the date and the minute in UTC ("2026-01-31 09:30"). */
export const minute = (at: DateTime.Utc): string => DateTime.formatIso(at).slice(0, 16).replace("T", " ")

/** Formats the time from or until now. */
const distance = (at: DateTime.Utc, now: DateTime.Utc): string => {
  const millis = DateTime.toEpochMillis(at) - DateTime.toEpochMillis(now)
  const length = about(Duration.millis(Math.abs(millis)))
  return millis > 0 ? `in ${length}` : `${length} ago`
}

/** Formats the time from or until now, and the date in UTC. */
export const moment = (at: DateTime.Utc, now: DateTime.Utc): string => `${distance(at, now)} (${minute(at)} UTC)`

/** Formats the time until then; "due now" if it is past. */
export const dueIn = (at: DateTime.Utc, now: DateTime.Utc): string =>
  DateTime.isGreaterThan(at, now) ? distance(at, now) : "due now"

/** Formats the time until then, and the date in UTC; "due now" if it is past. */
export const upcoming = (at: DateTime.Utc, now: DateTime.Utc): string =>
  DateTime.isGreaterThan(at, now) ? moment(at, now) : "due now"

/** Formats a size in bytes, in powers of 1,024 ("1.5 KiB"), like the dashboard. */
export const bytes = (size: number): string => ByteSize.format(ByteSize.bytes(size), { precision: 1 })

/** Formats the author of a content and its channel; empty if neither is known. */
export const author = (row: { readonly from: string | null; readonly in: string | null }): string =>
  [row.from ?? "", row.in === null ? "" : `in ${row.in}`].filter((each) => each !== "").join(" ")

/** Formats a number with separated thousands. */
export const count = (value: number): string => value.toLocaleString("en-US")

/** "1 message", "2,000 messages". */
export const many = (value: number, noun: string, plural = `${noun}s`): string =>
  `${count(value)} ${value === 1 ? noun : plural}`

/** Describes the transaction that the feed waits for. */
export const feedHolder = ({ application, process }: FeedHolder): string => {
  const name = application === null || application === "" ? "" : ` of ${oneLine(application)}`
  return `a transaction${name}${process === null ? "" : ` (process ${process})`}`
}
