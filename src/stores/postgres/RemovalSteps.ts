/**
 * Removal of old rows in steps. Each step begins after the last row that the step before looked at: removed rows stay
 * in the indexes until a vacuum, or for as long as an old snapshot needs them, and a scan from the beginning would pass
 * all of them each time.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { onOwnSession } from "./Transactions.ts"
import { oneRow } from "./RowDecoders.ts"

/** Rows looked at by one step, so that none holds its locks, or the feed, for long. */
export const atOnce = 1000

/** Where a step ended: a time as PostgreSQL writes it, and an id. */
const After = Schema.Struct({ at: Schema.String, id: Schema.String })
export type After = typeof After.Type

/** Sorts before all ids that are UUIDs. */
const nilId = "00000000-0000-0000-0000-000000000000"

const Step = Schema.Struct({ removed: Schema.Int, after: Schema.NullOr(After) })
type Step = typeof Step.Type
const decodeStep = oneRow(Step)

/**
 * Returns the columns of a step's result. The step's queries are `old`, which looks at `atOnce` rows (`id`, `at`) in
 * the order of `at` and `id`, and `removed`.
 */
export const stepOf = (sql: SqlClient.SqlClient) => sql`(SELECT count(*) FROM removed)::int AS removed,
    (SELECT json_build_object('at', at::text, 'id', id::text) FROM old ORDER BY at, id OFFSET ${atOnce - 1}) AS after`

/** Runs the steps, each a statement and so a transaction of its own. Returns how many rows they removed. */
export const inSteps = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  step: (after: After) => Effect.Effect<ReadonlyArray<unknown>, SqlError>
) {
  let removed = 0
  let after: After | null = { at: "-infinity", id: nilId }
  while (after !== null) {
    const rows: ReadonlyArray<unknown> = yield* onOwnSession(sql)(step(after))
    const done: Step = yield* decodeStep(rows)
    removed += done.removed
    after = done.after
  }
  return removed
})
