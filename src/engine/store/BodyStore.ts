/** The store of bodies, by their hash. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { ByteRange } from "../model/Content.ts"
import { StoreError } from "./StoreError.ts"

/**
 * The lower bound of `untouchedFor` in `collectBodies`. A write touches a body at most once an hour, so a body in use
 * could look untouched for less time than this.
 */
export const shortestUntouched = Duration.hours(2)

/**
 * The store has no such body: a purge removed it, or the database was restored without its bodies. After any other
 * `StoreError` the body may be readable later.
 */
export class BodyAbsent extends StoreError {
  readonly isAbsent = true
}

/** Returns the error for a body that is not stored. */
export const absent = (hash: string): BodyAbsent => {
  const message = `no body with the hash ${hash} is stored`
  return new BodyAbsent({ message, cause: message })
}

export class BodyStore extends Context.Service<
  BodyStore,
  {
    /**
     * Streams a stored body by its hash in hex, or a range of it. Fails with `BodyAbsent` if no such body is stored.
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
     * Removes bodies that no content refers to and that were not touched for `untouchedFor` (at least two hours).
     * Returns their number. It is safe beside runs: storing the same bytes touches the body first. Also finishes
     * disconnections that were cut short.
     */
    readonly collectBodies: (untouchedFor: Duration.Duration) => Effect.Effect<number, StoreError>
  }
>()("idem/engine/store/BodyStore") {}
