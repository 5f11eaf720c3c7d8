/** Adds a task to a connection's queue: a sync, or a retry of ledger rows. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { poll, SyncTask } from "../../contract/SyncTask.ts"
import { Limits } from "../../engine/Limits.ts"
import * as MessageText from "../../engine/MessageText.ts"
import type { Connection, ConnectionId } from "../../engine/model/Connection.ts"
import type { TaskId } from "../../engine/model/Task.ts"
import * as TaskQueue from "../../engine/sync/TaskQueue.ts"
import { LedgerStore } from "../../engine/store/LedgerStore.ts"
import { TaskStore } from "../../engine/store/TaskStore.ts"
import { ConflictProblem, NotFoundProblem } from "../Problems.ts"
import * as Documents from "./TaskDocuments.ts"

/**
 * The request of a task: a sync (without fields, a poll now), or `retry`: these ledger rows, or all of them if the list
 * is empty.
 */
const Submission = Schema.Union([
  Schema.TaggedStruct("sync", { task: SyncTask, spec: Schema.String }),
  Schema.TaggedStruct("retry", { externalIds: Schema.Array(Schema.String) })
])
type Submission = typeof Submission.Type

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(Submission)))

/** Returns the digest of a request. The order of ids does not matter. */
const digestOf = (request: Submission): string => {
  const same =
    request._tag === "retry"
      ? { ...request, externalIds: request.externalIds.toSorted() }
      : { ...request, task: { ...request.task, forceIds: request.task.forceIds.toSorted() } }
  return createHash("sha256").update(encodeRequest(same)).digest("hex")
}

const rowOf = (request: Submission) => {
  if (request._tag === "sync") {
    return { kind: "sync", task: request.task, spec: request.spec, externalIds: null } as const
  }
  const externalIds = request.externalIds.length === 0 ? null : [...new Set(request.externalIds)].toSorted()
  const spec = ["retry", ...(externalIds ?? []).map(MessageText.shellWord)].join(" ")
  return { kind: "retry", task: poll, spec, externalIds } as const
}

export const make = Effect.gen(function* () {
  const tasks = yield* TaskStore
  const ledger = yield* LedgerStore
  const { resumeWithin } = yield* Limits

  const summary = Effect.fnUntraced(function* (connectionId: ConnectionId, taskId: TaskId) {
    const [found] = yield* tasks.taskSummaries(connectionId, { taskId, limit: 1 })
    if (found !== undefined) return Documents.task(found)
    return yield* new NotFoundProblem({
      what: "task",
      detail: `there is no task ${MessageText.quoted(taskId)} of this connection: it may be too old to be kept`
    })
  })

  /**
   * Queues a task. A serving process runs it in slices, before the connection's next poll and then in turns with its
   * polls. If that process dies, another one continues the task (see `TaskQueue.ts` for what ends it). A paused
   * connection runs the task too, because a person asked, but is still not polled.
   *
   * The same key with the same request returns the earlier task. Without a key, a request that is already queued is not
   * queued twice, an unfinished sync with the same spec is continued, and a new sync resumes from a failed one with the
   * same spec.
   */
  const submit = Effect.fnUntraced(function* (connection: Connection, request: Submission, idempotencyKey?: string) {
    const row = rowOf(request)
    const key = idempotencyKey === undefined ? undefined : { key: idempotencyKey, digest: digestOf(request) }
    // A repeated request returns its task, even if the rows have changed since.
    if (row.externalIds !== null && key === undefined)
      yield* TaskQueue.requireInLedger(ledger, connection, row.externalIds)
    const requested = yield* tasks.requestTask(connection.id, { ...row, key, resumeWithin })
    switch (requested._tag) {
      case "Requested":
        return yield* summary(connection.id, requested.task.id)
      case "KeyTaken":
        return yield* new ConflictProblem({
          detail: `the idempotency key ${MessageText.quoted(idempotencyKey ?? "")} was used for another request of ${MessageText.quoted(connection.name)}: give each request a key of its own`
        })
      case "Disconnected":
        return yield* new ConflictProblem({
          detail: `${MessageText.quoted(connection.name)} is disconnected, and has no credentials: connect it again first`
        })
      case "Gone":
        return yield* new NotFoundProblem({
          what: "connection",
          detail: `the connection ${MessageText.quoted(connection.name)} was removed`
        })
    }
  })

  return { submit, summary }
})
