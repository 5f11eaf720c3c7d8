/** The engine's values as the documents that people and programs are shown. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type * as Documents from "../Documents.ts"
import type { Connection } from "../model/Connection.ts"
import type { ContentRow, LedgerRow } from "../model/Content.ts"
import type { Totals } from "../model/Overview.ts"
import type { Run } from "../model/Run.ts"
import type { TaskRow, TaskSummary } from "../model/Task.ts"
import * as MessageText from "../MessageText.ts"

/** What a person would call the connection's state. */
const stateOf = (connection: Connection, now: DateTime.Utc): Documents.Connection["state"] => {
  if (connection.lease !== null && DateTime.isGreaterThan(connection.lease.until, now)) return "running"
  if (connection.credentials === null) return "disconnected"
  return connection.paused === null ? "idle" : "paused"
}

export const connection = (of: Connection, now: DateTime.Utc): Documents.Connection => {
  const state = stateOf(of, now)
  return {
    name: of.name,
    id: of.id,
    domain: of.domain,
    account: of.account,
    state,
    paused: of.paused,
    every: MessageText.duration(of.every),
    nextPollAt: of.paused === null ? of.nextPollAt : null,
    failures: of.failures,
    holder: state === "running" ? (of.lease?.holder ?? null) : null,
    config: of.config,
    createdAt: of.createdAt
  }
}

export const status = (
  of: Connection,
  now: DateTime.Utc,
  known: { readonly totals: Totals; readonly lastRun: Run | undefined; readonly unfinished: ReadonlyArray<TaskRow> }
): Documents.Status => {
  const { lastRun, totals, unfinished } = known
  return {
    ...connection(of, now),
    totals,
    ledger: totals.failed + totals.dead + totals.deferred,
    lastRun: lastRun === undefined ? null : run(lastRun),
    unfinished: unfinished.map(({ createdAt, id, spec }) => ({ task: id, spec, createdAt }))
  }
}

export const run = (of: Run): Documents.Run => ({
  run: of.id,
  task: of.taskId,
  status: of.status,
  ...of.counts,
  startedAt: of.startedAt,
  finishedAt: of.finishedAt,
  durationMs: of.finishedAt === null ? null : Duration.toMillis(DateTime.distance(of.startedAt, of.finishedAt)),
  error: of.error,
  notes: of.notes,
  problems: of.problems
})

export const contentRow = (of: ContentRow): Documents.ContentRow => ({
  externalId: of.externalId,
  kind: of.kind,
  state: of.state,
  revision: of.revision,
  hash: of.hash,
  size: of.size,
  title: of.title,
  occurredAt: of.occurredAt,
  updatedAt: of.updatedAt
})

/** All that is known of one content, without its body. */
export const content = (of: ContentRow): Documents.Content => ({
  ...contentRow(of),
  createdAt: of.createdAt,
  mediaType: of.mediaType,
  metadata: of.metadata,
  volatile: of.volatile
})

export const ledgerRow = (of: LedgerRow): Documents.LedgerRow => ({ ...of, revision: of.revision ?? null })

const taskStatus = ({ counts, task }: TaskSummary): Documents.Task["status"] => {
  if (task.finishedAt === null) return task.begun ? "running" : "queued"
  if (task.error !== null) return "failed"
  return counts.failed > 0 ? "partial" : "succeeded"
}

export const task = (of: TaskSummary): Documents.Task => ({
  task: of.task.id,
  connection: of.task.connectionId,
  spec: of.task.spec,
  status: taskStatus(of),
  counts: of.counts,
  run: of.lastRun,
  createdAt: of.task.createdAt,
  finishedAt: of.task.finishedAt,
  error: of.task.error,
  notes: of.notes,
  problems: of.problems
})
