/** What a store keeps and tells: connections, tasks, runs, content, the ledger, changes. */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Metadata, Ref } from "../contract/Content.ts"
import type { Problem } from "../contract/Page.ts"
import type { SyncTask } from "../contract/SyncTask.ts"

export const ConnectionId = Schema.String.pipe(Schema.brand("ConnectionId"))
export type ConnectionId = typeof ConnectionId.Type
export const RunId = Schema.String.pipe(Schema.brand("RunId"))
export type RunId = typeof RunId.Type
export const TaskId = Schema.String.pipe(Schema.brand("TaskId"))
export type TaskId = typeof TaskId.Type

/** The pause that a person set. Any other reason is the source's, and a sync that works lifts it. */
export const pausedByPerson = "by a person"

/** What ends requested tasks when their connection is disconnected. */
export const disconnected = { reason: "Disconnected", message: "the connection was disconnected" } as const

/** One account of an integration. `credentials` is sealed, or null once forgotten. */
export interface Connection {
  readonly id: ConnectionId
  /** Unique among connections; 1 to 100 characters. */
  readonly name: string
  readonly domain: string
  /** Who the source says we are; it never changes. */
  readonly account: string
  readonly config: Schema.Json
  readonly credentials: Uint8Array | null
  readonly every: Duration.Duration
  readonly fence: bigint
  /** Why it is paused: `pausedByPerson`, or what took its grant away. */
  readonly paused: string | null
  readonly checkpoint: Option.Option<Schema.Json>
  /** The digest of the scope fields that the checkpoint was made under. */
  readonly scope: string | null
  /** When it is polled next, unless it is paused. */
  readonly nextPollAt: DateTime.Utc
  readonly lease: Lease | null
  /** Failures of whole runs in a row; 0 after a success. */
  readonly failures: number
  readonly createdAt: DateTime.Utc
}

/** Who runs a connection now. `holder` is made by the engine; it names host, process and run for people. */
interface Lease {
  readonly holder: string
  readonly until: DateTime.Utc
}

/**
 * A task that was asked for. One that a command opened (`requested` false) is run by that command, and only if it keeps a
 * checkpoint of its own. One that was requested waits in its connection's queue for a process that serves, whatever it is.
 */
export interface TaskRow {
  readonly id: TaskId
  readonly connectionId: ConnectionId
  /** `retry`: rows of the ledger, and no listing; `task` is a poll's then. */
  readonly kind: "sync" | "retry"
  readonly task: SyncTask
  /** What the task was asked for, as text: an open task with the same text is resumed instead of begun again. */
  readonly spec: string
  /** The rows of a `retry`; null where it is all that are there when it begins. */
  readonly externalIds: ReadonlyArray<string> | null
  readonly requested: boolean
  readonly checkpoint: Option.Option<Schema.Json>
  readonly scope: string | null
  readonly createdAt: DateTime.Utc
  /** When its next slice may begin. */
  readonly dueAt: DateTime.Utc
  /** Slices in a row that failed. */
  readonly failures: number
  /** True once a run of it has begun. */
  readonly begun: boolean
  readonly finishedAt: DateTime.Utc | null
  /** Why it failed. */
  readonly error: Run["error"]
}

/** What is asked for in `requestTask`. */
export interface TaskRequest extends Pick<TaskRow, "kind" | "task" | "spec" | "externalIds"> {
  /** The same key with the same digest (hex) is the same request. */
  readonly key: { readonly key: string; readonly digest: string } | undefined
  /** An unfinished or failed task with the same text that moved within this time is gone on with. */
  readonly resumeWithin: Duration.Duration
}

/** A task with what its runs did together; at most 100 notes and 100 problems. */
export interface TaskSummary {
  readonly task: TaskRow
  readonly counts: Counts
  readonly lastRun: RunId | null
  readonly notes: ReadonlyArray<string>
  readonly problems: ReadonlyArray<Problem>
}

