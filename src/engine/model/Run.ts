/** The model of runs in the stores. */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import type { Problem } from "../../contract/Page.ts"
import type { ConnectionId } from "./Connection.ts"
import type { Counts } from "./RunCounts.ts"
import type { Failure, TaskId, TaskRow } from "./Task.ts"

export const RunId = Schema.String.pipe(Schema.brand("RunId"))
export type RunId = typeof RunId.Type

/** The sums of the runs that began in the hour that starts at `hour`. */
export interface Hour extends Pick<
  Counts,
  "stored" | "updated" | "unchanged" | "failed" | "deleted" | "apiCalls" | "quotaUnits"
> {
  readonly hour: DateTime.Utc
  readonly runs: number
}

export const RunStatus = Schema.Literals(["running", "succeeded", "partial", "failed", "interrupted"])
export type RunStatus = typeof RunStatus.Type

/** Returns the status of a run that was not interrupted, or of a task with several runs. */
export const statusOf = (ended: {
  readonly counts: Pick<Counts, "failed">
  readonly problems: ReadonlyArray<Problem>
  readonly error: Failure | null
}): "succeeded" | "partial" | "failed" =>
  ended.error !== null ? "failed" : ended.counts.failed > 0 || ended.problems.length > 0 ? "partial" : "succeeded"

/** The largest number of problems, and of notes, that a run keeps. */
export const maxKept = 100

/**
 * The purpose of a run: the schedule (`poll`), or a person's request for new content (`sync`), for everything again
 * (`force`), for single ids (`ids`), for a window of time (`window`), or for failed items (`retry`).
 */
export const RunKind = Schema.Literals(["poll", "sync", "force", "ids", "window", "retry"])
export type RunKind = typeof RunKind.Type

/** An execution of a task, or of a slice of it. */
export interface Run {
  readonly id: RunId
  readonly connectionId: ConnectionId
  readonly taskId: TaskId | null
  /** Null for runs of versions that did not store it. */
  readonly kind: RunKind | null
  readonly status: RunStatus
  readonly counts: Counts
  /** Problems of the run (channels or folders that could not be listed), at most `maxKept`. */
  readonly problems: ReadonlyArray<Problem>
  /** Notes for a person, for example of a full listing because the scope changed. At most `maxKept`. */
  readonly notes: ReadonlyArray<string>
  readonly error: Failure | null
  readonly startedAt: DateTime.Utc
  readonly finishedAt: DateTime.Utc | null
}

/** A task with the totals of its runs; at most 100 notes and 100 problems. */
export interface TaskSummary {
  readonly task: TaskRow
  readonly counts: Counts
  readonly lastRun: RunId | null
  readonly notes: ReadonlyArray<string>
  readonly problems: ReadonlyArray<Problem>
}
