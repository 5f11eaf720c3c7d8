/** Upgrades each older schema with data: the present store reads the old rows, and runs continue. */
import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { poll } from "../../src/contract/SyncTask.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import * as PollingClaim from "../../src/engine/locks/PollingClaim.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Migrations from "../../src/stores/postgres/Migrations.ts"
import * as PostgresWebhooks from "../../src/stores/postgres/WebhookStore.ts"
import * as IdemProcess from "../support/IdemProcess.ts"
import * as Database from "../support/Postgres.ts"
import { waiting, whileLocked } from "./locking.ts"
import { allRead, batch, beginRun, item, page, staged, take } from "./scenario.ts"
import { awaitVisible } from "./awaitVisible.ts"
import {
  at,
  credentials,
  fill,
  id,
  large,
  message,
  migrateTo,
  pausedId,
  secret,
  small,
  taskId,
  webhookId
} from "./upgradeFixture.ts"

const textOf = (hash: string | null) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(Stream.runCollect(store.body(hash ?? "")), (chunks) => Buffer.concat(chunks).toString())
  )

/** Asserts that every row is read with its original meaning. */
const assertRead = Effect.fnUntraced(function* (schema: number) {
  const store = yield* WholeStore
  const [files, mail] = yield* store.connections
  assert.deepInclude(mail, {
    id,
    name: "mail",
    domain: "gmail",
    account: "me@example.com",
    config: { query: "in:inbox" },
    credentials,
    // The process that took the lease may still be running, but has lost the lease.
    fence: 42n,
    paused: null,
    checkpoint: Option.some({ historyId: "12" }),
    scope: "scope one",
    failures: 2
  })
  assert.strictEqual(Duration.toMillis(mail?.every ?? 0), 300_000)
  assert.strictEqual(DateTime.formatIso(mail?.createdAt ?? DateTime.makeUnsafe(0)), at)
  assert.deepInclude(files, { id: pausedId, credentials: null, paused: "by a person", checkpoint: Option.none() })

  const listed = Effect.fnUntraced(function* (state: "stored" | "failed" | "dead" | "deferred" | "gone" | "deleted") {
    const { contents } = yield* store.contents(id, { state, limit: 10 })
    return contents.map(({ externalId }) => externalId)
  })
  assert.deepStrictEqual(yield* listed("stored"), ["large", "stored", "update failed"])
  for (const state of ["dead", "deferred", "gone", "deleted"] as const) {
    assert.deepStrictEqual(yield* listed(state), [state])
  }
  assert.deepStrictEqual(yield* listed("failed"), ["failed", "update failed"])
  const newest = yield* store.contents(id, { state: "stored", limit: 10, order: "newest" })
  assert.strictEqual(newest.contents.length, 3)
  const stored = Option.getOrThrow(yield* store.content(id, "stored"))
  assert.deepInclude(stored, {
    kind: "message",
    revision: "r1",
    title: "title of stored",
    mediaType: "message/rfc822",
    metadata: { from: "you" },
    volatile: {},
    size: small.length
  })
  assert.strictEqual(yield* textOf(stored.hash), "a small body")
  const inBlob = Option.getOrThrow(yield* store.content(id, "large"))
  assert.strictEqual(yield* textOf(inBlob.hash), "a body that stands for a large one")
  assert.deepStrictEqual(
    yield* store.existing(id, ["stored", "failed", "dead", "deferred", "gone", "deleted", "unknown"]),
    new Set(["stored", "failed", "dead", "deferred"])
  )
  const ledger = yield* store.ledger(id, { limit: 10 })
  assert.deepStrictEqual(
    ledger.map(({ attempts, externalId, reason, state }) => [externalId, state, reason, attempts]),
    [
      ["dead", "dead", "Forbidden", 8],
      ["deferred", "deferred", "Unsettled", 0],
      ["failed", "failed", "Malformed", 1],
      ["update failed", "failed", "Transient", 2]
    ]
  )
  const held = yield* store.deletions(id, { which: "held", limit: 10 })
  assert.deepStrictEqual(
    held.deletions.map(({ cause, externalId, title }) => [externalId, cause, title]),
    [["large", "event", "title of large"]]
  )

  assert.deepStrictEqual(yield* store.totals(id), {
    stored: 3,
    failed: 2,
    dead: 1,
    deferred: 1,
    deleted: 1,
    bytes: 2 * small.length + large.length,
    deletionsHeld: 1
  })

  const runs = new Map((yield* store.runs(id, 10)).map((run) => [run.id, run]))
  assert.deepInclude(runs.get(RunId.make("a run"))?.counts, {
    listed: 5,
    existing: 2,
    stored: 2,
    failed: 1,
    apiCalls: 9,
    quotaUnits: 45.5
  })
  assert.deepInclude(runs.get(RunId.make("a run")), {
    status: "partial",
    problems: [{ place: "C1", message: "closed" }],
    notes: ["a note"],
    error: null
  })
  assert.deepInclude(runs.get(RunId.make("a failed run")), {
    status: "failed",
    taskId,
    error: { reason: "Transient", message: "503" }
  })

  yield* awaitVisible
  const { changes } = yield* store.changes({ limit: 100 })
  assert.deepStrictEqual(
    changes.map(({ change, content }) => [content.externalId, change]),
    [
      ["deleted", "deleted"],
      // Before the second schema, the last change of a content was not stored.
      ["large", schema < 2 ? "stored" : "updated"],
      ["stored", "stored"],
      ["update failed", "stored"]
    ]
  )

  // A polling process keeps its claim.
  const polling = yield* store.takeLock(PollingClaim.lockName, { holder: "me", ttl: Duration.minutes(1) })
  assert.deepStrictEqual(polling, Option.some("a process that polls"))
  if (schema >= 3) {
    const [task] = yield* store.taskSummaries(pausedId, { limit: 10 })
    assert.deepInclude(task?.task, { kind: "retry", externalIds: ["a", "b"], requested: true, finishedAt: null })
  }
  if (schema >= 4) {
    const webhooks = yield* WebhookStore
    const webhook = Option.getOrThrow(yield* webhooks.webhook(webhookId))
    assert.deepInclude(webhook, {
      name: "hook",
      connectionId: id,
      changes: ["stored", "deleted"],
      secret,
      state: "active",
      cursor: "a cursor"
    })
    for (const state of ["pending", "delivered", "dead"] as const) {
      const found = Option.getOrThrow(yield* webhooks.message(message(state)))
      assert.deepInclude(found, { webhookId, state, changes: 2, attempts: state === "pending" ? 0 : 3 })
    }
  }
  if (schema >= 5) {
    assert.deepStrictEqual(Option.getOrThrow(yield* store.takeSignIn("abcd")), secret)
    // An expired lock can be taken, and a retired key stays retired.
    assert.isTrue(Option.isNone(yield* store.takeLock("rekey", { holder: "me", ttl: Duration.minutes(1) })))
    const retired = new Uint8Array([1, ...Buffer.alloc(8, 5), 1])
    const refused = yield* Effect.flip(store.updateConnection(pausedId, { credentials: retired }))
    assert.include(refused.message, "idem rekey")
  }
})

