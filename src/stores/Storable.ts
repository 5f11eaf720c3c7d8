/**
 * Makes values of a source storable: PostgreSQL's text has no NUL and no lone surrogates. Both stores use this, so that
 * both keep the same. Bodies are bytes and never pass through here.
 */
import * as DateTime from "effect/DateTime"
import type * as Schema from "effect/Schema"
import { maxTitleLength, type Metadata } from "../contract/Content.ts"
import type { Problem } from "../contract/Page.ts"
import type { Problems } from "../engine/model/Connection.ts"
import type { Item } from "../engine/model/Batch.ts"

/** Text with NUL and lone surrogates replaced by U+FFFD. */
export const text = (value: string): string =>
  value.includes("\0") ? value.toWellFormed().replaceAll("\0", "\uFFFD") : value.toWellFormed()

export const problem = ({ message, place }: Problem): Problem => ({ place: text(place), message: text(message) })

export const problems = ({ current, found }: Problems): Problems => ({
  current: current.map(problem),
  found: found.map(problem)
})

/** True for an id that can be in a store at all: others match nothing, and are left out of queries. */
export const isId = (id: string): boolean => !id.includes("\0") && id.isWellFormed()

const lastCodePoint = 0x10ffff

/**
 * The first text, in the order of code points, after all that begin with the prefix: with it, an index is read from the
 * prefix to the end of its range. Undefined if no text comes after them.
 */
export const afterPrefix = (prefix: string): string | undefined => {
  const points = [...prefix]
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = last.codePointAt(0) ?? 0
    if (point === lastCodePoint) continue
    // Surrogates are no code points of their own.
    return points.join("") + String.fromCodePoint(point === 0xd7ff ? 0xe000 : point + 1)
  }
  return undefined
}

/**
 * Deeper values are stored as their JSON text: PostgreSQL refuses values that its stack cannot parse, and the batch
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

/** Metadata as it is kept. */
export const metadata = (value: Metadata): Metadata =>
  Object.fromEntries(Object.entries(value).map(([name, inner]) => [text(name), json(inner, 1)]))

/** Equal for values that are equal as JSON, whatever the order of their names. */
export const canonical = (value: Schema.Json): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`).join()}}`
}

// Mail has dates of any year; beyond four digits they are typing errors, and beyond 294276 PostgreSQL refuses them.
const firstDate = -62_135_596_800_000
const lastDate = 253_402_300_799_999

const date = (value: DateTime.Utc | undefined): DateTime.Utc | undefined => {
  if (value === undefined) return undefined
  const at = DateTime.toEpochMillis(value)
  return at >= firstDate && at <= lastDate ? value : undefined
}

/** An item as it is kept. */
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

/** The number of bytes of an item's body. */
export const sizeOf = (given: Item): number =>
  given.body._tag === "Inline" ? given.body.bytes.byteLength : given.body.size
