/** Events from the page reader and the downloads to the fiber that commits (see BatchWriter.ts). */
import type { Ref } from "../../contract/Content.ts"
import type { IntegrationError, Reason } from "../../contract/IntegrationError.ts"
import type { Problem } from "../../contract/Page.ts"
import type { CopySource, Item, PageEnd } from "../model/Batch.ts"
import type { Reading } from "./Deletions.ts"
import type { Flight } from "./InFlight.ts"

/** The origin of an occurrence of an id, which decides the count that it adds to. */
export type Origin = "listed" | "forced" | "retried"

/** An occurrence of an external id that was chosen for download. */
interface Occurrence {
  readonly origin: Origin
  readonly flight: Flight
  /** The number of the page that listed it; undefined if no page did. */
  readonly page: number | undefined
}

/** An occurrence that is still to be downloaded. */
export interface Download extends Occurrence {
  readonly _tag: "Download"
  readonly ref: Ref
  /** The content of which this one is a copy: then nothing is downloaded. */
  readonly copyOf?: CopySource | undefined
}

export type SliceEvent = DownloadEvent | PageListed | ListingEnded | Tick

/** The end of a download. */
export type DownloadEvent = Fetched | NotFetched | Dropped

/** An item, and the bytes for which it counts in a batch: its metadata, and its body if that is in memory. */
export interface ReadItem {
  readonly item: Item
  readonly batchBytes: number
}

/** An item that was downloaded or copied, and is ready to be committed. */
export interface Fetched extends Occurrence, ReadItem {
  readonly _tag: "Fetched"
}

/** An item that was not downloaded, for a reason that concerns the item or the source. */
export interface NotFetched extends Occurrence {
  readonly _tag: "NotFetched"
  readonly externalId: string
  readonly revision: string | undefined
  readonly outcome: "failed" | "deferred" | "gone"
  readonly reason: Reason["_tag"]
  readonly message: string
}

/** An item that this slice did not reach: the checkpoint of its page, and of every later page, waits. */
export interface Dropped extends Occurrence {
  readonly _tag: "Dropped"
}

/** A page was listed. It ends after its occurrences have ended, and after the pages before it. */
export interface PageListed {
  readonly _tag: "PageListed"
  /** The number of the page, from 1. */
  readonly page: number
  /** The number of refs that need no download. */
  readonly existing: number
  /** Refs whose id can't be stored. They count as failed, and each is a problem. */
  readonly unusable: ReadonlyArray<Problem>
  readonly problems: ReadonlyArray<Problem>
  /** The approximate number of refs still to be listed; undefined if the source does not report it. */
  readonly remaining: number | undefined
  /** The number of the page's occurrences that are downloaded. */
  readonly downloads: number
  /**
   * Occurrences from other pages that were in flight when the page was listed, with ids that the page deletes or
   * patches. They have to end first: the source read them before it reported the deletion or patch, so storing them
   * later would undo it.
   */
  readonly waitsFor: ReadonlyArray<Flight>
  readonly end: PageEnd
}

/** The slice reads nothing more. */
export interface ListingEnded {
  readonly _tag: "ListingEnded"
  /** True if the source has more to list. */
  readonly more: boolean
  /** Why the listing ended early, if the source still serves single items. */
  readonly failure: IntegrationError | undefined
  readonly reading: Reading
  /** Notes for a person about the listing. */
  readonly notes: ReadonlyArray<string>
}

/** Time has passed: the open batch may be old enough to commit, and progress is reported. */
interface Tick {
  readonly _tag: "Tick"
}