/** What the runs did that began within one hour; `hour` is when it began. */
export interface Hour extends Pick<
  Counts,
  "stored" | "updated" | "unchanged" | "failed" | "deleted" | "apiCalls" | "quotaUnits"
> {
  readonly hour: DateTime.Utc
  readonly runs: number
}

/** Counts of a run; all are counted per occurrence and start at 0. */
export const Counts = Schema.Struct({
  listed: Schema.Int,
  forced: Schema.Int,
  retried: Schema.Int,
  existing: Schema.Int,
  stored: Schema.Int,
  updated: Schema.Int,
  unchanged: Schema.Int,
  failed: Schema.Int,
  gone: Schema.Int,
  deferred: Schema.Int,
  patched: Schema.Int,
  deleted: Schema.Int,
  deletionsHeld: Schema.Int,
  downloads: Schema.Int,
  apiCalls: Schema.Int,
  quotaUnits: Schema.Finite,
  checkerQueries: Schema.Int
})
export type Counts = typeof Counts.Type

export const RunStatus = Schema.Literals(["running", "succeeded", "partial", "failed", "interrupted"])
export type RunStatus = typeof RunStatus.Type

/** One execution of a task, or of a slice of it. */
export interface Run {
  readonly id: RunId
  readonly connectionId: ConnectionId
  readonly taskId: TaskId | null
  readonly status: RunStatus
  readonly counts: Counts
  /** Problems of the run (channels or folders that could not be listed), at most 100. */
  readonly problems: ReadonlyArray<Problem>
  /** Things a person should know: a full listing because the scope changed, for one. At most 100. */
  readonly notes: ReadonlyArray<string>
  readonly error: { readonly reason: string; readonly message: string } | null
  readonly startedAt: DateTime.Utc
  readonly finishedAt: DateTime.Utc | null
}

/** One row of the ledger. */
export interface LedgerRow {
  readonly externalId: string
  readonly state: "failed" | "dead" | "deferred"
  readonly revision: string | undefined
  readonly reason: string
  readonly message: string
  readonly attempts: number
  readonly nextAttemptAt: DateTime.Utc | null
}

export const ContentState = Schema.Literals(["stored", "failed", "dead", "gone", "deferred", "deleted"])
export type ContentState = typeof ContentState.Type

