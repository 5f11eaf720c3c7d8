/**
 * The requests to a file server, in any of the protocols. Paths are external ids: below the root, encoded (Names.ts);
 * the root itself is the empty text. Every method makes its requests through `call`.
 */
import type * as Effect from "effect/Effect"
import type * as IntegrationError from "../../contract/IntegrationError.ts"
import type * as Stream from "effect/Stream"
import type { Size } from "../server/Connections.ts"

/**
 * The size and the time of a file. A value is absent if the server does not tell it, or tells a time without a zone or
 * a year.
 */
export interface Stat {
  readonly size?: number | undefined
  /** ISO 8601 in UTC, with as many digits of a second as the server gave. */
  readonly modified?: string | undefined
}

/** A name in a folder. A link that leads to a file or folder in the root, where that can be proven, is that. */
export interface Entry extends Stat {
  readonly name: string
  readonly kind: "file" | "folder" | "link" | "other"
  /** An id of the folder that is the same by every path to it; absent where the server gives none. */
  readonly identity?: string | undefined
}

/** The names in a folder, unordered, and messages about the names that can't be mirrored. */
export interface Listing {
  readonly entries: ReadonlyArray<Entry>
  readonly problems: ReadonlyArray<string>
  /** Names of which the server did not say what they are: what is stored of them, or below them, may be there. */
  readonly unread?: ReadonlyArray<string> | undefined
  /** The reason why the listing may be incomplete. */
  readonly incomplete?: string | undefined
  /** The folder's own identity, as `Entry.identity`. */
  readonly identity?: string | undefined
  /**
   * A digest of all names, sizes and times, where the server tells no identities and there is a file: a folder that
   * repeats the digest of one above it is that folder, reached through a link.
   */
  readonly digest?: string | undefined
}

/** A folder's listing is held in memory while it is sorted: 40 MB are about 300,000 names. */
export const maxListingBytes = 40_000_000

export interface Remote {
  /** Fails with Gone, Forbidden or Malformed for this folder alone, with anything else for the whole listing. */
  readonly list: (folder: string) => Effect.Effect<Listing, IntegrationError.IntegrationError>
  /** Size and time of a file now; what `listed` has of it need not be asked again. Gone only where that is proven. */
  readonly stat: (path: string, listed?: Stat) => Effect.Effect<Stat, IntegrationError.IntegrationError>
  /** The file's bytes. Opens when run, holds one connection, and lets go of it when it ends or is interrupted. */
  readonly read: (path: string, stat: Stat) => Stream.Stream<Uint8Array, IntegrationError.IntegrationError>
  /** Logs in, if no connection is open. */
  readonly connect: Effect.Effect<void, IntegrationError.IntegrationError>
  /** Whether the server tells files' times to the second: by MLSD, by MDTM or by SFTP. Logs in, if needed. */
  readonly exactTimes: Effect.Effect<boolean, IntegrationError.IntegrationError>
  /** How many connections the server allows. */
  readonly size: Size
}

/** A path for people: quoted, control characters escaped. */
export const quote = (path: string): string => (path === "" ? "the root folder" : JSON.stringify(path))

/** Size and time as one token; absent unless both are known: half of it would call a changed file unchanged. */
export const revisionOf = (stat: Stat): string | undefined =>
  stat.size === undefined || stat.modified === undefined ? undefined : `${stat.size} ${stat.modified}`
