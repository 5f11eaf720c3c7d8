/** A request to sync a connection. A scheduled poll is a task with no field set. */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { ExternalId } from "./Content.ts"

/** A span of time: `since` inclusive, `until` exclusive. At least one of them is set. */
export const Window = Schema.Struct({
  since: Schema.optionalKey(Schema.DateTimeUtcFromString),
  until: Schema.optionalKey(Schema.DateTimeUtcFromString)
})
export type Window = typeof Window.Type

/** `force` bypasses the existence check for everything that is listed, `forceIds` for those ids. */
export const SyncTask = Schema.Struct({
  force: Schema.Boolean,
  forceIds: Schema.Array(ExternalId),
  window: Schema.optionalKey(Window),
  dryRun: Schema.Boolean
})
export type SyncTask = typeof SyncTask.Type

/** The task of a scheduled poll. */
export const poll: SyncTask = { force: false, forceIds: [], dryRun: false }

/** True for a task that downloads its `forceIds` and lists nothing. */
export const idsOnly = (task: SyncTask): boolean => task.forceIds.length > 0 && !task.force && task.window === undefined

/** True for a task that moves the connection's own checkpoint; every other task keeps a checkpoint of its own. */
export const isLive = (task: SyncTask): boolean =>
  !task.force && task.forceIds.length === 0 && task.window === undefined

/**
 * Returns true if the time is in the task's window, or the task has none. Content without a time is in every window.
 */
export const inWindow = ({ window }: SyncTask, at: DateTime.Utc | undefined): boolean =>
  at === undefined ||
  ((window?.since === undefined || DateTime.isGreaterThanOrEqualTo(at, window.since)) &&
    (window?.until === undefined || DateTime.isLessThan(at, window.until)))
