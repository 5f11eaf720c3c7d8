/** The whole engine with Gmail and a stand-in that misbehaves: every message is stored once, byte for byte. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { poll, type SyncTask } from "../../../src/contract/SyncTask.ts"
import { Engine, type SyncResult } from "../../../src/engine/Engine.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import type { Store } from "../../../src/engine/Store.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { integration } from "../../../src/integrations/Gmail.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import { checked, engineOver, ids } from "../../support/TestEngine.ts"

const connect = (server: GmailServer.Server, config: object = {}, credentials: object = { accessToken: "token" }) =>
  Engine.use((engine) =>
    engine.connect({
      domain: "gmail",
      name: "me",
      config: { rootUrl: server.url, quota: { unitsPerMinute: 1e9 }, ...config },
      credentials,
      every: undefined
    })
  ).pipe(Effect.map(({ connection }) => connection))

const sync = (connection: Connection, task: Partial<SyncTask> = {}): Effect.Effect<SyncResult, never, Engine> =>
  Engine.use((engine) =>
    Effect.orDie(engine.sync(connection, { ...poll, ...task }, { spec: JSON.stringify(task), wait: true }))
  ).pipe(Effect.map(checked))

/** Asserts that the stored contents have the ids and the bytes of the mailbox. */
const mirrors = Effect.fnUntraced(function* (server: GmailServer.Server, connection: Connection) {
  assert.deepStrictEqual(yield* ids(connection), server.mailbox.ids.toSorted())
  const store = yield* WholeStore
  for (const message of server.mailbox.all) {
    const row = Option.getOrThrow(yield* store.content(connection.id, message.id))
    const bytes = Buffer.concat(yield* Stream.runCollect(store.body(row.hash ?? "")))
    assert.deepStrictEqual(bytes, Buffer.from(message.raw()))
  }
})

const test = <E>(name: string, body: (server: GmailServer.Server) => Effect.Effect<void, E, Engine | Store>) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const server = yield* GmailServer.make()
      yield* Effect.provide(body(server), engineOver(Memory.layer, integration))
      assert.deepStrictEqual(server.unmet, [])
    }).pipe(Effect.scoped)
  )

/** Temporary faults, each of which affects some requests of a first sync and of a later poll. */
const passing: ReadonlyArray<readonly [string, GmailServer.Fault]> = [
  ["429 with Retry-After", GmailServer.status(429, "rateLimitExceeded", { retryAfter: "1" })],
  ["429 without Retry-After", GmailServer.status(429, "userRateLimitExceeded")],
  ["403 for quota", GmailServer.status(403, "userRateLimitExceeded")],
  ["400 failedPrecondition", GmailServer.failedPrecondition],
  ["500", GmailServer.status(500, "backendError")],
  ["503", GmailServer.status(503)],
  ["a truncated answer", { _tag: "Change", change: (text) => text.slice(0, text.length >> 1) }],
  ["an answer that is no JSON", { _tag: "Change", change: () => "<html>busy</html>" }],
  ["a reset before the answer", { _tag: "Reset" }],
  ["a reset in the middle of it", { _tag: "Reset", midway: true }]
]

