/** Tasks as a store keeps them. */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isLive, type SyncTask } from "../../contract/SyncTask.ts"
import type { ConnectionId } from "./Connection.ts"

export const TaskId = Schema.String.pipe(Schema.brand("TaskId"))
export type TaskId = typeof TaskId.Type

/** Why a task or a run failed. `reason` is an `IntegrationError`'s, or one of the engine's own. */
export interface Failure {
  readonly reason: string
  readonly message: string
}

/**
 * A task. A task that a command opened (`requested` is false) is run by that command, and has a row only if it keeps a
 * checkpoint of its own. A requested task waits in its connection's queue for a serving process.
 */
export interface TaskRow {
  readonly id: TaskId
  readonly connectionId: ConnectionId
  /** `retry`: rows of the ledger, and no listing; `task` is a poll's then. */
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
  /** When its next slice may begin. */
  readonly dueAt: DateTime.Utc
  /** Slices in a row that failed. */
  readonly failures: number
  /** True once a run of it has begun. */
  readonly begun: boolean
  readonly finishedAt: DateTime.Utc | null
  /** Why it failed. */
  readonly error: Failure | null
}

/** The request of `requestTask`. */
export interface TaskRequest extends Pick<TaskRow, "kind" | "task" | "spec" | "externalIds"> {
  /** The same key with the same digest (hex) is the same request. */
  readonly key: { readonly key: string; readonly digest: string } | undefined
  /** An unfinished or failed task with the same text is continued if it moved within this time. */
  readonly resumeWithin: Duration.Duration
}

/**
 * True if a request resumes an earlier task with the same text: an open one that has begun, or the last one if it
 * failed. A live sync or a retry does not: one that has begun may miss what came after its beginning.
 */
export const resumes = ({ kind, task }: Pick<TaskRequest, "kind" | "task">): boolean => kind === "sync" && !isLive(task)
