/** The store of sealed secrets, retired keys and pending sign-ins. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { StoreError } from "./StoreError.ts"

/**
 * A sealed value and its place. `id` is unique within its kind: the id of a connection or a webhook, or the state hash
 * of a sign-in. `subject` names the owner of credentials; it is null for other kinds.
 */
export interface Sealed {
  readonly kind: "connection" | "sign-in" | "webhook"
  readonly id: string
  readonly subject: { readonly name: string; readonly domain: string; readonly account: string } | null
  readonly sealed: Uint8Array
}

export class SecretStore extends Context.Service<
  SecretStore,
  {
    /**
     * Returns secrets sealed with a key other than this one (see `Vault.keyIdOf`), ordered by kind and id, after
     * `after`.
     */
    readonly sealedByOtherKeys: (
      keyId: string,
      options: { readonly after?: Pick<Sealed, "kind" | "id"> | undefined; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<Sealed>, StoreError>
    /**
     * Stores `next` if `before` is still stored, even while a run holds the connection. Returns false if the secret
     * changed or does not exist.
     */
    readonly replaceSealed: (
      place: Pick<Sealed, "kind" | "id">,
      before: Uint8Array,
      next: Uint8Array
    ) => Effect.Effect<boolean, StoreError>
    /**
     * Retires a key: from then on, storing a secret sealed with it fails with `StoreError` in every process. Returns
     * false, and changes nothing, if a secret is still sealed with it.
     */
    readonly retireKey: (keyId: string) => Effect.Effect<boolean, StoreError>
    /** Reverts `retireKey`, when a former key becomes the current key again. */
    readonly admitKey: (keyId: string) => Effect.Effect<void, StoreError>
    /**
     * Stores a pending sign-in under the hash (hex) of its state, for `ttl`. Removes the oldest ones beyond `atMost`.
     */
    readonly putSignIn: (signIn: {
      readonly stateHash: string
      readonly sealed: Uint8Array
      readonly ttl: Duration.Duration
      readonly atMost: number
    }) => Effect.Effect<void, StoreError>
    /** Removes and returns the pending sign-in. Returns `Option.none` if it expired or does not exist. */
    readonly takeSignIn: (stateHash: string) => Effect.Effect<Option.Option<Uint8Array>, StoreError>
  }
>()("idem/engine/store/SecretStore") {}
