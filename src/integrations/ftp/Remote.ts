/**
 * The requests to a file server, in any of the protocols. Paths are external ids: relative to the root, encoded
 * (Names.ts); the root itself is the empty text. Every method makes its requests through `call`.
 */
import type * as Effect from "effect/Effect"
import type * as IntegrationError from "../../contract/IntegrationError.ts"
import type * as Stream from "effect/Stream"
import type { Size } from "../server/Connections.ts"

/**
 * The size and the time of a file. A value is absent if the server does not report it, or reports a time without a zone
 * or a year.
 */
export interface Stat {
  readonly size?: number | undefined
  /** ISO 8601 in UTC, with as many digits of a second as the server reports. */
  readonly modified?: string | undefined
}

/** A name in a folder. A link counts as the file or folder that it leads to, if that is proven to be below the root. */
export interface Entry extends Stat {
  readonly name: string
  readonly kind: "file" | "folder" | "link" | "other"
  /** An id of the folder that is the same by every path to it; absent if the server reports none. */
  readonly identity?: string | undefined
}

/** The names in a folder, unordered, and messages about the names that can't be mirrored. */
export interface Listing {
  readonly entries: ReadonlyArray<Entry>
  readonly problems: ReadonlyArray<string>
  /** Names whose type the server did not report: stored content under such a name may still exist. */
  readonly unread?: ReadonlyArray<string> | undefined
  /** Why the listing may be incomplete; absent if it is complete. */
  readonly incomplete?: string | undefined
  /** The folder's own identity (see `Entry.identity`). */
  readonly identity?: string | undefined
  /**
   * A digest of all names, sizes and times, if the server reports no identities and the folder has a file. A folder
   * with the same digest as a folder above it is that folder, reached through a link.
   */
  readonly digest?: string | undefined
}

/** The size limit of a folder's listing, which is sorted in memory: 40 MB are about 300,000 names. */
export const maxListingBytes = 40_000_000

export interface Remote {
  /**
   * Lists a folder. Fails with Gone, Forbidden or Malformed for this folder alone; any other failure concerns the whole
   * listing.
   */
  readonly list: (folder: string) => Effect.Effect<Listing, IntegrationError.IntegrationError>
  /**
   * Returns the present size and time of a file. Values in `listed` need not be requested. Fails with Gone only if that
   * is proven.
   */
  readonly stat: (path: string, listed?: Stat) => Effect.Effect<Stat, IntegrationError.IntegrationError>
  /** Streams the file's bytes. Holds one connection while it runs, and releases it at its end or on interruption. */
  readonly read: (path: string, stat: Stat) => Stream.Stream<Uint8Array, IntegrationError.IntegrationError>
  /** Logs in, if no connection is open. */
  readonly connect: Effect.Effect<void, IntegrationError.IntegrationError>
  /** Returns true if the server reports times of files to the second: by MLSD, MDTM or SFTP. Logs in if needed. */
  readonly exactTimes: Effect.Effect<boolean, IntegrationError.IntegrationError>
  /** How many connections the server allows. */
  readonly size: Size
}

/** Formats a path for people: quoted, with control characters escaped. */
export const quote = (path: string): string => (path === "" ? "the root folder" : JSON.stringify(path))

/**
 * Returns size and time as one revision; undefined unless both are known, because a change could be missed with only
 * one.
 */
export const revisionOf = (stat: Stat): string | undefined =>
  stat.size === undefined || stat.modified === undefined ? undefined : `${stat.size} ${stat.modified}`
