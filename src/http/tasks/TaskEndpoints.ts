/** The endpoints of tasks and their runs. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ExternalId } from "../../contract/Content.ts"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { RunId } from "../../engine/model/Run.ts"
import { TaskId } from "../../engine/model/Task.ts"
import { ConflictProblem, NotFoundProblem, UsageProblem } from "../Problems.ts"
import { connectionRef, Instant, limit, NoSecrets } from "../Parameters.ts"
import { Authenticated } from "../security/Authenticated.ts"
import * as Documents from "./TaskDocuments.ts"

/** The options of a sync. Without any, it does the same as a poll. */
export const SyncRequest = Schema.Struct({
  /** True to download everything that is listed, stored or not. */
  force: Schema.optionalKey(Schema.Boolean),
  /** Ids to download, stored or not. If no other option is set, nothing is listed. */
  forceIds: Schema.optionalKey(Schema.Array(ExternalId)),
  /** The start of the window, inclusive. */
  since: Schema.optionalKey(Instant),
  /** The end of the window, exclusive. */
  until: Schema.optionalKey(Instant),
  /** True to write nothing, and return the plan. */
  dryRun: Schema.optionalKey(Schema.Boolean),
  /** The request as text. An unfinished task with the same text is resumed. Default: derived from the other fields. */
  spec: Schema.optionalKey(Schema.String.pipe(Schema.check(Schema.isMaxLength(100_000))))
})
export type SyncRequest = typeof SyncRequest.Type

/** A run, and its connection. */
const RunOfConnection = Schema.Struct({ ...Documents.Run.fields, connection: ConnectionId })

export const tasks = HttpApiGroup.make("tasks")
  .add(
    HttpApiEndpoint.post("submit", "/connections/:connection/tasks", {
      params: connectionRef,
      headers: {
        "idempotency-key": Schema.optionalKey(
          Schema.String.pipe(
            Schema.check(
              Schema.isBetweenLength(1, 255, {
                expected: "1 to 255 characters (give each request a key of its own, such as a UUID)"
              })
            )
          )
        ).annotate({
          description: "a repeated request with the same key returns the task that the first request created"
        })
      },
      // Without a body: the same as a poll, now.
      payload: [SyncRequest, Schema.Null],
      success: [Documents.Task.pipe(HttpApiSchema.status(202)), Documents.Synced],
      error: [NotFoundProblem, ConflictProblem, UsageProblem]
    }).annotate(OpenApi.Summary, "Request a sync (202 and a task), or a dry run (200 and what a sync would do)"),
    HttpApiEndpoint.get("list", "/connections/:connection/tasks", {
      params: connectionRef,
      query: { limit: limit(1000, 100) },
      success: Schema.Struct({ tasks: Schema.Array(Documents.Task) }),
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "The connection's tasks, newest first"),
    HttpApiEndpoint.get("get", "/connections/:connection/tasks/:task", {
      params: { ...connectionRef, task: TaskId },
      success: Documents.Task,
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "One task, with its counts so far"),
    HttpApiEndpoint.get("runs", "/connections/:connection/runs", {
      params: connectionRef,
      query: { limit: limit(1000, 100) },
      success: Schema.Struct({ runs: Schema.Array(Documents.Run) }),
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "The connection's runs, newest first"),
    HttpApiEndpoint.get("run", "/runs/:run", {
      params: { run: RunId },
      success: RunOfConnection,
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "One run, with its counts"),
    HttpApiEndpoint.get("statistics", "/connections/:connection/statistics", {
      params: connectionRef,
      query: { hours: limit(744, 48) },
      success: Schema.Struct({ hours: Schema.Array(Documents.Hour) }),
      error: NotFoundProblem
    }).annotate(OpenApi.Summary, "The sums of the connection's runs per hour, oldest first")
  )
  .annotate(NoSecrets, true)
  .middleware(Authenticated)
  .annotate(OpenApi.Title, "Tasks and runs")
  .annotate(OpenApi.Description, "A task is one request to sync; a run is one execution of it, or of a slice of it")
