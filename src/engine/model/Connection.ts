/** The model of connections in the stores. */
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

/** The reason of a pause set by a person. A successful sync ends pauses with any other reason. */
export const pausedByPerson = "by a person"

/** The prefix of a member's pause reason when its account is gone or inactive. */
export const retiredPrefix = "retired: "

/** The error of requested tasks whose connection was disconnected. */
export const disconnected = { reason: "Disconnected", message: "the connection was disconnected" } as const

/** The source's estimate of its size, made when the connection was created or changed. */
export const ItemEstimate = Schema.Struct({
  items: Schema.Finite,
  /** Units of quota for one item. */
  unitsPerItem: Schema.Finite
})
export type ItemEstimate = typeof ItemEstimate.Type

/** A connection: an account of an integration. `credentials` is sealed, or null once forgotten. */
export interface Connection {
  readonly id: ConnectionId
  /** The connection's name: unique, 1 to 100 characters. */
  readonly name: string
  readonly domain: string
  /** The account, as the source reports it. It never changes. */
  readonly account: string
  readonly config: Schema.Json
  readonly credentials: Uint8Array | null
  readonly every: Duration.Duration
  readonly fence: bigint
  /** The reason of the pause: `pausedByPerson`, or why the source refuses the credentials. Null if it is not paused. */
  readonly paused: string | null
  readonly checkpoint: Option.Option<Schema.Json>
  /** The digest of the scope fields that the checkpoint was made under. */
  readonly scope: string | null
  /** When the source last answered a poll, also if nothing was new. Null before the first time. */
  readonly lastCheckedAt: DateTime.Utc | null
  readonly problems: Problems
  /** The time of the next poll, unless the connection is paused. */
  readonly nextPollAt: DateTime.Utc
  readonly lease: Lease | null
  /** The number of failed runs in a row; 0 after a success. */
  readonly failures: number
  /**
   * True if the connection was created over HTTP: its source may only be at public addresses and at those of
   * `IDEM_SOURCE_ALLOW`. A person with a shell on the machine may name any address.
   */
  readonly guarded: boolean
  /**
   * The time until which the source asked to wait when it refused the last poll; null if the last poll was not refused.
   */
  readonly askedWaitUntil: DateTime.Utc | null
  /** The connection that created this one, and for which account; null if a person created it. */
  readonly member: Member | null
  /** The estimate; null if the source can't give one. */
  readonly estimate: ItemEstimate | null
  readonly createdAt: DateTime.Utc
}

/** An account that another connection lists, as one of its contents. */
export interface Member {
  readonly of: ConnectionId
  /** The external id of that content. */
  readonly externalId: string
}

/** Places that could not be listed, each once; at most 100 in each list. */
export interface Problems {
  /** The problems of the last complete poll, and those that the present poll has found so far. */
  readonly current: ReadonlyArray<Problem>
  /** The problems that the present poll has found so far, in all its slices. */
  readonly found: ReadonlyArray<Problem>
  /** Why the source refuses to send hints; absent if it does not refuse. Polls continue as scheduled. */
  readonly hints?: string | undefined
}

export const noProblems: Problems = { current: [], found: [] }

/** The lease of a running connection. `holder` names the process and its host. */
interface Lease {
  readonly holder: string
  readonly until: DateTime.Utc
}

/** The work that waits when a run acquires the lease. If there is none, the run makes no queries for it. */
export interface Waiting {
  /** True if a failed item is due for its next attempt, or an item was deferred. */
  readonly retries: boolean
  /** True if deletions are staged that are not held. */
  readonly deletions: boolean
  readonly deletionsHeld: number
}

/** A connection whose lease was just acquired. */
export interface LeasedConnection extends Connection {
  /** When the lease was acquired, by the store's clock, as the due times are. */
  readonly acquiredAt: DateTime.Utc
  readonly waiting: Waiting
}

/** A connection that is due for a poll, a retry or a requested task. */
export interface Due {
  readonly connectionId: ConnectionId
  readonly dueAt: DateTime.Utc
  /** True if a requested task is due. */
  readonly requested: boolean
}
