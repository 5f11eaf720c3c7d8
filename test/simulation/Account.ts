import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import { folders, type SimulatedSource } from "./SimulatedSource.ts"

/** A connection as the person who made it knows it. */
export interface Account {
  readonly name: string
  readonly source: SimulatedSource
  id: ConnectionId | undefined
  folders: ReadonlyArray<string>
  /** Ticks since which a person's pause stands. */
  pausedSince: number | undefined
  /** Calls under way by which a person may lift a pause. */
  lifting: number
  /** When it was disconnected, in ticks. */
  disconnectedAt: number | undefined
  /** Ticks of the last change of its scope or format. */
  relistedAt: number
  /** Ids that were gone when a listing that deletes nothing ran: they may stay. */
  excused: ReadonlySet<string>
  /** Items that vanished at once. */
  vanished: ReadonlySet<string> | undefined
  /** The held deletions that a person saw before approving. */
  shown: { readonly ids: ReadonlySet<string>; readonly token: string } | undefined
  /** The accounts of a token that was set last. */
  token: string
}

/** An account whose connection does not exist yet. */
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
