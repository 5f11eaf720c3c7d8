/**
 * Makes values of a source storable: PostgreSQL's text can't contain NUL or lone surrogates. Both stores use this
 * module, so that they store the same values. Bodies are bytes and are not changed.
 */
import * as DateTime from "effect/DateTime"
import type * as Schema from "effect/Schema"
import { maxTitleLength, type Metadata } from "../contract/Content.ts"
import type { Problem } from "../contract/Page.ts"
import type { Problems } from "../engine/model/Connection.ts"
import type { Item } from "../engine/model/Batch.ts"

/** Replaces NUL and lone surrogates by U+FFFD. */
export const text = (value: string): string =>
  value.includes("\0") ? value.toWellFormed().replaceAll("\0", "\uFFFD") : value.toWellFormed()

export const textOrNull = (value: string | null): string | null => (value === null ? null : text(value))

export const problem = ({ message, place }: Problem): Problem => ({ place: text(place), message: text(message) })

export const problems = ({ current, found }: Problems): Problems => ({
  current: current.map(problem),
  found: found.map(problem)
})

/** Returns true if an id can be stored. Other ids match no row, and are left out of queries. */
export const isId = (id: string): boolean => !id.includes("\0") && id.isWellFormed()

const lastCodePoint = 0x10ffff

/**
 * Returns the first text, in the order of code points, after all texts that begin with the prefix. With it, an index
 * range is read from the prefix to its end. Returns undefined if no text comes after them.
 */
export const afterPrefix = (prefix: string): string | undefined => {
  const points = [...prefix]
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = last.codePointAt(0) ?? 0
    if (point === lastCodePoint) continue
    // Surrogates are not code points.
    return points.join("") + String.fromCodePoint(point === 0xd7ff ? 0xe000 : point + 1)
  }
  return undefined
}

/**
 * Deeper values are stored as their JSON text: PostgreSQL refuses values that are too deep for its stack, and the batch
 * with them.
 */
const maxDepth = 200

const json = (value: Schema.Json, depth: number): Schema.Json => {
  if (typeof value === "string") return text(value)
  // JSON has no negative zero, no NaN and no infinities.
  if (typeof value === "number") return Number.isFinite(value) ? value + 0 : null
  if (typeof value !== "object" || value === null) return value
  if (depth === maxDepth) return text(JSON.stringify(value))
  if (Array.isArray(value)) return value.map((element: Schema.Json) => json(element, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [text(name), json(inner, depth + 1)]))
}

/** Returns metadata in the form in which it is stored. */
export const metadata = (value: Metadata): Metadata =>
  Object.fromEntries(Object.entries(value).map(([name, inner]) => [text(name), json(inner, 1)]))

/** Returns a text that is equal for equal JSON values, whatever the order of their names. */
export const canonical = (value: Schema.Json): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`).join()}}`
}

// Emails have dates of any year. Years beyond four digits are errors of the sender, and PostgreSQL refuses years above
// 294276.
const firstDate = -62_135_596_800_000
const lastDate = 253_402_300_799_999

const date = (value: DateTime.Utc | undefined): DateTime.Utc | undefined => {
  if (value === undefined) return undefined
  const at = DateTime.toEpochMillis(value)
  return at >= firstDate && at <= lastDate ? value : undefined
}

/** Returns an item in the form in which it is stored. */
export const item = (given: Item): Item => ({
  ...given,
  revision: given.revision === undefined ? undefined : text(given.revision),
  kind: text(given.kind),
  title: given.title === undefined ? undefined : text(given.title.slice(0, maxTitleLength)),
  occurredAt: date(given.occurredAt),
  mediaType: given.mediaType === undefined ? undefined : text(given.mediaType),
  metadata: metadata(given.metadata),
  volatile: metadata(given.volatile),
  bodyKey: given.bodyKey === undefined ? undefined : text(given.bodyKey)
})

/** Returns the size of an item's body in bytes. */
export const sizeOf = (given: Item): number =>
  given.body._tag === "Inline" ? given.body.bytes.byteLength : given.body.size
