/** A page: the result of one step of a listing. The engine commits a page's work, then keeps its checkpoint. */
import type * as Schema from "effect/Schema"
import type { Metadata, Ref } from "./Content.ts"
import type { PartMove } from "./Parts.ts"

/** The most refs in one page. The bound keeps memory independent of the size of the source. */
export const maxPageRefs = 1000

/** The largest checkpoint, in bytes of JSON. */
export const maxCheckpointBytes = 64 * 1024

/** Metadata to merge into a stored row without a body, as a JSON merge patch (RFC 7396: null removes a name). */
export interface Patch {
  readonly externalId: string
  readonly metadata: Metadata
  /** The new revision of the stored row, if the listing gave a new revision for the same body. */
  readonly revision?: string | undefined
}

/** A place (channel, folder) that could not be listed, and why. The run continues, and is then `partial`. */
export interface Problem {
  readonly place: string
  readonly message: string
}

/**
 * A part of the connection that has been listed completely since its listing began: every id that starts with `prefix`,
 * except ids that start with one of `except`. The empty prefix covers everything.
 */
export interface Coverage {
  readonly prefix: string
  readonly except?: ReadonlyArray<string> | undefined
}

/** A page of at most 1,000 refs. A page that exceeds a bound fails the run as `Malformed`. */
export interface Page<out Checkpoint, out Part = Schema.Json> {
  /** Every ref of this page, known or not. */
  readonly listed: ReadonlyArray<Ref>
  /** The refs of `listed` to download, chosen by `ContentExistenceChecker.selectNew`. */
  readonly download: ReadonlyArray<Ref>
  /** Ids that the source reports as gone. */
  readonly deleted?: ReadonlyArray<string> | undefined
  readonly patches?: ReadonlyArray<Patch> | undefined
  readonly problems?: ReadonlyArray<Problem> | undefined
  /**
   * The full listing that this page is a part of: the same text on each page of one pass over the source, a new one
   * for the next pass. Absent on pages of changes. The engine keeps which ids the pass has seen.
   */
  readonly listing?: string | undefined
  /**
   * The parts that the pass named by `listing` has now listed completely. Stored content in them that the pass has not
   * seen is absent. Only with `listing`.
   */
  readonly covers?: ReadonlyArray<Coverage> | undefined
  /**
   * True on the page that completes the pass. Only then are absent contents deleted, or held if there are too many, so
   * that a source that loses everything is noticed before the first deletion. A page that covers the empty prefix is
   * complete by itself; an integration that covers its parts one after the other sets this on the last page.
   */
  readonly complete?: boolean | undefined
  /**
   * The resume point once this page is committed: a run that starts from it loses and repeats nothing. At most 64 KiB
   * as JSON.
   */
  readonly checkpoint: Checkpoint
  /** The parts that this page moves, committed with its checkpoint: at most 1,000, each at most 4 KiB as JSON. */
  readonly parts?: ReadonlyArray<PartMove<Part>> | undefined
  /**
   * The approximate number of refs that this listing still has to give, if the source reports it. Only for progress.
   */
  readonly remaining?: number | undefined
}
