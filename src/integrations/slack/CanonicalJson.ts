/** JSON as bodies have it: with the names of each object in order, so that equal objects give the same bytes. */
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

/** JSON with the names of each object in order. */
const canonical = (value: unknown): string => JSON.stringify(inOrder(value))

const encoder = new TextEncoder()
export const json = (value: unknown): Uint8Array => encoder.encode(canonical(value))

const decodeMetadata = Schema.decodeUnknownSync(Schema.Record(Schema.String, Schema.Json))

/** The value without the fields named, and those fields. */
export const split = (value: object, names: ReadonlySet<string>) => {
  const entries = Object.entries(value)
  return {
    body: json(Object.fromEntries(entries.filter(([name]) => !names.has(name)))),
    volatile: decodeMetadata(Object.fromEntries(entries.filter(([name]) => names.has(name))))
  }
}
