/** Formats values as text: one line each, aligned, without control characters from outside. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import { oneLine } from "../engine/SafeText.ts"
import { counted, quoted, shellWord, short, units } from "../engine/MessageText.ts"

export { oneLine, quoted, shellWord, short }

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })
// oxlint-disable-next-line no-control-regex
const colour = /\u001b\[[0-9;]*m/g
const wide = /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u

/** The number of terminal columns of the text. */
const width = (text: string): number => {
  const plain = text.replace(colour, "")
  if (/^[\u0020-\u007e]*$/.test(plain)) return plain.length
  return [...segmenter.segment(plain)].reduce((sum, { segment }) => sum + (wide.test(segment) ? 2 : 1), 0)
}

/** Rows in columns, two spaces apart. Columns named in `right` are aligned to the right. */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  options?: { readonly right?: ReadonlyArray<string> | undefined; readonly style?: (text: string) => string }
): string => {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ""))))
  const right = header.map((name) => options?.right?.includes(name) === true)
  const line = (cells: ReadonlyArray<string>) =>
    header
      .map((_, column) => {
        const cell = cells[column] ?? ""
        const padding = " ".repeat((widths[column] ?? 0) - width(cell))
        return right[column] === true ? padding + cell : cell + padding
      })
      .join("  ")
      .trimEnd()
  return [(options?.style ?? ((text) => text))(line(header)), ...rows.map(line)].join("\n")
}

/** Names and values, one pair a line. */
export const fields = (entries: ReadonlyArray<readonly [string, string]>): string => {
  const longest = Math.max(...entries.map(([name]) => name.length))
  return entries.map(([name, value]) => `${name.padEnd(longest)}  ${value}`.trimEnd()).join("\n")
}

/** A duration in its largest unit ("3 hours", "less than a second"). */
export const about = (input: Duration.Duration): string => {
  const millis = Duration.toMillis(input)
  const found = units.find(([, length]) => millis >= length * 0.95 && length >= 1000)
  return found === undefined ? "less than a second" : counted(Math.max(1, Math.round(millis / found[1])), found[0])
}

/** How long ago or until then, and when in UTC. */
export const moment = (at: DateTime.Utc, now: DateTime.Utc): string => {
  const millis = DateTime.toEpochMillis(at) - DateTime.toEpochMillis(now)
  const distance = about(Duration.millis(Math.abs(millis)))
  const iso = DateTime.formatIso(at).slice(0, 16).replace("T", " ")
  return `${millis > 0 ? `in ${distance}` : `${distance} ago`} (${iso} UTC)`
}

/** The time of a poll; "now" if it is due. */
export const upcoming = (at: DateTime.Utc, now: DateTime.Utc): string =>
  DateTime.isGreaterThan(at, now) ? moment(at, now) : "due now"

/** A size in bytes, in powers of 1,024. */
export const bytes = (size: number): string => {
  const power = Math.min(4, Math.floor(Math.log2(Math.max(1, size)) / 10))
  const value = size / 1024 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`
}

/** With thousands apart. */
export const count = (value: number): string => value.toLocaleString("en-US")

/** "1 message", "2,000 messages". */
export const many = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`
