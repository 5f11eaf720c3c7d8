/** Bodies by their hash. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { ByteRange } from "../model/Content.ts"
import { StoreError } from "./StoreError.ts"

/**
 * The shortest time for which a body must be untouched before it is collected. A write touches a body only once an
 * hour, so a body in use could look untouched below this.
 */
export const shortestUntouched = Duration.hours(2)

/**
 * The store proves that it has no such body: a purge has removed it, or the database was restored without its bodies.
 * Any other `StoreError` says nothing of the body, which may be read later.
 */
export class BodyAbsent extends StoreError {
  readonly isAbsent = true
}

/** Fails because there is no such body. */
export const absent = (hash: string): BodyAbsent => {
  const message = `no body with the hash ${hash} is stored`
  return new BodyAbsent({ message, cause: message })
}

export class BodyStore extends Context.Service<
  BodyStore,
  {
    /**
     * Streams the bytes of a stored body by its hash in hex, or a range of them. `BodyAbsent` if no such body is
     * stored.
     */
    readonly body: (hash: string, range?: ByteRange) => Stream.Stream<Uint8Array, StoreError>
    /**
     * Stores a large body under its hash before a row names it. The stream is hashed as it is written; equal bytes are
     * stored once. An unfinished write leaves nothing readable.
     */
    readonly writeBlob: <E>(
      bytes: Stream.Stream<Uint8Array, E>
    ) => Effect.Effect<{ readonly hash: Uint8Array; readonly size: number }, StoreError | E>
    /**
     * Removes bodies that no content names and that were not touched for `untouchedFor` (at least two hours). Returns
     * their number. It is safe beside runs: storing the same bytes touches the body first. Also removes what is left of
     * connections whose disconnection was cut short.
     */
    readonly collectBodies: (untouchedFor: Duration.Duration) => Effect.Effect<number, StoreError>
  }
>()("idem/engine/store/BodyStore") {}
