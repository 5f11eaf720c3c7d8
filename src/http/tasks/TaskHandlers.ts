/** Answers about tasks and runs, from `Control`. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { SyncTask } from "../../contract/SyncTask.ts"
import { Control } from "../../engine/Control.ts"
import * as Documents from "../../engine/Documents.ts"
import { UsageError } from "../../engine/Engine.ts"
import { CommandApi } from "../CommandApi.ts"
import type { SyncRequest } from "./TaskEndpoints.ts"
import * as KeepAlive from "../KeepAlive.ts"
import { asProblem } from "../Problems.ts"

/** A word of a command line. */
const word = (text: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/** The request as the command line would be given it. */
const specOf = ({ force, forceIds, since, until }: SyncRequest): string =>
  [
    ...(force === true ? ["--force"] : []),
    ...(forceIds ?? []).map((id) => `--force-id=${word(id)}`),
    ...(since === undefined ? [] : [`--since ${DateTime.formatIso(since)}`]),
    ...(until === undefined ? [] : [`--until ${DateTime.formatIso(until)}`])
  ].join(" ")

const taskOf = Effect.fnUntraced(function* (request: SyncRequest): Effect.fn.Return<SyncTask, UsageError> {
  const { since, until } = request
  if (since !== undefined && until !== undefined && !DateTime.isLessThan(since, until)) {
    return yield* new UsageError({ message: "since must lie before until: nothing is in between" })
  }
  const window = { ...(since === undefined ? {} : { since }), ...(until === undefined ? {} : { until }) }
  return {
    force: request.force ?? false,
    forceIds: request.forceIds ?? [],
    dryRun: request.dryRun ?? false,
    ...(since === undefined && until === undefined ? {} : { window })
  }
})

export const layer = HttpApiBuilder.group(
  CommandApi,
  "tasks",
  Effect.fn(function* (handlers) {
    const control = yield* Control
    return handlers.handleAll({
      submit: Effect.fnUntraced(function* ({ headers, params, payload, request: asked }) {
        const request = payload ?? {}
        const task = yield* taskOf(request)
        if (task.dryRun) return Documents.synced(yield* KeepAlive.during(asked)(control.plan(params.connection, task)))
        return yield* control.submit(
          params.connection,
          { _tag: "sync", task, spec: request.spec ?? specOf(request) },
          { idempotencyKey: headers["idempotency-key"] }
        )
      }, asProblem),

      list: ({ params, query }) =>
        control.tasks(params.connection, query.limit).pipe(
          Effect.map((tasks) => ({ tasks })),
          asProblem
        ),

      get: ({ params }) => asProblem(control.task(params.connection, params.task)),

      runs: ({ params, query }) =>
        control.runs(params.connection, query.limit).pipe(
          Effect.map((runs) => ({ runs })),
          asProblem
        ),

      run: ({ params }) => asProblem(control.run(params.run)),

      statistics: ({ params, query }) =>
        control.statistics(params.connection, query.hours).pipe(
          Effect.map((hours) => ({ hours })),
          asProblem
        )
    })
  })
)
