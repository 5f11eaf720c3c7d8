/** Hints decide which parts a poll visits, and only Slack's responses change what is stored. */
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { maxHinted } from "../../../src/contract/Hints.ts"
import { hintsOf } from "../../../src/integrations/slack/Events.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { callbackOf as callback } from "../../support/slack/SocketMode.ts"
import { Model, open } from "../../support/slack/Model.ts"
import type { JsonObject } from "../../support/slack/WorkspaceObjects.ts"
import { now, hinted, synced } from "./hintFixture.ts"

describe("hints", () => {
  it.effect("bring what they name for a call or two each, and nothing else", () =>
    Effect.gen(function* () {
      const { busy, isMirrored, old, plain, poll, quiet, reply, server, workspace } = yield* synced
      const cases: ReadonlyArray<readonly [string, () => void, ReadonlyArray<string>]> = [
        ["a message", () => workspace.post(quiet, "new"), ["conversations.history"]],
        ["a late reply", () => workspace.post(busy, "late", { thread: old }), ["conversations.replies"]],
        ["an edit of an old message", () => workspace.edit(busy, old, "old, edited"), ["conversations.replies"]],
        ["an edited old reply", () => workspace.edit(busy, reply, "reply, edited"), ["conversations.replies"]],
        ["an unfurl", () => workspace.unfurl(busy, old, "a page"), ["conversations.replies"]],
        ["a reaction", () => workspace.react(busy, old, "wave"), ["conversations.replies"]],
        ["a deletion", () => workspace.delete(quiet, plain), ["conversations.replies", "conversations.history"]],
        [
          "a deleted reply",
          () => workspace.delete(busy, reply),
          // The second response of history shows that no plan hides the old thread.
          ["conversations.replies", "conversations.history", "conversations.history", "conversations.replies"]
        ],
        ["a renamed user", () => workspace.renameUser("U00000002", "robert"), ["users.info"]]
      ]
      for (const [what, happens, calls] of cases) {
        happens()
        yield* poll()
        assert.deepStrictEqual(
          server.requests.map(({ method }) => method),
          calls,
          what
        )
        isMirrored()
        server.forget()
      }
      // A visit does not detect deletions that hints have reported, so no complete pass is needed.
      yield* poll({ only: false })
      assert.isAtMost(server.count(), 5)
    })
  )

  it.effect("bring a new conversation with its messages", () =>
    Effect.gen(function* () {
      const { isMirrored, poll, workspace } = yield* synced
      const fresh = workspace.addChannel("fresh")
      workspace.post(fresh, "hello")
      yield* poll()
      isMirrored()
    })
  )

  it.effect("that are forged or doubled change nothing", () =>
    Effect.gen(function* () {
      const { busy, isMirrored, model, old, quiet, reply, server, session } = yield* synced
      const forged = [
        busy,
        `${busy}/${old}`,
        `${busy}/${reply}`,
        `${busy}/${reply}/${old}`,
        `${busy}/1600000000.000100`,
        `${busy}/1600000000.000100/${old}`,
        `${quiet}/${old}`,
        `${quiet}/not a ts`,
        "C99999999",
        "C99999999/1600000000.000100",
        "users/U99999999",
        "files/F99999999",
        "channels",
        "users/",
        "a/b/c/d",
        "/"
      ]
      const before = new Map(model.rows)
      const result = yield* model.run(session, hinted([...forged, ...forged]))
      assert.deepStrictEqual([...result.stored, ...result.updated, ...result.deleted, ...result.problems], [])
      // Only a stored id is reported as deleted: otherwise the visit would consider a shorter thread or history
      // explained.
      assert.deepStrictEqual(
        result.pages.flatMap((page) => page.deleted ?? []),
        []
      )
      assert.deepStrictEqual(model.rows, before)
      isMirrored()
      assert.isAtMost(server.count(), 2 * forged.length)
      server.forget()
      yield* model.run(session, hinted([], { only: false, isListening: true }))
      assert.isAtMost(server.count(), 1)
    })
  )

  it.effect("do not bring a file that no message of ours carries", () =>
    Effect.gen(function* () {
      const { model, server, session, workspace } = yield* synced
      const file = workspace.addFile("theirs.txt", new TextEncoder().encode("theirs"))
      const { pages } = yield* model.run(session, hinted([`files/${file}`]))
      assert.deepStrictEqual(
        pages.flatMap(({ deleted = [], listed }) => [...listed, ...deleted]),
        []
      )
      assert.isFalse(model.rows.has(`files/${file}`))
      assert.strictEqual(server.count("files.info"), 0)
    })
  )

  it.effect("bring nothing from a conversation that is not wanted", () =>
    Effect.gen(function* () {
      const { busy, plain, quiet, server } = yield* synced
      const model = new Model()
      const session = yield* open(server, { channels: [busy] })
      yield* model.run(session)
      server.forget()
      yield* model.run(session, hinted([`${quiet}/${plain}`]))
      assert.deepStrictEqual(model.ids(`${quiet}/`), [])
      assert.strictEqual(server.count(), 0)
    })
  )

  it.effect("are kept in the checkpoint until each was looked at, whatever the slices", () =>
    Effect.gen(function* () {
      const { busy, isMirrored, model, old, poll, server, session, workspace } = yield* synced
      const edited = workspace
        .channel(busy)
        .parents.slice(0, 40)
        .map(({ ts }) => ts)
      for (const ts of edited) workspace.edit(busy, ts, `edited ${ts}`)
      workspace.post(busy, "late", { thread: old })
      yield* poll()
      isMirrored()
      for (const ts of edited) workspace.edit(busy, ts, `edited again ${ts}`)
      const slices = []
      for (let slice = 0; slice < 60; slice++) {
        const given = slice === 0 ? edited.map((ts) => `${busy}/${ts}`) : []
        const { isMoreLeft, pages } = yield* model.run(session, {
          ...hinted(given, { only: slice === 0 }),
          ...(slice % 3 === 1 ? { crash: 1 } : { pages: 3 })
        })
        slices.push(pages.length)
        if (slice > 0 && (slice % 3 === 1 ? pages.length === 0 : !isMoreLeft)) break
      }
      isMirrored()
      assert.isAbove(slices.length, 10)
      assert.isAbove(server.count(), 40)
    })
  )

  it.effect("fit into the checkpoint, however many there are", () =>
    Effect.gen(function* () {
      const { busy, model, session } = yield* synced
      const parts = Array.from(
        { length: maxHinted },
        (_, index) => `${busy}/1600000000.${String(index).padStart(6, "0")}`
      )
      yield* model.run(session, { ...hinted(parts), pages: 2 })
      assert.isBelow(model.largest, 32_000)
    })
  )

  it.effect("that do not come are not relied on, whatever the socket says", () =>
    Effect.gen(function* () {
      const { isMirrored, model, parts, poll, quiet, busy, server, workspace } = yield* synced
      /**
       * Polls after this time, and returns the problems of the poll with the number of conversations that it visited.
       */
      const next = Effect.fnUntraced(function* (after: Duration.Input = "5 minutes") {
        yield* TestClock.adjust(after)
        workspace.now = (yield* Clock.currentTimeMillis) / 1000
        server.forget()
        const { problems } = yield* poll({ only: false })
        const visited = server.requests.filter(({ method }) => method === "conversations.history")
        return [problems.map(({ place }) => place), new Set(visited.map(({ args }) => args["channel"])).size] as const
      })
      // The stream is listening, and no event has come: the workspace is quiet, or has no subscriptions.
      assert.deepStrictEqual(yield* next(), [[], 2])
      assert.deepStrictEqual(yield* next(), [[], 2])
      workspace.post(quiet, "heard")
      yield* poll()
      assert.deepStrictEqual(yield* next("2 minutes"), [[], 0])
      // Slack ends the subscription, but the socket stays open (bolt-js#2105, hermes-agent#38847).
      const tell = workspace.onEvent
      workspace.onEvent = () => {}
      workspace.post(quiet, "not told")
      assert.deepStrictEqual(yield* next("61 minutes"), [["events"], 2])
      isMirrored()
      workspace.post(busy, "not told either")
      assert.deepStrictEqual(yield* next(), [["events"], 2])
      isMirrored()
      // The subscription is active again.
      workspace.onEvent = tell
      workspace.post(busy, "told")
      assert.strictEqual(parts.size, 1)
      yield* poll()
      assert.deepStrictEqual(yield* next("2 minutes"), [[], 1])
      assert.isTrue(model.rows.size > 0)
    })
  )

  it.effect("while they are heard, leave an idle workspace of 1,000 conversations at 3 calls an hour", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(now * 1000)
      const server = yield* SlackServer.make({ now })
      const { workspace } = server
      for (let index = 0; index < 1000; index++) {
        workspace.post(workspace.addChannel(`channel ${index}`), "old", { ts: `${now - 20 * 86_400 - index}.000100` })
      }
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      yield* model.run(session, hinted(["users/U00000001"]))
      server.forget()
      const most: Array<number> = []
      for (let round = 0; round < 26; round++) {
        yield* TestClock.adjust("5 minutes")
        const before = server.count()
        yield* model.run(session, hinted([], { only: false }))
        most.push(server.count() - before)
      }
      assert.isAtMost(Math.max(...most), 3)
      assert.isAtMost(server.count(), 6)
    })
  )
})

