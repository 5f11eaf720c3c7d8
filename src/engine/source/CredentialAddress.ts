/** Where credentials are sent to, by the fields of a config that say so (`Definition.address`). */
import type * as Schema from "effect/Schema"

/** The fields that differ; an absent one equals only an absent one. */
export const changed = (one: Schema.JsonObject, other: Schema.JsonObject): ReadonlyArray<string> =>
  [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(
    (name) => JSON.stringify(one[name]) !== JSON.stringify(other[name])
  )

/** The provider's own address: no config has named another. */
export const isOwn = (address: Schema.JsonObject): boolean => Object.keys(address).length === 0
