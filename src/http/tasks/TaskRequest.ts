/** A request to sync, as the flags that say the same and as a task of the engine. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { SyncTask } from "../../contract/SyncTask.ts"
import { UsageError } from "../../engine/Engine.ts"
import * as MessageText from "../../engine/MessageText.ts"
import type { SyncRequest } from "./TaskEndpoints.ts"

/** The request as flags of `idem sync`. */
export const specOf = ({ force, forceIds, since, until }: SyncRequest): string =>
  [
    ...(force === true ? ["--force"] : []),
    ...(forceIds ?? []).map((id) => `--force-id=${MessageText.shellWord(id)}`),
    ...(since === undefined ? [] : [`--since ${DateTime.formatIso(since)}`]),
    ...(until === undefined ? [] : [`--until ${DateTime.formatIso(until)}`])
  ].join(" ")

/** The request as a task of the engine. */
export const taskOf = Effect.fnUntraced(function* (request: SyncRequest): Effect.fn.Return<SyncTask, UsageError> {
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
