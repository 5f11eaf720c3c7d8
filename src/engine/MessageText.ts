/** Names, durations, defects and suggestions in messages. */
import * as Duration from "effect/Duration"
import { oneLine } from "./SafeText.ts"

/** Returns the text on one line, shortened to this number of characters. */
export const short = (text: string, characters = 60): string => {
  const head = Array.from(text.slice(0, characters * 2 + 2))
  return head.length > characters ? `${oneLine(head.slice(0, characters - 1).join(""))}…` : oneLine(text)
}

/** Quotes a name or an id for a message: shortened, on one line, in double quotes. */
export const quoted = (text: string): string => `"${short(text)}"`

/** Quotes the text as one word of a shell command. */
export const shellWord = (text: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/** Units of time in milliseconds, the longest first. */
export const units = [
  ["week", 604_800_000],
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
  ["milli", 1]
] as const

export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

/** The duration in the form that Effect parses, in the largest unit that divides it ("90 seconds", "5 minutes"). */
export const duration = (input: Duration.Duration): string => {
  const millis = Math.round(Duration.toMillis(input))
  const [unit, size] = units.find(([, length]) => millis % length === 0 && millis >= length) ?? ["milli", 1]
  return counted(millis / size, unit)
}

// The Levenshtein distance.
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

/** Returns the most similar name, or undefined if none is similar enough. */
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

/** A frame of a stack: the last two names of the file's path, and the line. */
const frame = /([^\s(/\\]+[/\\][^\s(/\\]+:\d+):\d+\)?$/

/** Returns the first stack frame outside of libraries and Node, as `notes/Session.ts:41`. */
const place = (stack: string): string | undefined => {
  const frames = stack.split("\n").filter((line) => line.startsWith("    at ") && frame.test(line))
  const own = frames.find((line) => !/[/\\]node_modules[/\\]|\bnode:/.test(line)) ?? frames[0]
  return own?.match(frame)?.[1]
}

/**
 * Describes a defect for people: its class, and the line of code that threw it. Its text may hold a secret, so it is
 * only logged.
 */
export const defect = (cause: unknown): string => {
  if (!(cause instanceof Error)) return `a ${cause === null ? "null" : typeof cause}`
  const at = place(cause.stack ?? "")
  return short(cause.name, 40) + (at === undefined ? "" : ` at ${short(at, 100)}`)
}
