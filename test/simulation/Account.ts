import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import { folders, type SimulatedSource } from "./SimulatedSource.ts"

/** A connection, as known to the person who made it. */
export interface Account {
  readonly name: string
  readonly source: SimulatedSource
  id: ConnectionId | undefined
  folders: ReadonlyArray<string>
  /** The tick of a person's pause; undefined if the connection is not paused by a person. */
  pausedSince: number | undefined
  /** The number of running calls by which a person may lift a pause. */
  lifting: number
  /** The tick of the disconnection; undefined while connected. */
  disconnectedAt: number | undefined
  /** The tick of the last change of scope or format. */
  relistedAt: number
  /** Ids that were gone when a listing that deletes nothing ran. They may stay stored. */
  excused: ReadonlySet<string>
  /** The items that disappeared together. */
  vanished: ReadonlySet<string> | undefined
  /** The held deletions that a person saw before approving. */
  shown: { readonly ids: ReadonlySet<string>; readonly token: string } | undefined
  /** The token that was set last. */
  token: string
}

/** Makes an account without a connection. */
export const make = (name: string, source: SimulatedSource): Account => ({
  name,
  source,
  id: undefined,
  folders,
  pausedSince: undefined,
  lifting: 0,
  disconnectedAt: undefined,
  relistedAt: 0,
  excused: new Set(),
  vanished: undefined,
  shown: undefined,
  token: ""
})
