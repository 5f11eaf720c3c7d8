import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import { RunId, type RunKind } from "../../../src/engine/model/Run.ts"
import * as RunCounts from "../../../src/engine/model/RunCounts.ts"
import { TaskId } from "../../../src/engine/model/Task.ts"
import * as Documents from "../../../src/http/connections/ConnectionDocuments.ts"
import { connection } from "../../support/HttpServer.ts"

it("a refused stream of events stands among the problems of a connection", () => {
  const inbox = { place: "inbox", message: "no access" }
  const problems = { current: [inbox], found: [], hints: "open: invalid_auth" }
  assert.deepStrictEqual(Documents.connection({ ...connection, problems }, connection.createdAt, undefined).problems, [
    inbox,
    { place: "events", message: "open: invalid_auth" }
  ])
})

it("the progress of a forced task goes on from run to run, and ends at what is stored", () => {
  const startedAt = connection.createdAt
  const counts = (ended: number) => ({ ...RunCounts.zero, listed: ended + 10, unchanged: ended })
  const progress = (kind: RunKind, forced: { readonly counts: RunCounts.Counts } | undefined) =>
    Documents.status(connection, DateTime.add(startedAt, { minutes: 1 }), {
      owner: undefined,
      members: null,
      totals: { stored: 1000, failed: 0, dead: 0, deferred: 0, deleted: 0, bytes: 0, deletionsHeld: 0 },
      leftOut: [],
      lastRun: {
        id: RunId.make("run"),
        connectionId: connection.id,
        taskId: TaskId.make("task"),
        kind,
        status: "running",
        counts: counts(100),
        problems: [],
        notes: [],
        error: null,
        startedAt,
        finishedAt: null
      },
      forced,
      unitsPerMinute: undefined,
      unfinished: []
    }).progress
  // Earlier runs of the task finished 400 items. This run finished 100 in a minute.
  const forced = progress("force", { counts: counts(500) })
  assert.deepStrictEqual(forced, { ended: 500, expected: 1000, perMinute: 100, remainingMs: 5 * 60_000 })
  const poll = progress("poll", undefined)
  assert.deepStrictEqual(poll, { ended: 100, expected: 110, perMinute: 100, remainingMs: null })
})
