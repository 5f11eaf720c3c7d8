/** The model of tasks in the stores. */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isLive, type SyncTask } from "../../contract/SyncTask.ts"
import type { ConnectionId } from "./Connection.ts"

export const TaskId = Schema.String.pipe(Schema.brand("TaskId"))
export type TaskId = typeof TaskId.Type

/** Why a task or a run failed. `reason` is the tag of an `IntegrationError`'s reason, or one of the engine's own. */
export interface Failure {
  readonly reason: string
  readonly message: string
}

/**
 * A task. If a command opened the task (`requested` is false), that command runs it, and the task has a row only if it
 * keeps its own checkpoint. A requested task waits in its connection's queue for a serving process.
 */
export interface TaskRow {
  readonly id: TaskId
  readonly connectionId: ConnectionId
  /** `retry` runs rows of the ledger without a listing; its `task` is that of a poll. */
  readonly kind: "sync" | "retry"
  readonly task: SyncTask
  /** The request as text. An open task with the same text is resumed. */
  readonly spec: string
  /** The rows of a `retry`; null for all rows that exist when it begins. */
  readonly externalIds: ReadonlyArray<string> | null
  readonly requested: boolean
  readonly checkpoint: Option.Option<Schema.Json>
  readonly scope: string | null
  readonly createdAt: DateTime.Utc
  /** The time at which the next slice may begin. */
  readonly dueAt: DateTime.Utc
  /** The number of failed slices in a row. */
  readonly failures: number
  /** True once a run of the task has begun. */
  readonly begun: boolean
  readonly finishedAt: DateTime.Utc | null
  /** Why the task failed; null if it did not. */
  readonly error: Failure | null
}

/** The request of `requestTask`. */
export interface TaskRequest extends Pick<TaskRow, "kind" | "task" | "spec" | "externalIds"> {
  /** The idempotency key and the digest (hex) of the request. The same key with the same digest is the same request. */
  readonly key: { readonly key: string; readonly digest: string } | undefined
  /** An unfinished or failed task with the same text is resumed if it made progress within this time. */
  readonly resumeWithin: Duration.Duration
}

/**
 * Returns true if a request resumes an earlier task with the same text: an open task that has begun, or the last one if
 * it failed. A live sync and a retry are not resumed: after they have begun, they may miss what came later.
 */
export const resumes = ({ kind, task }: Pick<TaskRequest, "kind" | "task">): boolean => kind === "sync" && !isLive(task)