/** One content as it is listed. `hash` is SHA-256 in hex; null and 0 where nothing was ever stored. */
export interface ContentRow {
  readonly externalId: string
  readonly kind: string | null
  readonly state: ContentState
  readonly revision: string | null
  readonly hash: string | null
  readonly size: number
  readonly title: string | null
  readonly mediaType: string | null
  readonly occurredAt: DateTime.Utc | null
  readonly metadata: Metadata
  readonly volatile: Metadata
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

/** A place in a list of contents: just after the content that it names. By external id alone, or by both. */
export interface ContentPlace {
  readonly externalId: string
  readonly occurredAt: DateTime.Utc | null
}

/** Which contents are listed, in which order, and how many. */
export interface ContentSelection {
  readonly state: ContentState
  readonly limit: number
  /**
   * `id` (where it is left out): by external id, in the order of bytes. `newest`: by `occurredAt`, the latest first and
   * unknown times last; those of one time by external id, the last in the order of bytes first.
   */
  readonly order?: "id" | "newest" | undefined
  readonly kind?: string | undefined
  /** By `occurredAt`: since inclusive, until exclusive. What has no known time is in no such window. */
  readonly since?: DateTime.Utc | undefined
  readonly until?: DateTime.Utc | undefined
  /** In the title, whatever the case. */
  readonly text?: string | undefined
  /** The `next` of the page before, of the same selection. */
  readonly after?: ContentPlace | undefined
}

/** Bytes from `start` up to but not including `end`; what lies beyond the end of the body is not there. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * A page of a selection. `next` is where to go on, or null at the end. By `kind` or `text` a page may hold fewer rows than
 * `limit`, or none, and still have a `next`: a page looks at no more than so many rows (`Store.contents`).
 */
export interface ContentPage {
  readonly contents: ReadonlyArray<ContentRow>
  readonly next: ContentPlace | null
}

/**
 * A time of this database's during which transaction ids only grow. One that was restored, copied or moved begins another,
 * and places in the changes of the one before mean nothing any more.
 */
export interface Epoch {
  /** The database's own id: a copy of a database has it too. */
  readonly databaseId: string
  /** 1 for a database that was just created, one more with each epoch after: for people. */
  readonly number: number
  /** No other epoch has it, of whatever database. */
  readonly id: string
}

/**
 * A place in the order of the changes, which is that of (transaction, connection, external id): just after the row that it
 * names, or before all rows of the transaction where it names none.
 */
export interface ChangePlace {
  /** The id of a transaction, 0 to 2^64 - 1. */
  readonly transaction: bigint
  readonly row: { readonly connectionId: ConnectionId; readonly externalId: string } | null
}

export const ChangeKind = Schema.Literals(["stored", "updated", "deleted", "undeleted"])
export type ChangeKind = typeof ChangeKind.Type

/** The latest change of one content. */
export interface Change {
  readonly place: ChangePlace
  readonly connectionId: ConnectionId
  readonly change: ChangeKind
  /** As it is now, `stored` or `deleted`: what the ledger has against it is not part of its changes. */
  readonly content: ContentRow
}

export interface ChangePage {
  readonly epoch: Epoch
  readonly changes: ReadonlyArray<Change>
  /** Where to go on: after the last of `changes`, or, where no more are visible yet, where those that come will be. */
  readonly next: ChangePlace
  /** False where these are all that are visible now: a reader has to wait for more. */
  readonly more: boolean
  /** `after` lies ahead of all that this database has done: it can't have come from it, and `changes` is empty. */
  readonly isAhead: boolean
}

export interface Totals {
  readonly stored: number
  readonly failed: number
  readonly dead: number
  readonly deferred: number
  readonly deleted: number
  readonly bytes: number
  readonly deletionsHeld: number
}

/** The whole at a glance, for whoever watches it. No connection is named. */
export interface Overview {
  /** How many connections there are of a kind in a state. */
  readonly connections: ReadonlyArray<{
    readonly domain: string
    readonly state: "running" | "disconnected" | "paused" | "idle"
    readonly count: number
  }>
  readonly ledger: ReadonlyArray<{
    readonly domain: string
    readonly state: "failed" | "dead" | "deferred"
    readonly count: number
  }>
  readonly deletionsHeld: ReadonlyArray<{ readonly domain: string; readonly count: number }>
  /** How long the connection that waits longest has been due, in seconds; 0 where none waits. */
  readonly overdueSeconds: number
  /** Sessions that Idem's processes have in the database, by what they do; none for a store that has no sessions. */
  readonly sessions: ReadonlyArray<{ readonly state: string; readonly count: number }>
}

/** A connection whose next poll, next retry or requested task has come. */
export interface Due {
  readonly connectionId: ConnectionId
  readonly dueAt: DateTime.Utc
  /** True where a requested task is due. */
  readonly requested: boolean
}

/** How a deletion came to be staged, and since when. */
export interface StagedDeletion {
  readonly externalId: string
  readonly cause: "event" | "absence"
  readonly stagedAt: DateTime.Utc
}

/** What a purge took away: what deleted contents held, ids that were gone, and bodies that nothing else names. */
export interface Purged {
  readonly deleted: number
  readonly gone: number
  readonly bodies: number
  readonly bytes: number
}

/**
 * A sealed value, and where it stands. `id` is unique within its kind: a connection's id, a webhook's, a sign-in's state
 * hash. `subject` says whose credentials they are; null for the rest.
 */
export interface Sealed {
  readonly kind: "connection" | "sign-in" | "webhook"
  readonly id: string
  readonly subject: { readonly name: string; readonly domain: string; readonly account: string } | null
  readonly sealed: Uint8Array
}

/** Refs of ledger rows, for `download`. */
export const refOf = (row: LedgerRow): Ref => ({ externalId: row.externalId, revision: row.revision })
