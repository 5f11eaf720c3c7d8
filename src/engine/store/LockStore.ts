/** The store of named locks with an expiry, each held by one process. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { StoreError } from "./StoreError.ts"

export class LockStore extends Context.Service<
  LockStore,
  {
    /**
     * Acquires a named lock, or extends it if this holder has it, to `ttl` from now. Returns `Option.none` on success,
     * or else the holder. `deadHolder` is a holder known to be dead, whose lock is free.
     */
    readonly takeLock: (
      name: string,
      options: { readonly holder: string; readonly ttl: Duration.Duration; readonly deadHolder?: string | undefined }
    ) => Effect.Effect<Option.Option<string>, StoreError>
    readonly releaseLock: (name: string, holder: string) => Effect.Effect<void, StoreError>
  }
>()("idem/engine/store/LockStore") {}
