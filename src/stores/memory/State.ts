/** The state of the memory store. It changes only in single synchronous steps, which serve as transactions. */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { Metadata } from "../../contract/Content.ts"
import type { Problem } from "../../contract/Page.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import type { Tally } from "../../engine/model/RunCounts.ts"
import type { ChangeKind, Epoch } from "../../engine/model/Change.ts"
import type { ConnectionId, ItemEstimate, Member, Problems } from "../../engine/model/Connection.ts"
import type { ContentState, LedgerRow } from "../../engine/model/Content.ts"
import type { Run, RunId, RunKind } from "../../engine/model/Run.ts"
import type { Message, Webhook, WebhookId } from "../../engine/model/Webhook.ts"
import type { TaskId, TaskRow } from "../../engine/model/Task.ts"
import { type Fence, Superseded } from "../../engine/store/Fence.ts"

/** A time in milliseconds of Effect's clock. */
export type Millis = number

/** A content, or an id in the ledger. `pending` is its state in the ledger; `state` is the state that readers see. */
export interface ContentEntry {
  readonly externalId: string
  state: ContentState
  pending: LedgerRow["state"] | null
  reason: string | null
  message: string | null
  attempts: number
  nextAttemptAt: Millis | null
  triedRevision: string | undefined
  revision: string | undefined
  kind: string | null
  title: string | null
  mediaType: string | null
  occurredAt: DateTime.Utc | undefined
  metadata: Metadata
  volatile: Metadata
  hash: string | null
  size: number
  bodyKey: string | undefined
  /**
   * The latest change, and the step in which it was made; null until the content is stored. After a purge it is a
   * deletion.
   */
  changed: { readonly step: number; readonly kind: ChangeKind } | null
  /** The steps in which the content last became `stored` and `undeleted`. */
  became: { readonly stored: number | null; readonly undeleted: number | null }
  /** The entry is in scope if this equals its connection's `scopeEpoch`. */
  scopeEpoch: number
  createdAt: Millis
  updatedAt: Millis
  /**
   * The position in the order in which contents were created and leases acquired. The clock may be too coarse for this
   * order.
   */
  born: number
  /** When the content was last deleted, in the same order; null until then. */
  died: number | null
}

export interface StagedEntry {
  readonly cause: "event" | "absence"
  /** True if a page of a listing reported the deletion, false if a page of changes did. */
  ofPass: boolean
  readonly stagedAt: Millis
  /** When the pass or the reading that found the deletion began, in the order of `born`. */
  readonly since: number
  ready: boolean
  held: boolean
}

interface ListingEntry {
  readonly listing: string
  readonly born: number
  readonly seen: Set<string>
}

export interface ConnectionEntry {
  readonly id: ConnectionId
  readonly name: string
  readonly domain: string
  readonly account: string
  config: Schema.Json
  credentials: Uint8Array | null
  every: Duration.Duration
  fence: bigint
  paused: string | null
  checkpoint: Option.Option<Schema.Json>
  scope: string | null
  /** Grows by one with each change of the scope. Contents seen since then have the same number. */
  scopeEpoch: number
  /** When the present reading of the changes began, in the order of `born`; null if none is in progress. */
  readingSince: number | null
  lastCheckedAt: Millis | null
  problems: Problems
  nextPollAt: Millis
  dueAt: Millis
  lease: { readonly holder: string; readonly until: Millis } | null
  /** When the lease was last acquired, in the order of `born`. */
  acquired: number
  failures: number
  guarded: boolean
  askedWaitUntil: Millis | null
  member: Member | null
  estimate: ItemEstimate | null
  readonly createdAt: Millis
  readonly contents: Map<string, ContentEntry>
  readonly staged: Map<string, StagedEntry>
  listing: ListingEntry | null
  parts: Map<string, Schema.Json>
}

