/** The store of browser sessions that were signed out before they expired. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { StoreError } from "./StoreError.ts"

export class SessionStore extends Context.Service<
  SessionStore,
  {
    /**
     * Records that the session with this SHA-256 was signed out. The record is kept for `ttl`, the remaining lifetime
     * of the session.
     */
    readonly endSession: (hash: string, ttl: Duration.Duration) => Effect.Effect<void, StoreError>
    readonly isSessionEnded: (hash: string) => Effect.Effect<boolean, StoreError>
  }
>()("idem/engine/store/SessionStore") {}
