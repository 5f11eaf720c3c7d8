/** Events from the page reader and the downloads to the fiber that commits (see BatchWriter.ts). */
import type { Ref } from "../../contract/Content.ts"
import type { IntegrationError, Reason } from "../../contract/IntegrationError.ts"
import type { Problem } from "../../contract/Page.ts"
import type { CopySource, Item, PageEnd } from "../model/Batch.ts"
import type { Reading } from "./Deletions.ts"
import type { Flight } from "./InFlight.ts"

/** Where an occurrence of an id came from, and so which count it adds to. */
export type Origin = "listed" | "forced" | "retried"

/** An occurrence of an external id that was chosen for download. */
interface Occurrence {
  readonly origin: Origin
  readonly flight: Flight
  /** The number of the page that listed it. */
  readonly page: number | undefined
}

/** An occurrence that is still to be downloaded. */
export interface Download extends Occurrence {
  readonly _tag: "Download"
  readonly ref: Ref
  /** The content that this one is a copy of: then nothing is downloaded. */
  readonly copyOf?: CopySource | undefined
}

export type SliceEvent = DownloadEvent | PageListed | ListingEnded | Tick

/** The end of a download. */
export type DownloadEvent = Fetched | Missed | Dropped

/** Downloaded or copied, and ready to be committed. */
export interface Fetched extends Occurrence {
  readonly _tag: "Fetched"
  readonly item: Item
}

/** Not downloaded, for a reason that concerns the item or the source. */
export interface Missed extends Occurrence {
  readonly _tag: "Missed"
  readonly externalId: string
  readonly revision: string | undefined
  readonly outcome: "failed" | "deferred" | "gone"
  readonly reason: Reason["_tag"]
  readonly message: string
}

/** Not reached in this slice: the checkpoint of its page, and of every later page, waits. */
export interface Dropped extends Occurrence {
  readonly _tag: "Dropped"
}

/** A page was listed. It ends once its occurrences are in, and after the pages before it. */
export interface PageListed {
  readonly _tag: "PageListed"
  /** Pages are numbered from 1. */
  readonly page: number
  /** Refs that need no download. */
  readonly existing: number
  /** Refs whose id can't be stored: they count as failed, and each is a problem. */
  readonly unusable: ReadonlyArray<Problem>
  readonly problems: ReadonlyArray<Problem>
  /** About how many refs are still to be listed, where the source tells. */
  readonly remaining: number | undefined
  /** How many occurrences of this page are downloaded. */
  readonly downloads: number
  /**
   * Other occurrences, in flight when the page was listed, of ids that the page deletes or patches. They come first:
   * the source read them before it said this, so what they store must not undo it.
   */
  readonly waitsFor: ReadonlyArray<Flight>
  readonly end: PageEnd
}

/** Nothing more is read in this slice. */
export interface ListingEnded {
  readonly _tag: "ListingEnded"
  /** True if something is left to read. */
  readonly more: boolean
  /** Why the listing ended early, where the source can still be asked for single items. */
  readonly failure: IntegrationError | undefined
  readonly reading: Reading
  /** Notes for a person on the listing. */
  readonly notes: ReadonlyArray<string>
}

/** Time has passed: the open batch may have become old, and progress is reported. */
interface Tick {
  readonly _tag: "Tick"
}
