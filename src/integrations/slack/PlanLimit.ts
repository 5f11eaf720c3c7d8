/**
 * The limit of a free plan. Slack shows the messages of the last 90 days, and neither lists nor finds older ones
 * (slackdump#190) until the workspace is on a paid plan. Nothing else distinguishes them from deleted messages: the
 * reference of `conversations.history` has no field for it, and `is_limited` (of its predecessors) may be absent.
 *
 * So a history that ends later than before proves no deletion if a plan may hide the missing messages, which are about
 * 90 days old or older. It does prove a deletion if Slack shows an older message, in any conversation.
 */
import * as Duration from "effect/Duration"
import { compareTs, tsOf } from "./Timestamp.ts"
import type { State } from "./State.ts"

/** A day before and after the limit, because clocks may differ. */
const mayBeHiddenAfter = Duration.toMillis("89 days")
const isHiddenAfter = Duration.toMillis("91 days")

/** Returns true if a plan may hide a message of this time. `now` is in milliseconds since 1970. */
export const mayHide = (ts: string, now: number): boolean => compareTs(ts, tsOf(now - mayBeHiddenAfter)) < 0

/** The floor of a history that may have unknown hidden messages. */
export const unknownFloor = "0.0"

export interface PlanLimit {
  /** Records that Slack showed this message. */
  readonly onShown: (ts: string) => void
  /**
   * Returns true if all missing messages of a history that now ends with `last` (undefined: it is empty) were deleted,
   * and none can be hidden. `floor` is its last message before; undefined for a history that was never read.
   */
  readonly isWhole: (last: string | undefined, floor: string | undefined) => boolean
}

export const make = (state: Pick<State, "roundAt" | "unlimitedAt">, now: () => number): PlanLimit => {
  // The plan may change between two rounds of visits.
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
