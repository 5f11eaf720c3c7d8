/** The store of tasks: those that commands open, and the queue of requested ones. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { SyncTask } from "../../contract/SyncTask.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { Run, TaskSummary } from "../model/Run.ts"
import type { TaskId, TaskRequest, TaskRow } from "../model/Task.ts"
import type { Fence, Superseded } from "./Fence.ts"
import type { StoreError } from "./StoreError.ts"

export class TaskStore extends Context.Service<
  TaskStore,
  {
    /**
     * Returns the connection's open task with this spec that is not requested and made progress within `resumeWithin`.
     * If there is none, returns a new task.
     */
    readonly openTask: (
      connectionId: ConnectionId,
      task: { readonly task: SyncTask; readonly spec: string; readonly resumeWithin: Duration.Duration }
    ) => Effect.Effect<TaskRow, StoreError>
    /** Returns the open tasks that commands began, oldest first. */
    readonly openTasks: (connectionId: ConnectionId) => Effect.Effect<ReadonlyArray<TaskRow>, StoreError>
    /** Returns the ids that `Batch.done` recorded for the task and that no page end has cleared since. */
    readonly taskDone: (taskId: TaskId) => Effect.Effect<ReadonlySet<string>, StoreError>
    /**
     * Ends a task. Without an error, its progress is deleted. With an error, its progress is kept: a request with the
     * same text resumes from it.
     */
    readonly finishTask: (
      fence: Fence,
      taskId: TaskId,
      error?: Run["error"]
    ) => Effect.Effect<void, StoreError | Superseded>
    /**
     * Adds a task to the connection's queue, due at once. If the idempotency key is stored with the same digest,
     * returns its task; with another digest, fails with `KeyTaken`. If a task with the same text is open, returns it
     * instead of a new one (a task that a command left open becomes requested). This excludes live syncs and retries
     * that have begun, because they may miss what came later. A new sync resumes from the last task with the same text
     * if that task failed.
     */
    readonly requestTask: (
      connectionId: ConnectionId,
      request: TaskRequest
    ) => Effect.Effect<
      | { readonly _tag: "Requested"; readonly task: TaskRow }
      | { readonly _tag: "KeyTaken" }
      | { readonly _tag: "Disconnected" }
      | { readonly _tag: "Gone" },
      StoreError
    >
    readonly task: (taskId: TaskId) => Effect.Effect<Option.Option<TaskRow>, StoreError>
    /** Returns the requested task of this connection that has been due the longest; `Option.none` if none is due. */
    readonly nextTask: (connectionId: ConnectionId) => Effect.Effect<Option.Option<TaskRow>, StoreError>
    /** Makes a requested task due again after `dueIn`. Also stores `checkpoint` if it is given. */
    readonly requeueTask: (
      fence: Fence,
      taskId: TaskId,
      next: {
        readonly dueIn: Duration.Duration
        readonly failures: number
        readonly checkpoint?: Schema.Json | undefined
      }
    ) => Effect.Effect<void, StoreError | Superseded>
    /** Returns tasks with the totals of their runs, newest first: all tasks, or the given one. */
    readonly taskSummaries: (
      connectionId: ConnectionId,
      options: { readonly taskId?: TaskId | undefined; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<TaskSummary>, StoreError>
  }
>()("idem/engine/store/TaskStore") {}
