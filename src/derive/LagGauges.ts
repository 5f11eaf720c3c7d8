/** Gauges of how far derived data is behind, added to those of the store (see `Gauges`). */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AdditionalGauges } from "../engine/telemetry/Gauges.ts"
import { Deriver } from "./Deriver.ts"
import type { Lag } from "./Lag.ts"

const samplesOf = ({ behind, seconds, unindexed, unread }: Lag) => {
  const samples = [
    ["idem_derive_lag_seconds", "Age of the oldest change that the schema mirror does not have yet.", seconds],
    ["idem_derive_behind_changes", "Changes that the schema mirror does not have yet, up to 10,000.", behind],
    ["idem_derive_unread_contents", "Contents whose text is not extracted yet, up to 10,000.", unread],
    [
      "idem_derive_unindexed_contents",
      "Contents whose present state search does not find yet, up to 10,000.",
      unindexed
    ]
  ] as const
  return samples.map(([name, description, value]) => ({ name, description, attributes: {}, value }))
}

export const layer: Layer.Layer<never> = Layer.effect(
  AdditionalGauges,
  Effect.map(Deriver, ({ lag }) => Effect.map(lag(), samplesOf))
)
