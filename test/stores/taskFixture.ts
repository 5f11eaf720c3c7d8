/** Requests for tasks, and their runs. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { poll } from "../../src/contract/SyncTask.ts"
import { type ConnectionId } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import { type TaskRequest, type TaskRow } from "../../src/engine/model/Task.ts"
import type { Fence } from "../../src/engine/store/Fence.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { take } from "./scenario.ts"

export const forced = { force: true, forceIds: [], dryRun: false }
export const sync = (change: Partial<TaskRequest> = {}): TaskRequest => ({
  kind: "sync",
  task: forced,
  spec: "--force",
  externalIds: null,
  key: undefined,
  resumeWithin: Duration.days(1),
  ...change
})
export const live = sync({ task: poll, spec: "" })

/** Requests a task, and returns it. */
export const request = Effect.fnUntraced(function* (id: ConnectionId, given: TaskRequest) {
  const store = yield* WholeStore
  const asked = yield* store.requestTask(id, given)
  return asked._tag === "Requested" ? asked.task : yield* Effect.die(new Error(asked._tag))
})

let last = 0
/** Begins a run of this task. */
export const begin = Effect.fnUntraced(function* (fence: Fence, task: TaskRow) {
  const store = yield* WholeStore
  last += 1
  const runId = RunId.make(`run ${last} of a task, of ${process.pid}`)
  yield* store.beginRun(fence, { runId, taskId: task.id })
  return runId
})

export const fenceOf = (id: ConnectionId) => take(id)
