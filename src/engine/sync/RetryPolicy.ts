/** Decides when a failed item is tried again, and when it is dead. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Reason } from "../../contract/IntegrationError.ts"
import type { LedgerUpdate } from "../model/Batch.ts"
import type { LedgerRow } from "../model/Content.ts"
import type { NotFetched } from "./SliceEvent.ts"

/** The delay after each failed attempt, about 3.4 days in all. An item whose eighth attempt fails is dead. */
const delays = ["1 minute", "5 minutes", "30 minutes", "2 hours", "6 hours", "1 day", "2 days"] as const

/** Reasons that no delay can fix: such an item is dead at once, until a person redrives it. */
const hopeless: ReadonlySet<Reason["_tag"]> = new Set(["TooLarge"])

/** Returns the attempts so far at this revision: another revision starts at 0. */
const made = (row: LedgerRow | undefined, revision: string | undefined): number =>
  row === undefined || row.revision !== revision ? 0 : row.attempts

/** Returns the delay until the next attempt, with a jitter of one fifth. Undefined means that the item is dead. */
const retryIn = (reason: Reason["_tag"], attempts: number): Effect.Effect<Duration.Duration | undefined> => {
  const delay = delays[attempts - 1]
  if (delay === undefined || hopeless.has(reason)) return Effect.succeed(undefined)
  return Effect.map(Random.nextBetween(0.8, 1.2), (jitter) => Duration.times(Duration.fromInputUnsafe(delay), jitter))
}

/**
 * Returns the ledger update for an item that was not fetched, with its attempts and the delay of the next one. `row` is
 * the ledger's present row.
 */
export const ledgerUpdate = (event: NotFetched, row: LedgerRow | undefined): Effect.Effect<LedgerUpdate> => {
  const { externalId, message, outcome, reason, revision } = event
  const attempts = made(row, revision) + 1
  const next = outcome === "failed" ? retryIn(reason, attempts) : Effect.succeed(undefined)
  return Effect.map(next, (delay) => ({ externalId, revision, reason, message, outcome, attempts, retryIn: delay }))
}
