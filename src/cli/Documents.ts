/** The JSON shapes of `--json` that several commands share. Times are ISO 8601 in UTC, hashes hex. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type * as Schema from "effect/Schema"
import type { SyncResult } from "../engine/Engine.ts"
import type { Connection, ContentRow, Counts, LedgerRow, Run } from "../engine/Store.ts"
import * as Text from "./Text.ts"

export const time = (at: DateTime.Utc | null): string | null => (at === null ? null : DateTime.formatIso(at))

/** The counts in the order in which every document gives them. */
const countNames: ReadonlyArray<keyof Counts> = [
  "listed",
  "forced",
  "retried",
  "existing",
  "stored",
  "updated",
  "unchanged",
  "failed",
  "gone",
  "deferred",
  "patched",
  "deleted",
  "deletionsHeld",
  "downloads",
  "apiCalls",
  "quotaUnits",
  "checkerQueries"
]

const counts = (of: Partial<Counts>): Schema.JsonObject =>
  Object.fromEntries(countNames.map((name) => [name, of[name] ?? 0]))

/** What a person would call the connection's state. */
export const stateOf = (connection: Connection, now: DateTime.Utc): "running" | "disconnected" | "paused" | "idle" => {
  if (connection.lease !== null && DateTime.isGreaterThan(connection.lease.until, now)) return "running"
  if (connection.credentials === null) return "disconnected"
  return connection.paused === null ? "idle" : "paused"
}

export const connection = (of: Connection, now: DateTime.Utc): Schema.JsonObject => ({
  name: of.name,
  id: of.id,
  domain: of.domain,
  account: of.account,
  state: stateOf(of, now),
  paused: of.paused,
  every: Text.duration(of.every),
  nextPollAt: of.paused === null ? time(of.nextPollAt) : null,
  failures: of.failures,
  holder: stateOf(of, now) === "running" ? (of.lease?.holder ?? null) : null,
  config: of.config,
  createdAt: time(of.createdAt)
})

export const run = (of: Run): Schema.JsonObject => ({
  run: of.id,
  task: of.taskId,
  status: of.status,
  ...counts(of.counts),
  startedAt: time(of.startedAt),
  finishedAt: time(of.finishedAt),
  durationMs: of.finishedAt === null ? null : Duration.toMillis(DateTime.distance(of.startedAt, of.finishedAt)),
  error: of.error,
  notes: of.notes,
  problems: of.problems.map(({ place, message }) => ({ place, message }))
})

/** One row of `idem contents`. */
export const contentRow = (of: ContentRow): Schema.JsonObject => ({
  externalId: of.externalId,
  kind: of.kind,
  state: of.state,
  revision: of.revision,
  hash: of.hash,
  size: of.size,
  title: of.title,
  occurredAt: time(of.occurredAt),
  updatedAt: time(of.updatedAt)
})

/** All that is known of one content, without its body. */
export const content = (of: ContentRow): Schema.JsonObject => ({
  ...contentRow(of),
  createdAt: time(of.createdAt),
  mediaType: of.mediaType,
  metadata: of.metadata,
  volatile: of.volatile
})

export const ledgerRow = (of: LedgerRow): Schema.JsonObject => ({
  externalId: of.externalId,
  state: of.state,
  revision: of.revision ?? null,
  reason: of.reason,
  message: of.message,
  attempts: of.attempts,
  nextAttemptAt: time(of.nextAttemptAt)
})

/**
 * `idem sync --json`. `error` stands there when the sync failed, `planned` for a dry run, `notes` and `problems` when
 * there are some.
 */
export const sync = (of: SyncResult): Schema.JsonObject => ({
  connection: of.connection,
  run: of.run,
  task: of.task,
  status: of.status,
  ...counts(of.counts),
  durationMs: Math.round(of.durationMs),
  ...(of.error === null ? {} : { error: { reason: of.error.reason, message: of.error.message } }),
  ...(of.planned === null
    ? {}
    : { planned: { download: of.planned.download, delete: of.planned.delete, patch: of.planned.patch } }),
  ...(of.notes.length === 0 ? {} : { notes: of.notes }),
  ...(of.problems.length === 0 ? {} : { problems: of.problems.map(({ place, message }) => ({ place, message })) })
})

/** The document of a sync that failed before or while it ran. */
export const syncFailed = (connection: string, reason: string, message: string): Schema.JsonObject => ({
  connection,
  run: null,
  task: null,
  status: "failed",
  ...counts({}),
  durationMs: 0,
  error: { reason, message }
})
