/** Writes many items at once, of which no single one can keep the others from being written. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { isSqlError } from "effect/sql/SqlError"
import { StoreError } from "../engine/store/StoreError.ts"

const isServerError = Schema.is(Schema.Struct({ code: Schema.String, severity: Schema.String }))

/** True for a failure that the written values cause: they are malformed or too large, or JavaScript can't hold them. */
const isOfData = (cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.squash(cause)
  if (Cause.hasInterrupts(cause) || error instanceof StoreError) return false
  if (!isSqlError(error)) return Cause.hasDies(cause)
  return isServerError(error.reason.cause) && /^(21|22|23|54)/.test(error.reason.cause.code)
}

/**
 * Writes the items with `write`. Where that fails by their values, each half is written alone, down to a single item,
 * which goes to `giveUp`. A failure of the database itself is returned as it is.
 */
export const isolated = <A, E, R>(
  items: ReadonlyArray<A>,
  write: (items: ReadonlyArray<A>) => Effect.Effect<void, E, R>,
  giveUp: (item: A, cause: Cause.Cause<E>) => Effect.Effect<void, E, R>
): Effect.Effect<void, E, R> =>
  Effect.catchCauseIf(write(items), isOfData, (cause) => {
    const [first] = items
    if (first === undefined) return Effect.failCause(cause)
    if (items.length === 1) return giveUp(first, cause)
    const middle = Math.ceil(items.length / 2)
    return Effect.forEach([items.slice(0, middle), items.slice(middle)], (half) => isolated(half, write, giveUp), {
      discard: true
    })
  })
