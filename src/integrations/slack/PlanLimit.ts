/**
 * The limit of a free plan. Slack shows the messages of the last 90 days, and neither lists nor finds older ones
 * (slackdump#190), which are there again once the workspace is on a paid plan. Nothing else tells them from deleted
 * ones: the reference of `conversations.history` has no field for it, so `is_limited` (of its predecessors) may come or
 * not.
 *
 * So a history that ends later than it did before proves no deletion if a plan can hide what is missing: messages that
 * are about 90 days old or older. It does if Slack shows an older message, in any conversation.
 */
import * as Duration from "effect/Duration"
import { compareTs, tsOf } from "./Timestamp.ts"
import type { State } from "./State.ts"

/** With a day's room on both sides: the clocks may differ. */
const mayBeHiddenAfter = Duration.toMillis("89 days")
const isHiddenAfter = Duration.toMillis("91 days")

/** True if a plan may hide a message of this time. `now` is in milliseconds since 1970. */
export const mayHide = (ts: string, now: number): boolean => compareTs(ts, tsOf(now - mayBeHiddenAfter)) < 0

/** The floor of a history of which unknown messages may be hidden. */
export const unknownFloor = "0.0"

export interface PlanLimit {
  /** Records that Slack shows this message. */
  readonly onShown: (ts: string) => void
  /**
   * True if a history that ends with the message `last` (undefined: it is empty) lacks only what was deleted. `floor`:
   * the message that it ended with before; undefined for a history that was never read.
   */
  readonly isWhole: (last: string | undefined, floor: string | undefined) => boolean
}

export const make = (state: Pick<State, "roundAt" | "unlimitedAt">, now: () => number): PlanLimit => {
  // A plan may change between two rounds of visits.
  const isUnlimited = () => state.unlimitedAt !== undefined && state.unlimitedAt >= (state.roundAt ?? 0)
  return {
    onShown: (ts) => {
      if (compareTs(ts, tsOf(now() - isHiddenAfter)) < 0) state.unlimitedAt = now()
    },
    isWhole: (last, floor) =>
      isUnlimited() ||
      floor === undefined ||
      !mayHide(floor, now()) ||
      (last !== undefined && compareTs(last, floor) <= 0)
  }
}
