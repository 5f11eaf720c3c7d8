/** Tasks as a store keeps them. */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Problem } from "../../contract/Page.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import type { ConnectionId } from "./Connection.ts"
import type { RunId, Run } from "./Run.ts"
import type { Counts } from "./RunCounts.ts"

export const TaskId = Schema.String.pipe(Schema.brand("TaskId"))
export type TaskId = typeof TaskId.Type

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