describe("events", () => {
  const of = (event: JsonObject) => hintsOf(callback(event)).map(({ part }) => part)

  it("hint at what they name, for each workspace that they are for", () => {
    const channel = "C1"
    assert.deepStrictEqual(of({ type: "message", channel, ts: "2.1" }), ["C1"])
    assert.deepStrictEqual(of({ type: "message", channel, ts: "2.1", thread_ts: "1.1" }), ["C1/1.1"])
    assert.deepStrictEqual(of({ type: "message", subtype: "thread_broadcast", channel, ts: "2.1", thread_ts: "1.1" }), [
      "C1",
      "C1/1.1"
    ])
    assert.deepStrictEqual(of({ type: "message", subtype: "message_replied", channel, message: { ts: "1.1" } }), [
      "C1/1.1"
    ])
    assert.deepStrictEqual(of({ type: "reaction_removed", item: { type: "file", file: "F1" } }), [])
    assert.deepStrictEqual(of({ type: "member_joined_channel", channel, user: "U1" }), ["channels"])
    assert.deepStrictEqual(of({ type: "channel_rename", channel: { id: channel, name: "new" } }), ["channels"])
    assert.deepStrictEqual(of({ type: "file_deleted", file_id: "F1" }), ["files/F1"])
    assert.deepStrictEqual(of({ type: "team_join", user: { id: "U1" } }), ["users/U1"])
    assert.deepStrictEqual(of({ type: "app_home_opened", user: "U1", channel }), [])
    const shared = {
      ...callback({ type: "message", channel, ts: "1.1" }),
      enterprise_id: "E1",
      authorizations: [{ team_id: "T2" }]
    }
    assert.deepStrictEqual(
      hintsOf(shared).map(({ account }) => account),
      ["T00000001", "E1", "T2"]
    )
    assert.deepStrictEqual(hintsOf({ type: "app_rate_limited", team_id: "T1", minute_rate_limited: 1 }), [
      { account: "T1" }
    ])
  })

  it("that can't be read hint at nothing", () => {
    for (const payload of [
      null,
      1,
      "x",
      {},
      [],
      { type: "event_callback" },
      callback({ type: "message" }),
      callback({})
    ]) {
      assert.deepStrictEqual(hintsOf(payload), [])
    }
  })
})
