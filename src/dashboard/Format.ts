/** Formats numbers, sizes and times. */
import * as ByteSize from "effect/ByteSize"

const number = new Intl.NumberFormat("en")
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 })

export const count = (value: number): string => number.format(value)

/** Formats a number briefly, for axes: `12K`. */
export const short = (value: number): string => compact.format(value)

/** Formats a number with its noun: `1 message`, `2 messages`. */
export const many = (value: number, one: string, more = `${one}s`): string =>
  `${number.format(value)} ${value === 1 ? one : more}`

/** Formats a size in bytes, in powers of 1,024 (`1.5 KiB`), like the command line. */
export const bytes = (size: number): string => ByteSize.format(ByteSize.bytes(size), { precision: 1 })

/** Formats milliseconds as `1 min 20 s`. */
export const duration = (milliseconds: number): string => {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} days`
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" })

/** Formats the distance from now: `5 minutes ago`, `in 20 seconds`. */
export const ago = (time: string, now: number): string => {
  const seconds = Math.round((Date.parse(time) - now) / 1000)
  const size = Math.abs(seconds)
  if (size < 5) return seconds > 0 ? "in a moment" : "just now"
  if (size < 60) return relative.format(seconds, "second")
  if (size < 3600) return relative.format(Math.trunc(seconds / 60), "minute")
  if (size < 48 * 3600) return relative.format(Math.trunc(seconds / 3600), "hour")
  return relative.format(Math.trunc(seconds / 86400), "day")
}

const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" })
const withSeconds = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "long" })

/** Formats a time in the browser's time zone. */
export const time = (iso: string): string => dateAndTime.format(new Date(iso))
export const timeInFull = (iso: string): string => withSeconds.format(new Date(iso))
