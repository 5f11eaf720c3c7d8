/** Writes JSON bodies with the names of each object sorted, so that equal objects have the same bytes. */
import { createHash } from "node:crypto"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

export const digest = (data: string | Uint8Array): string =>
  createHash("sha256").update(data).digest("base64url").slice(0, 16)

const inOrder = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inOrder)
  if (!Predicate.isObject(value)) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, inner]) => [name, inOrder(inner)]))
}

/** Returns JSON with the names of each object sorted. */
const canonical = (value: unknown): string => JSON.stringify(inOrder(value))

const encoder = new TextEncoder()
export const json = (value: unknown): Uint8Array => encoder.encode(canonical(value))

const decodeMetadata = Schema.decodeUnknownSync(Schema.Record(Schema.String, Schema.Json))

/** Splits a value into the object without the named fields, and those fields. */
export const split = (value: object, names: ReadonlySet<string>) => {
  const entries = Object.entries(value)
  return {
    body: json(Object.fromEntries(entries.filter(([name]) => !names.has(name)))),
    volatile: decodeMetadata(Object.fromEntries(entries.filter(([name]) => names.has(name))))
  }
}
