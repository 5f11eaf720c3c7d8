/** Connections, their ledgers and their staged deletions as API documents. No field contains a secret. */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as MessageText from "../../engine/MessageText.ts"
import * as Model from "../../engine/model/Connection.ts"
import * as ContentModel from "../../engine/model/Content.ts"
import * as ProgressEstimate from "../../engine/model/ProgressEstimate.ts"
import * as RunCounts from "../../engine/model/RunCounts.ts"
import * as Overview from "../../engine/model/Overview.ts"
import type * as RunModel from "../../engine/model/Run.ts"
import { TaskId, type TaskRow } from "../../engine/model/Task.ts"
import type { TaskSummary } from "../../engine/model/Run.ts"
import { Problem, Run, run } from "../tasks/TaskDocuments.ts"
import { unlimited } from "../../contract/Quota.ts"

const Time = Schema.DateTimeUtcFromString

export const Connection = Schema.Struct({
  name: Schema.String,
  id: Model.ConnectionId,
  domain: Schema.String,
  account: Schema.String,
  state: Model.ConnectionState,
  /** Why the connection is paused; null if it is not. */
  paused: Schema.NullOr(Schema.String),
  /** The polling interval in Effect's form: `5 minutes`. */
  every: Schema.String,
  /**
   * Places (folders, channels) that could not be listed, and why. The place `events` is the source's stream of events:
   * while the source refuses it, only polls find changes.
   */
  problems: Schema.Array(Problem),
  /** When the source last answered a poll. */
  lastCheckedAt: Schema.NullOr(Time),
  nextPollAt: Schema.NullOr(Time),
  /** The time until which the source asked Idem to wait; null if it did not, or if that time has passed. */
  askedToWaitUntil: Schema.NullOr(Time),
  /** The number of failed runs in a row. */
  failures: Schema.Int,
  /** The process that runs the connection now; null if none does. */
  holder: Schema.NullOr(Schema.String),
  config: Schema.Json,
  /** The name of the connection that created this one for one of its accounts; null if a person created it. */
  memberOf: Schema.NullOr(Schema.String),
  createdAt: Time
}).annotate({ identifier: "Connection" })
export type Connection = typeof Connection.Type

/** A task that has not ended, as `idem status` shows it. */
const Unfinished = Schema.Struct({ task: TaskId, spec: Schema.String, createdAt: Time })

/** The progress of a connection's run. */
const Progress = Schema.Struct({
  /** The number of items with an outcome. */
  ended: Schema.Int,
  /** The estimated number of items; null if the source gives none. */
  expected: Schema.NullOr(Schema.Int),
  /** Items a minute; null before the first one. */
  perMinute: Schema.NullOr(Schema.Finite),
  /** How long the rest takes, by the slower of the measured rate and the quota. */
  remainingMs: Schema.NullOr(Schema.Finite)
}).annotate({ identifier: "Progress" })
type Progress = typeof Progress.Type

/** A connection with its stored totals and its last run. `ledger` is the sum of failed, dead and deferred. */
export const Status = Schema.Struct({
  ...Connection.fields,
  totals: Overview.Totals,
  ledger: Schema.Int,
  /** Content that the config leaves out and a person may miss, and how to include it. */
  leftOut: Schema.Array(Schema.String),
  /** How many connections this one has created, and how many of them are retired; null if it creates none. */
  members: Schema.NullOr(Schema.Struct({ total: Schema.Int, retired: Schema.Int })),
  lastRun: Schema.NullOr(Run),
  /** The progress of the present run; null if none runs. */
  progress: Schema.NullOr(Progress),
  /** The source's estimate at connect, and how long one item takes at the quota. */
  estimate: Schema.NullOr(Schema.Struct({ items: Schema.Finite, millisPerItem: Schema.Finite })),
  /** The quota of the account; null if it is unlimited. */
  unitsPerMinute: Schema.NullOr(Schema.Finite),
  unfinished: Schema.Array(Unfinished)
}).annotate({ identifier: "Status" })
export type Status = typeof Status.Type

export const LedgerRow = Schema.Struct({
  externalId: Schema.String,
  state: ContentModel.LedgerState,
  revision: Schema.NullOr(Schema.String),
  reason: Schema.String,
  message: Schema.String,
  attempts: Schema.Int,
  nextAttemptAt: Schema.NullOr(Time)
}).annotate({ identifier: "LedgerRow" })
export type LedgerRow = typeof LedgerRow.Type

const StagedDeletion = Schema.Struct({
  externalId: Schema.String,
  kind: Schema.NullOr(Schema.String),
  title: Schema.NullOr(Schema.String),
  occurredAt: Schema.NullOr(Time),
  cause: Schema.Literals(["event", "absence"]),
  stagedAt: Time
}).annotate({ identifier: "StagedDeletion" })

/** The first held deletions. */
export const HeldDeletions = Schema.Struct({
  deletions: Schema.Array(StagedDeletion),
  /** The number of all held deletions. */
  total: Schema.Int,
  /** Identifies all deletions that are held now. An approval has to contain it. */
  token: Schema.String
}).annotate({ identifier: "HeldDeletions" })

