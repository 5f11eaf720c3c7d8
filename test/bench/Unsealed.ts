/** A vault that seals nothing: what it costs is no part of what is measured. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import { Vault } from "../../src/engine/secrets/Vault.ts"

export const layer = Layer.succeed(
  Vault,
  Vault.of({
    seal: (secret) => Effect.sync(() => new TextEncoder().encode(JSON.stringify(secret))),
    unseal: (sealed) => Effect.sync(() => JSON.parse(new TextDecoder().decode(sealed)) as Schema.Json),
    keys: Effect.succeed({ current: "none", former: [] })
  })
)
