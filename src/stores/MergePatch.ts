/** JSON merge patches (RFC 7396): the one way in which stored metadata changes without a body. */
import type * as Schema from "effect/Schema"
import type { Metadata } from "../contract/Content.ts"

const isObject = (value: Schema.Json | undefined): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The target with the patch merged in: null removes a name, an object merges by name, all else replaces. */
export const merge = (target: Schema.Json | undefined, patch: Schema.JsonObject): Metadata => {
  const merged = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name)
    else merged.set(name, isObject(value) ? merge(merged.get(name), value) : value)
  }
  // `fromEntries` defines own properties, so that a name like `__proto__` stays data.
  return Object.fromEntries(merged)
}
