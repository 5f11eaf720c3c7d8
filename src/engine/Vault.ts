/** Seals credentials before a store sees them. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Sealed bytes that this key can't open: another key sealed them, or they were changed. */
export class VaultError extends Schema.TaggedError<VaultError>()("VaultError", { message: Schema.String }) {}

export class Vault extends Context.Service<
  Vault,
  {
    /** AES-256-GCM with a fresh nonce; `context` (the purpose) must be given again to unseal. */
    readonly seal: (secret: Schema.Json, context: string) => Effect.Effect<Uint8Array>
    readonly unseal: (sealed: Uint8Array, context: string) => Effect.Effect<Schema.Json, VaultError>
  }
>()("idem/engine/Vault") {}
