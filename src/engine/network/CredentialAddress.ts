/** The address that credentials are sent to: the config fields that `Definition.address` names. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Integration } from "../../contract/Integration.ts"

/**
 * The address of a stored config. One that no longer fits has none that is known: only the provider's own is safe then.
 */
export const of = (integration: Integration, config: Schema.Json): Effect.Effect<Schema.JsonObject> =>
  Effect.orElseSucceed(
    Effect.map(integration.decodeConfig(config), ({ address }) => address),
    () => ({})
  )

/** The fields that differ; an absent one equals only an absent one. */
export const changed = (one: Schema.JsonObject, other: Schema.JsonObject): ReadonlyArray<string> =>
  [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(
    (name) => JSON.stringify(one[name]) !== JSON.stringify(other[name])
  )

/** True for the provider's own address: the config names no other. */
export const isOwn = (address: Schema.JsonObject): boolean => Object.keys(address).length === 0
