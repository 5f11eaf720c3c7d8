/** Writes many items at once. If that fails, the item that can't be written is found by bisection and left out. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { isSqlError } from "effect/sql/SqlError"
import { StoreError } from "../engine/store/StoreError.ts"

const isServerError = Schema.is(Schema.Struct({ code: Schema.String, severity: Schema.String }))

/**
 * Returns true for a failure that the values cause: they are malformed or too large, or JavaScript can't represent
 * them.
 */
const isOfData = (cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.squash(cause)
  if (Cause.hasInterrupts(cause) || error instanceof StoreError) return false
  if (!isSqlError(error)) return Cause.hasDies(cause)
  return isServerError(error.reason.cause) && /^(21|22|23|54)/.test(error.reason.cause.code)
}

/**
 * Writes the items with `write`. If that fails because of their values, writes each half separately, down to single
 * items, which are passed to `giveUp`. A failure of the database itself is returned unchanged.
 */
export const bisected = <A, E, R>(
  items: ReadonlyArray<A>,
  write: (items: ReadonlyArray<A>) => Effect.Effect<void, E, R>,
  giveUp: (item: A, cause: Cause.Cause<E>) => Effect.Effect<void, E, R>
): Effect.Effect<void, E, R> =>
  Effect.catchCauseIf(write(items), isOfData, (cause) => {
    const [first] = items
    if (first === undefined) return Effect.failCause(cause)
    if (items.length === 1) return giveUp(first, cause)
    const middle = Math.ceil(items.length / 2)
    return Effect.forEach([items.slice(0, middle), items.slice(middle)], (half) => bisected(half, write, giveUp), {
      discard: true
    })
  })
