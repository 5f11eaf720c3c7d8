/** Slack under the real engine: slices, quota, batches, and deletions in the store. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { poll, type SyncTask } from "../../../src/contract/SyncTask.ts"
import * as RunCounts from "../../../src/engine/model/RunCounts.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { Integrations } from "../../../src/engine/source/Integrations.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as SyncEngine from "../../../src/engine/sync/SyncEngine.ts"
import * as UnsealedVault from "../../../src/testing/UnsealedVault.ts"
import * as Slack from "../../../src/integrations/Slack.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected } from "../../support/slack/Model.ts"
import { ids } from "../../support/TestEngine.ts"

const engine = SyncEngine.layer.pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      Memory.layer,
      Quotas.layerMemory,
      UnsealedVault.layer,
      Integrations.layer({ slack: Effect.succeed(Slack.integration) })
    )
  )
)

const connect = Effect.fnUntraced(function* (server: SlackServer.SlackServer) {
  const { connection } = yield* (yield* Engine).connect({
    domain: "slack",
    name: "slack",
    config: { slackApiUrl: server.url, quota: { unitsPerMinute: 1_000_000_000 } },
    credentials: { token: server.token },
    every: undefined
  })
  return connection
})

const sync = Effect.fnUntraced(function* (connection: Connection, task: Partial<SyncTask> = {}) {
  const result = yield* (yield* Engine).sync(
    connection,
    { ...poll, ...task },
    { spec: JSON.stringify(task), wait: true }
  )
  assert.strictEqual(result.error, null)
  assert.isTrue(RunCounts.addUp(result.counts))
  return result
})

const messages = (connection: Connection) =>
  Effect.map(ids(connection), (all) => all.filter((id) => /^[CDG]/.test(id)).sort())

for (const conversations of [2, 17, 18, 19, 40]) {
  it.live(`${conversations} conversations end their polls, whatever the slices`, () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make()
      const { workspace } = server
      const channels = Array.from({ length: conversations }, (_, index) => workspace.addChannel(`channel-${index}`))
      for (let index = 0; index < 500; index++) {
        const channel = channels[index % 2 === 0 ? 0 : index % conversations] ?? ""
        const ts = workspace.post(channel, `message ${index}`)
        if (index % 20 === 0) workspace.post(channel, "reply", { thread: ts })
      }
      const file = workspace.addFile("notes.txt", new TextEncoder().encode("notes"))
      workspace.post(channels[0] ?? "", "a file", { files: [file] })
      const connection = yield* connect(server)
      const first = yield* sync(connection)
      assert.strictEqual(first.status, "succeeded")
      assert.deepStrictEqual(yield* messages(connection), [...expected(server).keys()].sort())
      assert.strictEqual(first.counts.downloads, 1)
      assert.strictEqual(first.counts.updated + first.counts.unchanged, 0)

      server.forget()
      const second = yield* sync(connection)
      assert.deepStrictEqual([second.counts.stored, second.counts.updated, second.counts.downloads], [0, 0, 0])
      // The look-back of the only conversation with more than 200 parents costs one more call.
      assert.strictEqual(second.counts.apiCalls, server.count())
      assert.isAtMost(second.counts.apiCalls, 2 * (conversations + 3))

      const gone = workspace.channel(channels[0] ?? "").parents.at(-30)?.ts ?? ""
      workspace.delete(channels[0] ?? "", gone)
      const late = workspace.post(channels[0] ?? "", "late", {
        thread: workspace.channel(channels[0] ?? "").parents[0]?.ts ?? ""
      })
      const third = yield* sync(connection)
      assert.deepStrictEqual(yield* messages(connection), [...expected(server).keys()].sort())
      const { deleted, patched, stored, updated } = third.counts
      assert.deepStrictEqual({ deleted, patched, stored, updated }, { deleted: 1, patched: 1, stored: 1, updated: 0 })
      assert.include(yield* messages(connection), `${channels[0]}/${late}`)

      const forced = yield* sync(connection, { force: true })
      assert.strictEqual(forced.counts.stored + forced.counts.updated, 0)
    }).pipe(Effect.provide(engine))
  )
}

it.live("a file that comes with other bytes than announced is a failure, and is not stored", () =>
  Effect.gen(function* () {
    const server = yield* SlackServer.make()
    const { workspace } = server
    const general = workspace.addChannel("general")
    const notes = new TextEncoder().encode("the notes")
    // The responses of `emulate` (with its metadata as the file), and a part of the file.
    const metadata = new TextEncoder().encode('{"ok":true,"file":{"id":"F1","name":"notes.txt"}}')
    const files = [
      workspace.addFile("whole.txt", notes),
      workspace.addFile("metadata.txt", notes, { served: metadata }),
      workspace.addFile("part.txt", notes, { served: notes.subarray(0, 4) })
    ]
    workspace.post(general, "look", { files })
    const connection = yield* connect(server)
    const result = yield* sync(connection)
    assert.deepStrictEqual([result.status, result.counts.failed], ["partial", 2])
    const stored = yield* ids(connection)
    assert.deepStrictEqual(
      files.map((id) => stored.includes(`files/${id}`)),
      [true, false, false]
    )
    const rows = yield* (yield* WholeStore).ledger(connection.id, { limit: 10 })
    assert.sameMembers(
      rows.map(({ message }) => message.replace(/^files\/\w+ was not stored: /, "")),
      ["more bytes came than the announced 9", "4 bytes came instead of the announced 9"]
    )
  }).pipe(Effect.provide(engine))
)

for (const conversations of [3, 15]) {
  it.live(`${conversations} conversations that each lose their only message in one poll have them deleted`, () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make()
      const { workspace } = server
      const channels = Array.from({ length: conversations }, (_, index) => workspace.addChannel(`channel-${index}`))
      const sent = channels.map((channel) => [channel, workspace.post(channel, "the only one")] as const)
      // As old as the others, but not hidden by a plan.
      const other = workspace.addChannel("other")
      const kept = `${other}/${workspace.post(other, "stays")}`
      const connection = yield* connect(server)
      yield* sync(connection)
      assert.strictEqual((yield* messages(connection)).length, conversations + 1)
      for (const [channel, ts] of sent) workspace.delete(channel, ts)
      const result = yield* sync(connection)
      assert.strictEqual(result.counts.deleted, conversations)
      assert.deepStrictEqual(yield* messages(connection), [kept])
    }).pipe(Effect.provide(engine))
  )
}

it.live("60 conversations that each lose two messages are too many, however many polls find them", () =>
  Effect.gen(function* () {
    const server = yield* SlackServer.make()
    const { workspace } = server
    const channels = Array.from({ length: 60 }, (_, index) => workspace.addChannel(`channel-${index}`))
    const sent = channels.flatMap((channel) => {
      // A complete pass takes two calls, so one poll's budget is too small for all conversations.
      workspace.post(channel, "a reply", { thread: workspace.post(channel, "a thread") })
      return [1, 2].map((n) => [channel, workspace.post(channel, `message ${n}`)] as const)
    })
    const connection = yield* connect(server)
    yield* sync(connection)
    const before = yield* messages(connection)
    for (const [channel, ts] of sent) workspace.delete(channel, ts)
    const held: Array<number> = []
    for (let polls = 0; polls < 10 && held.at(-1) !== 120; polls += 1) {
      const { counts } = yield* sync(connection)
      assert.strictEqual(counts.deleted, 0)
      held.push(counts.deletionsHeld)
    }
    assert.isAtLeast(held.length, 2)
    assert.strictEqual(held.at(-1), 120)
    assert.deepStrictEqual(yield* messages(connection), before)
  }).pipe(Effect.provide(engine))
)

it.live("150 conversations that each lose a message are too many, though a poll visits only 100 of them", () =>
  Effect.gen(function* () {
    const server = yield* SlackServer.make()
    const { workspace } = server
    const old = (index: number) => `${1_690_000_000 + index}.000100`
    const channels = Array.from({ length: 150 }, (_, index) => workspace.addChannel(`channel-${index}`))
    const sent = channels.map((channel, index) => {
      workspace.post(channel, "stays", { ts: old(index) })
      return [channel, workspace.post(channel, "goes", { ts: old(1000 + index) })] as const
    })
    const connection = yield* connect(server)
    yield* sync(connection)
    const before = yield* messages(connection)
    assert.strictEqual(before.length, 300)
    for (const [channel, ts] of sent) workspace.delete(channel, ts)
    const held: Array<number> = []
    for (let polls = 0; polls < 12 && held.at(-1) !== 150; polls += 1) {
      const { counts } = yield* sync(connection)
      assert.strictEqual(counts.deleted, 0)
      held.push(counts.deletionsHeld)
    }
    assert.isAtLeast(held.length, 2)
    assert.strictEqual(held.at(-1), 150)
    assert.deepStrictEqual(yield* messages(connection), before)
  }).pipe(Effect.provide(engine))
)

it.live("a deletion in one of 120 conversations is found, and applied once all of them were visited", () =>
  Effect.gen(function* () {
    const server = yield* SlackServer.make()
    const { workspace } = server
    const channels = Array.from({ length: 120 }, (_, index) => workspace.addChannel(`channel-${index}`))
    for (const [index, channel] of channels.entries()) {
      workspace.post(channel, "stays", { ts: `${1_690_000_000 + index}.000100` })
    }
    const [first = ""] = channels
    const goes = workspace.post(first, "goes", { ts: "1690001000.000100" })
    const connection = yield* connect(server)
    yield* sync(connection)
    workspace.delete(first, goes)
    const deleted: Array<number> = []
    for (let polls = 0; polls < 8 && deleted.at(-1) !== 1; polls += 1) {
      deleted.push((yield* sync(connection)).counts.deleted)
    }
    assert.strictEqual(deleted.at(-1), 1)
    assert.isAtMost(deleted.length, 6)
  }).pipe(Effect.provide(engine))
)
