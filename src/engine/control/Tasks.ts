/** `Control` of tasks and runs. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { poll } from "../../contract/SyncTask.ts"
import { Conflict, type ConnectionRef, type Control, NotFound } from "../Control.ts"
import * as Documents from "../Documents.ts"
import { type Engine, UsageError } from "../Engine.ts"
import type { Limits } from "../Limits.ts"
import type { Connection, ConnectionId } from "../model/Connection.ts"
import type { TaskId } from "../model/Task.ts"
import type { Store } from "../Store.ts"
import * as MessageText from "../MessageText.ts"
import * as Naming from "./Naming.ts"
import * as Shown from "./Shown.ts"

type Methods = Pick<
  Control["Service"],
  "submit" | "task" | "tasks" | "plan" | "sync" | "retry" | "runs" | "run" | "statistics"
>

/** The longest `Idempotency-Key`, in characters. */
const keyAtMost = 255

/** The most hours of `statistics`: 31 days. */
const hoursAtMost = 744

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(Documents.TaskRequest)))

/** One digest for one request: the order of ids does not matter. */
const digestOf = (request: Documents.TaskRequest): string => {
  const same =
    request._tag === "retry"
      ? { ...request, externalIds: request.externalIds.toSorted() }
      : { ...request, task: { ...request.task, forceIds: request.task.forceIds.toSorted() } }
  return createHash("sha256").update(encodeRequest(same)).digest("hex")
}

const rowOf = (request: Documents.TaskRequest) => {
  if (request._tag === "sync") {
    return { kind: "sync", task: request.task, spec: request.spec, externalIds: null } as const
  }
  const externalIds = request.externalIds.length === 0 ? null : [...new Set(request.externalIds)].toSorted()
  const spec = ["retry", ...(externalIds ?? []).map(MessageText.shellWord)].join(" ")
  return { kind: "retry", task: poll, spec, externalIds } as const
}

export const make = (
  store: Store["Service"],
  engine: Engine["Service"],
  { resumeWithin }: Pick<Limits, "resumeWithin">
): Methods => {
  const find = (ref: ConnectionRef) => Naming.connection(store, ref)

  const summary = Effect.fnUntraced(function* (connectionId: ConnectionId, taskId: TaskId) {
    const [found] = yield* store.taskSummaries(connectionId, { taskId, limit: 1 })
    if (found !== undefined) return Shown.task(found)
    return yield* new NotFound({
      what: "task",
      message: `there is no task ${MessageText.quoted(taskId)} of this connection: it may be too old to be kept`
    })
  })

  const inLedger = Effect.fnUntraced(function* (connection: Connection, externalIds: ReadonlyArray<string>) {
    const there = yield* store.ledger(connection.id, { externalIds, limit: externalIds.length })
    const known = new Set(there.map((row) => row.externalId))
    const missing = externalIds.filter((id) => !known.has(id))
    if (missing.length === 0) return
    const shown = missing.slice(0, 3).map(MessageText.quoted).join(", ")
    const more = missing.length > 3 ? ` and ${missing.length - 3} more` : ""
    return yield* new UsageError({
      message: `${shown}${more}: not among the failures of ${MessageText.quoted(connection.name)}`
    })
  })

  return {
    submit: Effect.fnUntraced(function* (ref, request, { idempotencyKey }) {
      const connection = yield* find(ref)
      if (request._tag === "sync" && request.task.dryRun) {
        return yield* new UsageError({ message: "a dry run is no task: plan it, nothing is queued" })
      }
      if (idempotencyKey !== undefined && (idempotencyKey === "" || idempotencyKey.length > keyAtMost)) {
        return yield* new UsageError({ message: `the idempotency key must have 1 to ${keyAtMost} characters` })
      }
      const row = rowOf(request)
      const key = idempotencyKey === undefined ? undefined : { key: idempotencyKey, digest: digestOf(request) }
      // A request that was made before has its answer, whatever became of the rows.
      if (row.externalIds !== null && key === undefined) yield* inLedger(connection, row.externalIds)
      const asked = yield* store.requestTask(connection.id, { ...row, key, resumeWithin })
      switch (asked._tag) {
        case "Requested":
          return yield* summary(connection.id, asked.task.id)
        case "KeyTaken":
          return yield* new Conflict({
            message: `the idempotency key ${MessageText.quoted(idempotencyKey ?? "")} was used for another request of ${MessageText.quoted(connection.name)}: give each request a key of its own`
          })
        case "Disconnected":
          return yield* new Conflict({
            message: `${MessageText.quoted(connection.name)} is disconnected, and has no credentials: connect it again first`
          })
        case "Gone":
          return yield* new NotFound({
            what: "connection",
            message: `the connection ${MessageText.quoted(connection.name)} was removed`
          })
      }
    }),

    task: Effect.fnUntraced(function* (ref, taskId) {
      const { id } = yield* find(ref)
      return yield* summary(id, taskId)
    }),

    tasks: Effect.fnUntraced(function* (ref, limit) {
      const { id } = yield* find(ref)
      return (yield* store.taskSummaries(id, { limit })).map(Shown.task)
    }),

    plan: Effect.fnUntraced(function* (ref, task, onProgress) {
      const connection = yield* find(ref)
      const options = { spec: "", wait: true, ...(onProgress === undefined ? {} : { onProgress }) }
      return yield* engine.sync(connection, { ...task, dryRun: true }, options)
    }),

    sync: (ref, task, options) => Effect.flatMap(find(ref), (connection) => engine.sync(connection, task, options)),

    retry: (ref, externalIds) => Effect.flatMap(find(ref), (connection) => engine.retry(connection, externalIds)),

    runs: Effect.fnUntraced(function* (ref, limit) {
      const { id } = yield* find(ref)
      return (yield* store.runs(id, limit)).map(Shown.run)
    }),

    run: Effect.fnUntraced(function* (runId) {
      const found = Option.getOrUndefined(yield* store.run(runId))
      if (found !== undefined) return { ...Shown.run(found), connection: found.connectionId }
      return yield* new NotFound({
        what: "run",
        message: `there is no run ${MessageText.quoted(runId)}: quiet polls have none, and old ones are not kept`
      })
    }),

    statistics: Effect.fnUntraced(function* (ref, hours) {
      const { id } = yield* find(ref)
      return yield* store.statistics(id, Math.max(1, Math.min(hoursAtMost, Math.trunc(hours))))
    })
  }
}
