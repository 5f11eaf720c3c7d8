/** How things are written for people: one line each, aligned, and never with a control character from outside. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import { oneLine } from "../engine/OneLine.ts"

export { oneLine }

/** At most so many characters of it, on one line. */
export const short = (text: string, characters = 60): string => {
  const head = Array.from(text.slice(0, characters * 2 + 2))
  return head.length > characters ? `${oneLine(head.slice(0, characters - 1).join(""))}…` : oneLine(text)
}

/** In double quotes, shortened, on one line: for names and ids in messages. */
export const quoted = (text: string): string => `"${short(text)}"`

/** As a shell takes it for one word. */
export const shellWord = (text: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })
// oxlint-disable-next-line no-control-regex
const colour = /\u001b\[[0-9;]*m/g
const wide = /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u

/** How many columns of a terminal it takes. */
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

/** Names and values under one another. */
export const fields = (entries: ReadonlyArray<readonly [string, string]>): string => {
  const longest = Math.max(...entries.map(([name]) => name.length))
  return entries.map(([name, value]) => `${name.padEnd(longest)}  ${value}`.trimEnd()).join("\n")
}

const units = [
  ["week", 604_800_000],
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
  ["milli", 1]
] as const

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

/** As Effect reads it: the largest unit that divides it ("90 seconds", "5 minutes"). */
export const duration = (input: Duration.Duration): string => {
  const millis = Math.round(Duration.toMillis(input))
  const [unit, size] = units.find(([, length]) => millis % length === 0 && millis >= length) ?? ["milli", 1]
  return counted(millis / size, unit)
}

/** About how long, in the largest unit ("3 hours", "less than a second"). */
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

/** When a poll comes: now, where its time has come. */
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

// Levenshtein's distance, by rows.
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, character] of Array.from(a).entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (character === b[j] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** The name most like this one, if any is near enough to be meant. */
export const nearest = (name: string, names: ReadonlyArray<string>): string | undefined => {
  const folded = name.slice(0, 100).toLowerCase()
  const ranked = names
    .map((candidate) => ({ candidate, cost: distance(folded, candidate.toLowerCase()) }))
    .toSorted((a, b) => a.cost - b.cost)
  const [best] = ranked
  return best !== undefined && best.cost <= (folded.length < 3 ? 1 : Math.max(2, Math.floor(folded.length / 3)))
    ? best.candidate
    : undefined
}
