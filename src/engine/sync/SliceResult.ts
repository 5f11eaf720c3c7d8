/** The result of a slice, and what comes after it. */
import type * as Duration from "effect/Duration"
import type { Problem } from "../../contract/Page.ts"
import * as RunCounts from "../model/RunCounts.ts"
import type { Failure } from "../model/Task.ts"

/** The step after a slice: none, another slice, or a wait. */
export type Next =
  /** Nothing is left. */
  | { readonly _tag: "Done" }
  /** The next slice continues at once. */
  | { readonly _tag: "More" }
  /** The next slice continues after this delay. */
  | {
      readonly _tag: "Wait"
      readonly delay: Duration.Duration
      /** The part of it that the source asked for, in this run or in an earlier one of the account. */
      readonly asked: Duration.Duration | undefined
      /** True if the source refused in this slice; false if the account's quota is used up until then. */
      readonly isRefusal: boolean
    }

/** A listed page as a number that equal pages share. `isEmpty`: it has neither ids nor parts, but a checkpoint. */
export interface PageMark {
  readonly isEmpty: boolean
  readonly mark: number
}

export interface SliceResult {
  readonly counts: RunCounts.Counts
  readonly problems: ReadonlyArray<Problem>
  readonly notes: ReadonlyArray<string>
  readonly error: Failure | null
  readonly next: Next
  /** True if the reading of the changes came to its end. */
  readonly changesRead: boolean
  /** True if it listed hinted parts only, before the connection's poll was due. */
  readonly isEarly: boolean
  /** The pages that were listed. */
  readonly pages: ReadonlyArray<PageMark>
  /** How many slices in a row, up to this one, listed only what slices before them had listed; see `Repetition`. */
  readonly repeats: number
}

/** The result where nothing was run. */
export const nothing: SliceResult = {
  counts: RunCounts.zero,
  problems: [],
  notes: [],
  error: null,
  next: { _tag: "Done" },
  changesRead: false,
  isEarly: false,
  pages: [],
  repeats: 0
}

/** The result of a slice that failed before it began, or with a defect. */
export const failed = (error: Failure): SliceResult => ({ ...nothing, error, next: { _tag: "More" } })

/** True if the slice succeeded and left nothing. */
export const isDone = ({ error, next }: Pick<SliceResult, "error" | "next">): boolean =>
  error === null && next._tag === "Done"
