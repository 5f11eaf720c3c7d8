/** JSON merge patches (RFC 7396). They are the only way to change stored metadata without a body. */
import type * as Schema from "effect/Schema"
import type { Metadata } from "../contract/Content.ts"

const isObject = (value: Schema.Json | undefined): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * Returns the target with the patch merged in: null removes a name, an object is merged by name, any other value
 * replaces.
 */
export const merge = (target: Schema.Json | undefined, patch: Schema.JsonObject): Metadata => {
  const merged = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name)
    else merged.set(name, isObject(value) ? merge(merged.get(name), value) : value)
  }
  // `fromEntries` defines own properties, so a name such as `__proto__` is treated as data.
  return Object.fromEntries(merged)
}