/** The approved deletions: all of those that the token identifies, or these ids. */
export const Approval = Schema.Union([
  Schema.Struct({ token: Schema.String }),
  Schema.Struct({ externalIds: Schema.NonEmptyArray(Schema.String) })
]).annotate({ identifier: "Approval" })
export type Approval = typeof Approval.Type

/** Returns the connection's state. */
const stateOf = (connection: Model.Connection, now: DateTime.Utc): Connection["state"] => {
  if (connection.lease !== null && DateTime.isGreaterThan(connection.lease.until, now)) return "running"
  if (connection.credentials === null) return "disconnected"
  return connection.paused === null ? "idle" : "paused"
}

/** Makes the document of a connection. `owner` is the connection that created it. */
export const connection = (
  of: Model.Connection,
  now: DateTime.Utc,
  owner: Pick<Model.Connection, "name"> | undefined
): Connection => {
  const state = stateOf(of, now)
  return {
    name: of.name,
    id: of.id,
    domain: of.domain,
    account: of.account,
    state,
    paused: of.paused,
    every: MessageText.duration(of.every),
    problems: [
      ...of.problems.current,
      ...(of.problems.hints === undefined ? [] : [{ place: "events", message: of.problems.hints }])
    ],
    lastCheckedAt: of.lastCheckedAt,
    nextPollAt: of.paused === null ? of.nextPollAt : null,
    askedToWaitUntil:
      of.askedWaitUntil !== null && DateTime.isGreaterThan(of.askedWaitUntil, now) ? of.askedWaitUntil : null,
    failures: of.failures,
    holder: state === "running" ? (of.lease?.holder ?? null) : null,
    config: of.config,
    memberOf: owner?.name ?? null,
    createdAt: of.createdAt
  }
}

/**
 * Computes the progress of a run. A first sync and a forced task take several runs, so their numbers continue from run
 * to run. Until the stored number reaches the estimate, stored contents count as done. For a forced task, the counts of
 * all its runs are used, and the expected number is that of all items. Other runs are counted on their own.
 */
const progressOf = (
  of: RunModel.Run,
  totals: Overview.Totals,
  size: ProgressEstimate.SyncSize,
  forced: Pick<TaskSummary, "counts"> | undefined,
  now: DateTime.Utc
): Progress => {
  const [known, ended] = RunCounts.sides(of.counts)
  const stored = totals.stored + totals.failed + totals.dead + totals.deferred
  const isOfAll = of.kind === "poll" || of.kind === "sync"
  const isFirst = isOfAll && size.items !== undefined && stored < size.items
  const endedBefore = forced === undefined ? (isFirst ? stored : ended) : RunCounts.sides(forced.counts)[1]
  const before = Math.max(0, endedBefore - ended)
  const hasEnd = isFirst || forced !== undefined
  const items =
    forced === undefined ? size.items : ProgressEstimate.itemsOf({ atConnect: size.items, stored: totals.stored }, true)
  const elapsedMs = Math.max(1, DateTime.toEpochMillis(now) - DateTime.toEpochMillis(of.startedAt))
  const { expected, remainingMs } = ProgressEstimate.next(
    undefined,
    { known: before + known, ended: before + ended, remaining: hasEnd ? undefined : 0 },
    { ...size, items, elapsedMs, startedAt: before }
  )
  return {
    ended: before + ended,
    expected: expected === undefined ? null : Math.round(expected),
    perMinute: ended === 0 ? null : (ended / elapsedMs) * 60_000,
    remainingMs: hasEnd && remainingMs !== undefined ? Math.round(remainingMs) : null
  }
}

export const status = (
  of: Model.Connection,
  now: DateTime.Utc,
  known: {
    readonly owner: Model.Connection | undefined
    readonly members: Status["members"]
    readonly totals: Overview.Totals
    readonly leftOut: ReadonlyArray<string>
    readonly lastRun: RunModel.Run | undefined
    /** The task of `lastRun`, if it downloads everything again. */
    readonly forced: Pick<TaskSummary, "counts"> | undefined
    /** Undefined if the config no longer fits the schema. */
    readonly unitsPerMinute: number | undefined
    readonly unfinished: ReadonlyArray<TaskRow>
  }
): Status => {
  const { forced, lastRun, leftOut, members, totals, unfinished } = known
  const { unitsPerMinute = unlimited } = known
  const millisPerItem = ((of.estimate?.unitsPerItem ?? 0) / unitsPerMinute) * 60_000
  const size = { items: of.estimate?.items, millisPerItem }
  return {
    ...connection(of, now, known.owner),
    members,
    totals,
    ledger: totals.failed + totals.dead + totals.deferred,
    leftOut,
    lastRun: lastRun === undefined ? null : run(lastRun),
    progress: lastRun?.status === "running" ? progressOf(lastRun, totals, size, forced, now) : null,
    estimate: of.estimate === null ? null : { items: of.estimate.items, millisPerItem },
    unitsPerMinute: unitsPerMinute < unlimited ? unitsPerMinute : null,
    unfinished: unfinished.map(({ createdAt, id, spec }) => ({ task: id, spec, createdAt }))
  }
}

export const ledgerRow = (of: ContentModel.LedgerRow): LedgerRow => ({ ...of, revision: of.revision ?? null })
