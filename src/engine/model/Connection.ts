/** Connections as a store keeps them. */
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Problem } from "../../contract/Page.ts"

export const ConnectionId = Schema.String.pipe(Schema.brand("ConnectionId"))
export type ConnectionId = typeof ConnectionId.Type

export const ConnectionState = Schema.Literals(["running", "disconnected", "paused", "idle"])

/** The default polling interval. */
export const defaultEvery = Duration.minutes(5)

/** The reason of a pause that a person set. A successful sync ends pauses with other reasons. */
export const pausedByPerson = "by a person"

/** The pause of a member begins with this once its account is gone or is not mirrored. */
export const retiredPrefix = "retired: "

/** The error of requested tasks whose connection was disconnected. */
export const disconnected = { reason: "Disconnected", message: "the connection was disconnected" } as const

/** How much a source said that there is, when the connection was made or changed. */
export const ItemEstimate = Schema.Struct({
  items: Schema.Finite,
  /** Units of quota for one item. */
  unitsPerItem: Schema.Finite
})
export type ItemEstimate = typeof ItemEstimate.Type

/** A connection: an account of an integration. `credentials` is sealed, or null once forgotten. */
export interface Connection {
  readonly id: ConnectionId
  /** Unique among connections; 1 to 100 characters. */
  readonly name: string
  readonly domain: string
  /** The account, by the source's word. It never changes. */
  readonly account: string
  readonly config: Schema.Json
  readonly credentials: Uint8Array | null
  readonly every: Duration.Duration
  readonly fence: bigint
  /** Why the connection is paused: `pausedByPerson`, or why the grant is gone. */
  readonly paused: string | null
  readonly checkpoint: Option.Option<Schema.Json>
  /** The digest of the scope fields that the checkpoint was made under. */
  readonly scope: string | null
  /** When the source was last asked for news and answered, also if nothing was new. Null before the first time. */
  readonly lastCheckedAt: DateTime.Utc | null
  readonly problems: Problems
  /** When it is polled next, unless it is paused. */
  readonly nextPollAt: DateTime.Utc
  readonly lease: Lease | null
  /** Failures of whole runs in a row; 0 after a success. */
  readonly failures: number
  /**
   * True where the connection was made over HTTP: its source may be at public addresses and at those of
   * `IDEM_SOURCE_ALLOW` only. A person with a shell on the machine may name any address.
   */
  readonly guarded: boolean
  /**
   * Until when the source asked to wait, by the last poll that it refused; null if it did not refuse the last
   * one.
   */
  readonly askedWaitUntil: DateTime.Utc | null
  /** The connection that made this one, and for which account; null if a person made it. */
  readonly member: Member | null
  /** Null where the source can't say. */
  readonly estimate: ItemEstimate | null
  readonly createdAt: DateTime.Utc
}

/** An account of another connection, which has that account's users as its contents. */
export interface Member {
  readonly of: ConnectionId
  /** The external id of the account's content there. */
  readonly externalId: string
}

/** Places that could not be listed, each once; at most 100 in each list. */
export interface Problems {
  /** Of the last poll that came to its end, with those that the present one has found so far. */
  readonly current: ReadonlyArray<Problem>
  /** The problems that the present poll has found in its slices so far. */
  readonly found: ReadonlyArray<Problem>
  /** Why the source refuses to send hints; absent if it does not. Polls go on. */
  readonly hints?: string | undefined
}

export const noProblems: Problems = { current: [], found: [] }

/** The lease of a running connection. `holder` names the process and its host. */
interface Lease {
  readonly holder: string
  readonly until: DateTime.Utc
}

/** The work that waits for a run when it acquires the lease: without any, the run makes no further queries for it. */
export interface Waiting {
  /** True if a failed item is due for its next attempt, or an item was deferred. */
  readonly retries: boolean
  /** True if deletions are staged that are not held. */
  readonly deletions: boolean
  readonly deletionsHeld: number
}

/** A connection whose lease was just acquired. */
export interface LeasedConnection extends Connection {
  /** By the clock of the store, like the due times. */
  readonly acquiredAt: DateTime.Utc
  readonly waiting: Waiting
}

/** A connection whose next poll, next retry or requested task has come. */
export interface Due {
  readonly connectionId: ConnectionId
  readonly dueAt: DateTime.Utc
  /** True where a requested task is due. */
  readonly requested: boolean
}
