/** The result of a slice, and what follows it. */
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
      /** The part of the delay that the source asked for, in this run or in an earlier one of the account. */
      readonly askedWait: Duration.Duration | undefined
      /** True if the source refused in this slice. False if the account's quota is used up for that time. */
      readonly isRefusal: boolean
    }

/**
 * The fingerprint of a listed page: equal pages have the same one. `isEmpty`: the page has only a checkpoint, and no
 * ids or parts.
 */
export interface PageFingerprint {
  readonly isEmpty: boolean
  readonly fingerprint: number
}

export interface SliceResult {
  readonly counts: RunCounts.Counts
  readonly problems: ReadonlyArray<Problem>
  readonly notes: ReadonlyArray<string>
  readonly error: Failure | null
  readonly next: Next
  /** True if the changes were read to their end. */
  readonly changesRead: boolean
  /** True if the slice listed only hinted parts, before the connection's poll was due. */
  readonly hintedOnly: boolean
  /** The pages that were listed. */
  readonly pages: ReadonlyArray<PageFingerprint>
  /** How many consecutive slices, up to this one, listed only what earlier slices had listed (see `Repetition`). */
  readonly repeats: number
}

/** The result if nothing was run. */
export const nothing: SliceResult = {
  counts: RunCounts.zero,
  problems: [],
  notes: [],
  error: null,
  next: { _tag: "Done" },
  changesRead: false,
  hintedOnly: false,
  pages: [],
  repeats: 0
}

/** Returns the result of a slice that failed before it began, or with a defect. */
export const failed = (error: Failure): SliceResult => ({ ...nothing, error, next: { _tag: "More" } })

/** Returns true if the slice succeeded and left nothing to do. */
export const isDone = ({ error, next }: Pick<SliceResult, "error" | "next">): boolean =>
  error === null && next._tag === "Done"