/** Asserts that the next run takes over from the killed run, continues its task, and writes. */
const assertWorks = Effect.gen(function* () {
  const store = yield* WholeStore
  const fence = yield* take(id)
  assert.strictEqual(fence.fence, 43n)
  assert.strictEqual((yield* store.runs(id, 10)).find((run) => run.id === "a killed run")?.status, "interrupted")
  const task = yield* store.openTask(id, {
    task: { ...poll, force: true },
    spec: "--force",
    resumeWithin: Duration.days(1)
  })
  assert.deepInclude(task, { id: taskId, checkpoint: Option.some({ after: 3 }), kind: "sync", requested: false })
  assert.deepStrictEqual(yield* store.taskDone(task.id), new Set(["stored"]))

  const runId = yield* beginRun(fence)
  // Content out of scope is not absent.
  const pass = page({ checkpoint: {}, scope: "scope one", listing: "next", covers: [{ prefix: "" }], complete: true })
  yield* store.commit(fence, batch(runId, { page: pass }))
  assert.deepStrictEqual(yield* staged(id), ["large event", "stored absence"])
  const { outcomes } = yield* store.commit(
    fence,
    batch(runId, {
      items: [item("stored", { text: "a small body", revision: "r1" }), item("failed"), item("deleted"), item("new")],
      page: page({ checkpoint: { historyId: "13" }, scope: "scope one", deleted: ["update failed"] })
    })
  )
  assert.deepStrictEqual(
    [...outcomes].map(([externalId, outcome]) => [externalId, outcome]).filter(([, outcome]) => outcome === "stored"),
    [
      ["failed", "stored"],
      ["deleted", "stored"],
      ["new", "stored"]
    ]
  )
  assert.strictEqual(yield* store.applyDeletions(fence, allRead, runId), 1)
  yield* store.finishRun(fence, { runId, status: "succeeded", counts: {}, notes: [], error: null })
  yield* store.release(fence, { pollIn: Duration.minutes(5), failures: 0 })
  const { contents } = yield* store.contents(id, { state: "stored", limit: 10 })
  assert.includeMembers(
    contents.map(({ externalId }) => externalId),
    ["deleted", "failed", "new", "stored"]
  )
  yield* store.disconnect(id, true)
  assert.deepStrictEqual((yield* store.contents(id, { state: "stored", limit: 10 })).contents, [])
})

const today = Layer.mergeAll(Postgres.layer, PostgresWebhooks.layer).pipe(Layer.provide(Blobs.layer))

describe("a database with data", () => {
  for (let schema = 1; schema < Migrations.supported; schema += 1) {
    it.live(`of schema ${schema} is upgraded, and nothing in it is lost or read otherwise`, () =>
      Effect.gen(function* () {
        yield* migrateTo(schema)
        yield* fill(schema)
        const { after, before } = yield* Postgres.migrate
        assert.deepStrictEqual([before, after], [schema, Migrations.supported])
        yield* Effect.gen(function* () {
          yield* assertRead(schema)
          yield* assertWorks
        }).pipe(Effect.provide(today))
      }).pipe(Effect.provide(Database.layerEmpty))
    )
  }

  it.live("is as it was after `kill -9` in the middle of its upgrade, and the next process upgrades it", () =>
    Effect.gen(function* () {
      const url = yield* Database.makeUrl
      const env = { DATABASE_URL: url, IDEM_SECRET_KEY: Buffer.alloc(32, 7).toString("base64") }
      const schema = 3
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* migrateTo(schema)
        yield* fill(schema)
        // A reader of the contents blocks the first migration that changes their table. Other migrations come before
        // it.
        const killed = Effect.gen(function* () {
          const { child, ended } = IdemProcess.start(["migrate"], { env })
          yield* waiting(1)
          child.kill("SIGKILL")
          assert.isNull((yield* Effect.promise(() => ended)).code)
        })
        yield* whileLocked(sql`LOCK TABLE content IN ACCESS SHARE MODE`, killed)
        assert.strictEqual(yield* Migrations.version, schema)
        const { code, stderr } = yield* Effect.promise(() => IdemProcess.run(["migrate"], { env }))
        assert.strictEqual(code, 0, stderr)
        yield* Effect.andThen(assertRead(schema), assertWorks).pipe(Effect.provide(today))
      }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url) })))
    }).pipe(Effect.scoped)
  )
})