// Concurrent, because most of the tests wait for a back-off.
describe.concurrent("Gmail that misbehaves", () => {
  for (const [name, fault] of passing) {
    test(`with ${name} loses nothing and stores nothing twice`, (server) =>
      Effect.gen(function* () {
        server.mailbox.fill(30)
        const connection = yield* connect(server)
        server.fault("messages.list", fault)
        server.fault("messages.get", fault, { times: 2 })
        let result = yield* sync(connection)
        if (result.status !== "succeeded") result = yield* sync(connection)
        assert.strictEqual(result.status, "succeeded", JSON.stringify(result.error))
        assert.deepStrictEqual(server.unmet, [])
        yield* mirrors(server, connection)

        server.mailbox.fill(3)
        server.fault("history.list", fault)
        server.fault("messages.get", fault)
        result = yield* sync(connection)
        if (result.status !== "succeeded") result = yield* sync(connection)
        assert.strictEqual(result.status, "succeeded", JSON.stringify(result.error))
        yield* mirrors(server, connection)
      }))
  }

  test("with 200,000 messages says at connect how long they take by units and by bytes", (server) =>
    Effect.gen(function* () {
      const change = (text: string) => text.replace(/"messagesTotal":\d+/, '"messagesTotal":200000')
      for (let time = 0; time < 2; time++) server.fault("getProfile", { _tag: "Change", change })
      const connected = yield* Engine.use((engine) =>
        engine.connect({
          domain: "gmail",
          name: "me",
          config: { rootUrl: server.url },
          credentials: { accessToken: "token" },
          every: undefined
        })
      )
      assert.approximately(Duration.toHours(connected.firstSync ?? Duration.zero), 11.1, 0.1)
      assert.approximately(Duration.toDays(connected.firstSyncByBytes ?? Duration.zero), 6, 0.01)
    }))

  test("with 403 for permission on one message keeps that one in the ledger and stores the others", (server) =>
    Effect.gen(function* () {
      const [closed = ""] = server.mailbox.fill(10)
      const connection = yield* connect(server)
      const refused = GmailServer.status(403, "insufficientPermissions")
      server.fault("messages.get", refused, { times: 99, when: ({ id }) => id === closed })
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "partial")
      assert.deepInclude(result.counts, { stored: 9, failed: 1 })
      const store = yield* WholeStore
      const [row] = yield* store.ledger(connection.id, { limit: 5 })
      assert.deepInclude(row, { externalId: closed, reason: "Forbidden" })
      server.heal()
      assert.deepInclude((yield* sync(connection)).counts, { retried: 1, stored: 1 })
      yield* mirrors(server, connection)
    }))

  for (const [user, fault] of [
    ["suspended", GmailServer.suspendedUser],
    ["without Gmail", GmailServer.mailServiceNotEnabled]
  ] as const) {
    test(`whose user is ${user} refuses the mailbox, fails no item, deletes nothing, and goes on later`, (server) =>
      Effect.gen(function* () {
        server.mailbox.fill(10)
        const connection = yield* connect(server)
        yield* sync(connection)
        const stored = yield* ids(connection)
        // Enough failed items for a run to be given up.
        server.mailbox.fill(120)
        server.fault("messages.get", fault, { times: Number.POSITIVE_INFINITY })
        const store = yield* WholeStore
        for (let poll = 0; poll < 2; poll++) {
          server.forgetSeen()
          const { counts, error, status } = yield* sync(connection)
          assert.deepStrictEqual([status, error?.reason, counts.failed, counts.deleted], ["failed", "Forbidden", 0, 0])
          assert.include(error?.message, "Admin console")
          assert.isBelow(server.count("messages.get"), 20)
          const ledger = yield* store.ledger(connection.id, { limit: 500 })
          assert.isTrue(ledger.every(({ attempts, state }) => state === "deferred" && attempts === 0))
          assert.deepStrictEqual(yield* ids(connection), stored)
        }
        assert.isNull(Option.getOrThrow(yield* store.connection(connection.id)).paused)
        // A forced run also requests stored messages, and reports none of them as gone.
        assert.deepInclude((yield* sync(connection, { force: true })).counts, { failed: 0, gone: 0, deleted: 0 })
        server.heal()
        assert.strictEqual((yield* sync(connection)).status, "succeeded")
        yield* mirrors(server, connection)
      }))
  }

  test("that takes a message away between list and get counts it as gone", (server) =>
    Effect.gen(function* () {
      const [first = ""] = server.mailbox.fill(10)
      const connection = yield* connect(server)
      server.before("messages.get", () => server.mailbox.remove(first))
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "succeeded")
      assert.strictEqual(result.counts.stored + result.counts.gone, 10)
      yield* sync(connection)
      yield* mirrors(server, connection)
    }))

  test("that does not find a message yet which has just arrived stores it at the next poll", (server) =>
    Effect.gen(function* () {
      server.mailbox.fill(3)
      const connection = yield* connect(server)
      yield* sync(connection)
      const [early = "", gone = ""] = server.mailbox.fill(2)
      server.mailbox.unready.add(early).add(gone)
      const first = yield* sync(connection)
      assert.strictEqual(first.status, "succeeded")
      assert.deepInclude(first.counts, { stored: 0, failed: 0, deferred: 2 })
      server.mailbox.unready.delete(early)
      // The second response counts.
      assert.deepInclude((yield* sync(connection)).counts, { retried: 2, stored: 1, gone: 1, deferred: 0 })
      server.forgetSeen()
      server.mailbox.remove(gone)
      yield* sync(connection)
      assert.strictEqual(server.count("messages.get"), 0)
      yield* mirrors(server, connection)
    }))

  for (const how of ["by its id", "with all others"]) {
    test(`that says of a stored message, forced ${how}, that it is gone has it deleted`, (server) =>
      Effect.gen(function* () {
        const [first = ""] = server.mailbox.fill(5)
        const connection = yield* connect(server)
        yield* sync(connection)
        const leave = () => {
          server.mailbox.remove(first)
          // The history does not report the change.
          server.fault("history.list", {
            _tag: "Change",
            change: (text) => JSON.stringify({ ...JSON.parse(text), history: [] })
          })
        }
        if (how === "by its id") leave()
        else server.before("messages.get", leave)
        const forced = yield* sync(connection, how === "by its id" ? { forceIds: [first] } : { force: true })
        assert.strictEqual(forced.counts.gone, 1)
        assert.strictEqual((yield* sync(connection)).counts.deleted, 1)
        yield* mirrors(server, connection)
      }))
  }

  test("that changes and repeats itself between two pages is mirrored all the same", (server) =>
    Effect.gen(function* () {
      server.mailbox.fill(700)
      const connection = yield* connect(server)
      let pages = 0
      server.before(
        "messages.list",
        () => {
          pages += 1
          if (pages < 2) return
          server.mailbox.fill(5)
          const [, gone = ""] = server.mailbox.ids
          server.mailbox.remove(gone)
          server.repeatOnce(server.mailbox.ids.slice(10, 14))
        },
        4
      )
      yield* sync(connection)
      yield* sync(connection)
      yield* mirrors(server, connection)
    }))

  test("with an expired history downloads only what is missing, and rebuilds the labels", (server) =>
    Effect.gen(function* () {
      const added = server.mailbox.fill(40)
      const connection = yield* connect(server)
      yield* sync(connection)
      const [relabelled = "", gone = ""] = added
      server.mailbox.modify(relabelled, { add: ["STARRED"], remove: ["INBOX"] })
      server.mailbox.remove(gone)
      server.mailbox.fill(3)
      server.mailbox.expireHistory()
      server.forgetSeen()
      const result = yield* sync(connection)
      assert.deepInclude(result.counts, { stored: 3, downloads: 3, deleted: 1 })
      assert.strictEqual(server.count("messages.get"), 3)
      yield* mirrors(server, connection)
      const store = yield* WholeStore
      const row = Option.getOrThrow(yield* store.content(connection.id, relabelled))
      assert.deepStrictEqual(row.metadata["labels"], { UNREAD: true, STARRED: true })
    }))

  test("whose grant is revoked pauses the connection; a new grant resumes it, another account's is refused", (server) =>
    Effect.gen(function* () {
      server.mailbox.fill(5)
      const connection = yield* connect(server)
      yield* sync(connection)
      server.revoke()
      const result = yield* sync(connection)
      assert.strictEqual(result.error?.reason, "Unauthorized")
      const store = yield* WholeStore
      assert.isNotNull(Option.getOrThrow(yield* store.connection(connection.id)).paused)

      server.allow("stranger", "someone@example.com")
      const refused = yield* Effect.flip(connect(server, {}, { accessToken: "stranger" }))
      assert.include(refused.message, "someone@example.com")

      server.allow("again")
      server.mailbox.fill(2)
      yield* connect(server, {}, { accessToken: "again" })
      assert.deepInclude((yield* sync(connection)).counts, { stored: 2, downloads: 2 })
      yield* mirrors(server, connection)
    }))

  test("with another query lists what that covers, and deletes nothing", (server) =>
    Effect.gen(function* () {
      server.mailbox.fill(10, (index) => ({ labelIds: index < 4 ? ["INBOX", "STARRED"] : ["INBOX"] }))
      const connection = yield* connect(server)
      yield* sync(connection)
      yield* connect(server, { query: "is:starred" })
      const result = yield* sync(connection)
      assert.deepInclude(result.counts, { downloads: 0, deleted: 0, deletionsHeld: 0 })
      assert.include(result.notes.join(), "deleting nothing")
      yield* sync(connection)
      assert.strictEqual((yield* ids(connection)).length, 10)
    }))
})
