/** The address that credentials are sent to: the config fields that `Definition.address` names. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Integration } from "../../contract/Integration.ts"

/**
 * Returns the address of a stored config. If the config no longer fits the schema, returns the provider's own address
 * (empty), which is always safe.
 */
export const of = (integration: Integration, config: Schema.Json): Effect.Effect<Schema.JsonObject> =>
  Effect.orElseSucceed(
    Effect.map(integration.decodeConfig(config), ({ address }) => address),
    () => ({})
  )

/** Returns the names of the fields that differ. An absent field equals only an absent field. */
export const changed = (one: Schema.JsonObject, other: Schema.JsonObject): ReadonlyArray<string> =>
  [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(
    (name) => JSON.stringify(one[name]) !== JSON.stringify(other[name])
  )

/** Returns true if the config sets none of these fields, so that credentials go to the provider's own address. */
export const isOwn = (address: Schema.JsonObject): boolean => Object.keys(address).length === 0
