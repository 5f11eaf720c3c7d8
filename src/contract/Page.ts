/** A page: the result of one step of a listing. The engine commits a page's work, then keeps its checkpoint. */
import type * as Schema from "effect/Schema"
import type { Metadata, Ref } from "./Content.ts"
import type { PartMove } from "./Parts.ts"

/** The most refs of one page: memory does not grow with the source. */
export const maxPageRefs = 1000

/** The largest checkpoint, in bytes of JSON. */
export const maxCheckpointBytes = 64 * 1024

/** Metadata to merge into a stored row without a body, as a JSON merge patch (RFC 7396: null removes a name). */
export interface Patch {
  readonly externalId: string
  readonly metadata: Metadata
  /** The revision that the stored row has from now on, where the listing gave a new one for the same body. */
  readonly revision?: string | undefined
}

/** A place (channel, folder) that could not be listed, and why. It does not fail the run. */
export interface Problem {
  readonly place: string
  readonly message: string
}

/**
 * A part of the connection that has now been listed completely since its listing began: every id that starts with
 * `prefix` and with none of `except`. The empty prefix is everything.
 */
export interface Coverage {
  readonly prefix: string
  readonly except?: ReadonlyArray<string> | undefined
}

/** A page of at most 1,000 refs. The run of a page that is out of its bounds fails as `Malformed`. */
export interface Page<out Checkpoint, out Part = Schema.Json> {
  /** Every ref of this page, known or not. */
  readonly listed: ReadonlyArray<Ref>
  /** The refs of `listed` to download, chosen by `ContentExistenceChecker.selectNew`. */
  readonly download: ReadonlyArray<Ref>
  /** Ids that the source itself says are gone. */
  readonly deleted?: ReadonlyArray<string> | undefined
  readonly patches?: ReadonlyArray<Patch> | undefined
  readonly problems?: ReadonlyArray<Problem> | undefined
  /**
   * The full listing that this page is a part of: the same text on each page of one pass over the source, a new one
   * for the next pass. Absent on pages of changes. The engine keeps which ids the pass has seen.
   */
  readonly listing?: string | undefined
  /**
   * The coverage that the pass named by `listing` has now listed completely. Stored content in it that was not seen is
   * absent. Only with `listing`.
   */
  readonly covers?: ReadonlyArray<Coverage> | undefined
  /**
   * True on the page that completes the passes: nothing that they set out to list is left. Their absences are deleted
   * then, or held back if there are too many, so that a source that loses everything is noticed before the first
   * deletion. A page that covers the empty prefix is complete by itself; a source that covers its parts one after the
   * other sets this on the last page.
   */
  readonly complete?: boolean | undefined
  /** True once this page is committed: a run that starts from it loses and repeats nothing. At most 64 KiB as JSON. */
  readonly checkpoint: Checkpoint
  /** The parts that this page moves, committed with its checkpoint; at most 1,000 of at most 4 KiB as JSON each. */
  readonly parts?: ReadonlyArray<PartMove<Part>> | undefined
  /** About how many more refs this listing will give, where the source tells: for progress only. */
  readonly remaining?: number | undefined
}
