/** Turns a request to sync into the flags of `idem sync`, and into a task of the engine. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { SyncTask } from "../../contract/SyncTask.ts"
import type { UsageError } from "../../engine/Engine.ts"
import * as MessageText from "../../engine/MessageText.ts"
import { requireOrder } from "../Parameters.ts"
import type { SyncRequest } from "./TaskEndpoints.ts"

/**
 * Returns the flags of `idem sync` for a task, in a fixed order. They identify an unfinished task, and `idem status`
 * shows them in the command that resumes it.
 */
export const specOf = (task: {
  readonly force?: boolean | undefined
  readonly forceIds?: ReadonlyArray<string> | undefined
  readonly since?: string | undefined
  readonly until?: string | undefined
}): string =>
  [
    ...(task.force === true ? ["--force"] : []),
    ...(task.forceIds ?? []).map((id) => `--force-id=${MessageText.shellWord(id)}`),
    ...(task.since === undefined ? [] : [`--since ${MessageText.shellWord(task.since)}`]),
    ...(task.until === undefined ? [] : [`--until ${MessageText.shellWord(task.until)}`])
  ].join(" ")

/** Returns the flags for a request, whose times are instants. */
export const specOfRequest = ({ since, until, ...rest }: SyncRequest): string =>
  specOf({
    ...rest,
    since: since === undefined ? undefined : DateTime.formatIso(since),
    until: until === undefined ? undefined : DateTime.formatIso(until)
  })

/** Converts the request to a task of the engine. */
export const taskOf = Effect.fnUntraced(function* (request: SyncRequest): Effect.fn.Return<SyncTask, UsageError> {
  const { since, until } = request
  yield* requireOrder(request)
  const window = { ...(since === undefined ? {} : { since }), ...(until === undefined ? {} : { until }) }
  return {
    force: request.force ?? false,
    forceIds: request.forceIds ?? [],
    dryRun: request.dryRun ?? false,
    ...(since === undefined && until === undefined ? {} : { window })
  }
})