export interface TaskEntry {
  readonly id: TaskId
  readonly connectionId: ConnectionId
  readonly kind: TaskRow["kind"]
  readonly task: SyncTask
  readonly spec: string
  externalIds: ReadonlyArray<string> | null
  requested: boolean
  checkpoint: Option.Option<Schema.Json>
  scope: string | null
  readonly createdAt: Millis
  movedAt: Millis
  dueAt: Millis
  failures: number
  finishedAt: Millis | null
  error: Run["error"]
  done: Set<string>
  parts: Map<string, Schema.Json>
  /** The digests (hex) of the requests for this task, by their idempotency keys. */
  readonly keys: Map<string, string>
}

export interface RunEntry {
  readonly id: RunId
  readonly connectionId: ConnectionId
  readonly taskId: TaskId | null
  readonly kind: RunKind | null
  status: Run["status"]
  readonly counts: Tally
  problems: ReadonlyArray<Problem>
  notes: ReadonlyArray<string>
  error: Run["error"]
  readonly startedAt: Millis
  finishedAt: Millis | null
}

interface BodyEntry {
  /** Null if the bytes are in the blob store. */
  readonly bytes: Uint8Array | null
  readonly size: number
  readonly touchedAt: Millis
}

export interface WebhookEntry {
  webhook: Webhook
  /** The messages, oldest first. */
  messages: Array<MessageEntry>
}

export interface MessageEntry {
  message: Message
  body: string
  claim: number
  redelivered: boolean
  /** When the message is due; null unless it is pending. */
  dueAt: Millis | null
}

export interface State {
  readonly connections: Map<ConnectionId, ConnectionEntry>
  readonly tasks: Map<TaskId, TaskEntry>
  readonly runs: Map<RunId, RunEntry>
  readonly webhooks: Map<WebhookId, WebhookEntry>
  /** Bodies by their hash in hex. */
  readonly bodies: Map<string, BodyEntry>
  /** Pending sign-ins by the hash of their state, in hex. */
  readonly signIns: Map<string, { sealed: Uint8Array; readonly expiresAt: Millis }>
  readonly locks: Map<string, { readonly holder: string; readonly until: Millis }>
  /** The expiry of the record of each ended session, by the session's hash in hex. */
  readonly endedSessions: Map<string, Millis>
  /** The ids of retired keys, in hex. */
  readonly retiredKeys: Set<string>
  /** The last number given to a connection, a task, a content or a lease. */
  last: number
  /** The number of the step that changes contents. It corresponds to a transaction's id. */
  step: number
  readonly epoch: Epoch
}

export const utc = (millis: Millis): DateTime.Utc => DateTime.makeUnsafe(millis)

export const empty = (epoch: Epoch): State => ({
  epoch,
  step: 0,
  connections: new Map(),
  tasks: new Map(),
  runs: new Map(),
  webhooks: new Map(),
  bodies: new Map(),
  signIns: new Map(),
  locks: new Map(),
  endedSessions: new Map(),
  retiredKeys: new Set(),
  last: 0
})

export const next = (state: State): number => {
  state.last += 1
  return state.last
}

/** Returns true for a task that waits for a serving process. */
export const isQueued = (task: TaskEntry): boolean => task.requested && task.finishedAt === null

/** Returns a new id in the form of PostgreSQL's UUIDs. */
export const uuid = (state: State): string => `00000000-0000-4000-8000-${next(state).toString(16).padStart(12, "0")}`

/** Compares by the bytes of UTF-8, which for well-formed text is the order of code points (not of UTF-16 units). */
export const byBytes = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i += 1) {
    const one = a.codePointAt(i) ?? 0
    const other = b.codePointAt(i) ?? 0
    if (one !== other) return one - other
  }
  return a.length - b.length
}

/** Returns the connection if the fence is current; otherwise fails with `Superseded`. */
export const fenced = (state: State, fence: Fence): Effect.Effect<ConnectionEntry, Superseded> => {
  const entry = state.connections.get(fence.connectionId)
  return entry === undefined || entry.fence !== fence.fence
    ? Effect.fail(new Superseded({ connectionId: fence.connectionId }))
    : Effect.succeed(entry)
}
