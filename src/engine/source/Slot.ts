/**
 * The slot in which a slice runs. Each call reports while it waits for its quota, so that
 * `schedule/ConcurrencyLimiter.ts` can lend the slot of a slice that only waits.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

export interface Slot {
  /** Wraps a call to the source, from its admission to its response. */
  readonly calling: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Wraps the part of a call before it is admitted. */
  readonly admitting: <A, E, R>(admission: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Wraps the part of the admission that waits for time to pass. */
  readonly sleeping: <A, E, R>(sleep: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** The slot of the current slice. Outside of a slice, it does nothing. */
export const Slot = Context.Reference<Slot>("idem/engine/source/Slot", {
  defaultValue: () => ({ calling: (call) => call, admitting: (part) => part, sleeping: (part) => part })
})
