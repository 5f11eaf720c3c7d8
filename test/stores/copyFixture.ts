/** Copies from one database into another, and compares the two. */
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import { fromContext, WholeStore } from "../../src/testing/WholeStore.ts"
import { BlobStore } from "../../src/stores/Blobs.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Copy from "../../src/stores/Copy.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import { item, largeItem, ledgerUpdate, nextRun, page, running, settle } from "./scenario.ts"

/** Makes a database with its store. */
export const side = Effect.gen(function* () {
  const context = yield* Layer.build(
    Layer.fresh(Postgres.layer.pipe(Layer.provideMerge(Blobs.layer), Layer.provideMerge(Database.layer)))
  )
  return {
    context,
    sql: Context.get(context, SqlClient.SqlClient),
    blobs: Context.get(context, BlobStore),
    store: fromContext(context)
  }
})
type Side = Effect.Success<typeof side>

/** Makes the database to copy, and an empty one. */
export const sides = Effect.all({ source: side, target: side })

export const copy = (source: Side, target: Side, change: Partial<BlobStore["Service"]> = {}, connection?: string) =>
  Copy.run({
    source,
    connection,
    target: { sql: target.sql, blobs: { ...target.blobs, ...change } },
    reseal: (_, sealed) => Effect.succeed(Uint8Array.from([...sealed, 99])),
    resealWebhook: (_, sealed) => Effect.succeed(Uint8Array.from([...sealed, 98])),
    onConnection: () => Effect.void
  })

/** Makes a connection with history: contents of every state, a listing, a task, and unfinished runs. */
export const lived = Effect.gen(function* () {
  const store = yield* WholeStore
  const earlier = yield* running()
  const many = Array.from({ length: 450 }, (_, n) => item(`many ${n}`, { text: `body ${n % 400}` }))
  yield* earlier.commit({ items: many })
  const run = yield* nextRun(earlier)
  yield* run.commit({
    items: [
      item("a", { metadata: { n: 1.5, deep: { 'é\\"\n': [null, "\u2028"] } } }),
      yield* largeItem("large", "large")
    ],
    ledgerUpdates: [
      ledgerUpdate("failed"),
      ledgerUpdate("dead", { retryIn: undefined }),
      ledgerUpdate("deferred", { outcome: "deferred" }),
      ledgerUpdate("gone", { outcome: "gone" })
    ],
    page: page({ deleted: ["many 1", "many 2"] })
  })
  yield* settle(run.fence, { runId: run.runId, atMost: 9, share: 1 })
  const { updatedAt } = Option.getOrThrow(yield* store.content(run.id, "many 1"))
  yield* store.purge(run.id, DateTime.add(updatedAt, { minutes: 1 }))
  const task = { force: true, forceIds: ["a", "b"], dryRun: false }
  const { id: taskId } = yield* store.openTask(run.id, { task, spec: "spec", resumeWithin: Duration.days(1) })
  yield* run.commit({
    taskId,
    done: ["a"],
    page: page({ parts: [{ key: "of the task", checkpoint: { at: 1 } }] })
  })
  yield* run.commit({
    page: page({
      listing: "l",
      seen: ["many 4"],
      deleted: ["many 3"],
      checkpoint: { at: [1, "x"] },
      parts: [{ key: "é", checkpoint: 1 }]
    })
  })
  return run
})

/** The tables with the data of connections. */
export const tables = [
  "connection",
  "content",
  "staged_deletion",
  "listing",
  "seen",
  "part",
  "task",
  "task_done",
  "run"
]

/** Fails with the first rows that differ, because the full list would be too long. */
export const assertSame = (found: ReadonlyArray<string>, expected: ReadonlyArray<string>) => {
  const only = (rows: ReadonlyArray<string>, others: ReadonlyArray<string>) =>
    rows.filter((row) => !new Set(others).has(row)).slice(0, 2)
  assert.deepStrictEqual([found.length, only(found, expected)], [expected.length, only(expected, found)])
}

/** Returns all rows, without the fields that a copy changes on purpose. */
export const everything = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    yield* sql`SET LOCAL TimeZone = 'UTC'`
    const rows = yield* Effect.forEach(
      tables,
      (table) =>
        sql`SELECT to_jsonb(whole) - '{changed_xid,stored_xid,undeleted_xid,credentials,fence,lease_holder,lease_until}'::text[] AS row
        FROM ${sql(table)} AS whole ORDER BY whole::text COLLATE "C"`
    )
    return rows.flatMap((rows, index) =>
      rows
        .map(({ row }) =>
          JSON.stringify(row).replace(/"status":"(running|interrupted)"|"finished_at":("[^"]*"|null)/g, "")
        )
        .toSorted()
        .map((row) => `${tables[index]} ${row}`)
    )
  }).pipe(sql.withTransaction)
