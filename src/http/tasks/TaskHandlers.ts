/** The handlers of tasks and runs. */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import { Engine } from "../../engine/Engine.ts"
import * as MessageText from "../../engine/MessageText.ts"
import { RunStore } from "../../engine/store/RunStore.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { TaskStore } from "../../engine/store/TaskStore.ts"
import { CommandApi } from "../CommandApi.ts"
import * as ConnectionLookup from "../connections/ConnectionLookup.ts"
import * as InterimResponses from "../InterimResponses.ts"
import { asProblem, NotFoundProblem } from "../Problems.ts"
import * as Documents from "./TaskDocuments.ts"
import { specOfRequest, taskOf } from "./TaskSpec.ts"
import * as TaskSubmission from "./TaskSubmission.ts"

export const layer = HttpApiBuilder.group(
  CommandApi,
  "tasks",
  Effect.fn(function* (handlers) {
    const connections = yield* ConnectionStore
    const tasks = yield* TaskStore
    const runs = yield* RunStore
    const engine = yield* Engine
    const submission = yield* TaskSubmission.make
    const find = (ref: string) => ConnectionLookup.find(connections, ref)

    return handlers.handleAll({
      submit: Effect.fnUntraced(function* ({ headers, params, payload, request: asked }) {
        const request = payload ?? {}
        const task = yield* taskOf(request)
        const connection = yield* find(params.connection)
        if (task.dryRun) {
          const planning = engine.sync(connection, task, { spec: "", wait: true })
          return Documents.synced(yield* InterimResponses.during(asked)(planning))
        }
        const spec = request.spec ?? specOfRequest(request)
        return yield* submission.submit(connection, { _tag: "sync", task, spec }, headers["idempotency-key"])
      }, asProblem),

      list: Effect.fnUntraced(function* ({ params, query }) {
        const { id } = yield* find(params.connection)
        return { tasks: (yield* tasks.taskSummaries(id, query)).map(Documents.task) }
      }, asProblem),

      get: Effect.fnUntraced(function* ({ params }) {
        const { id } = yield* find(params.connection)
        return yield* submission.summary(id, params.task)
      }, asProblem),

      runs: Effect.fnUntraced(function* ({ params, query }) {
        const { id } = yield* find(params.connection)
        return { runs: (yield* runs.runs(id, query.limit)).map(Documents.run) }
      }, asProblem),

      run: Effect.fnUntraced(function* ({ params }) {
        const found = Option.getOrUndefined(yield* runs.run(params.run))
        if (found !== undefined) return { ...Documents.run(found), connection: found.connectionId }
        return yield* new NotFoundProblem({
          what: "run",
          detail: `there is no run ${MessageText.quoted(params.run)}: quiet polls have none, and old runs are removed`
        })
      }, asProblem),

      statistics: Effect.fnUntraced(function* ({ params, query }) {
        const { id } = yield* find(params.connection)
        return { hours: yield* runs.statistics(id, query.hours) }
      }, asProblem)
    })
  })
)
