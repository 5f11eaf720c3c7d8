/** A vault that seals nothing, for tests and benchmarks: secrets stay in the process, and need no key. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Vault, VaultError } from "../engine/secrets/Vault.ts"

const decode = Schema.decodeEffect(Schema.fromJsonString(Schema.Json))

export const layer = Layer.succeed(
  Vault,
  Vault.of({
    seal: (secret) => Effect.sync(() => new TextEncoder().encode(JSON.stringify(secret))),
    unseal: (sealed) =>
      Effect.mapError(
        decode(new TextDecoder().decode(sealed)),
        () => new VaultError({ message: "the credentials are sealed with another key" })
      ),
    keys: Effect.succeed({ current: "0011223344556677", former: [] })
  })
)
