import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { poll } from "../../../src/contract/SyncTask.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { Model, open } from "../../support/slack/Model.ts"
import { days, now, at, same, workspace } from "./workspaces.ts"

describe("a poll", () => {
  it.live("stores everything once, then nothing, for one call a conversation and one for their list", () =>
    Effect.gen(function* () {
      const { model, server } = yield* workspace()
      const session = yield* open(server)
      const first = yield* model.run(session)
      same(model, server)
      assert.strictEqual(new Set(first.stored).size, first.stored.length)
      assert.deepStrictEqual([...first.updated, ...first.unchanged, ...first.deleted], [])
      assert.strictEqual(first.downloads, 0)
      server.forget()
      const second = yield* model.run(session)
      assert.deepStrictEqual([...second.stored, ...second.updated, ...second.unchanged], [])
      assert.deepStrictEqual(
        server.requests.map((request) => request.method),
        ["conversations.list", "conversations.history", "conversations.history", "conversations.history"]
      )
      assert.isAtMost(second.queries, second.pages.length)
    })
  )

  it.live("keeps users and conversations, so that ids can be read as names", () =>
    Effect.gen(function* () {
      const { direct, general, model, server } = yield* workspace(1)
      const session = yield* open(server)
      yield* model.run(session)
      assert.deepStrictEqual(model.ids("users/"), ["users/U00000001", "users/U00000002"])
      assert.deepStrictEqual(
        model.ids("channels/"),
        [`channels/${general}`, `channels/${direct}`, "channels/G00000002"].sort()
      )
      assert.strictEqual(model.rows.get(`channels/${general}`)?.kind, "channel")
      server.workspace.renameUser("U00000002", "robert")
      const again = yield* model.run(session)
      assert.deepStrictEqual(again.updated, [], "users are not listed at every poll")
    })
  )

  it.live(
    "brings a new message, an edit, a reaction, a late reply of a thread 90 days old, and a new conversation",
    () =>
      Effect.gen(function* () {
        const { general, model, secret, server } = yield* workspace(1)
        const { workspace: slack } = server
        const old = slack.post(secret, "90 days ago", { ts: at(days(90)) })
        slack.post(secret, "first reply", { ts: at(days(89)), thread: old })
        const session = yield* open(server)
        yield* model.run(session)
        const posted = slack.post(general, "new")
        const late = slack.post(secret, "late reply", { thread: old })
        const oldest = slack.channel(secret).parents[5]?.ts ?? ""
        slack.edit(secret, oldest, "edited")
        slack.react(general, slack.channel(general).parents[0]?.ts ?? "", "wave")
        const added = slack.addChannel("added", "mpim")
        const inAdded = slack.post(added, "in the new one")
        const next = yield* model.run(session)
        same(model, server)
        assert.sameMembers(next.stored as Array<string>, [
          `${general}/${posted}`,
          `${secret}/${late}`,
          `${added}/${inAdded}`,
          `channels/${added}`
        ])
        assert.deepStrictEqual(next.updated, [`${secret}/${oldest}`])
        assert.sameMembers(next.patched as Array<string>, [
          `${secret}/${old}`,
          `${general}/${slack.channel(general).parents[0]?.ts}`
        ])
      })
  )

  it.live("finds a change that sets no `edited`: an unfurl, an update of attachments", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      const ts = server.workspace.post(general, "https://example.com")
      const session = yield* open(server)
      yield* model.run(session)
      server.workspace.unfurl(general, ts, "An example")
      const next = yield* model.run(session)
      assert.deepStrictEqual(next.updated, [`${general}/${ts}`])
      assert.include(model.rows.get(`${general}/${ts}`)?.body ?? "", "An example")
    })
  )

  it.live("patches reactions and reply counts, and leaves the body as it is", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      const { workspace: slack } = server
      const ts = slack.post(general, "parent")
      const session = yield* open(server)
      yield* model.run(session)
      const before = model.rows.get(`${general}/${ts}`)
      slack.react(general, ts, "wave")
      const reply = slack.post(general, "reply", { thread: ts })
      const next = yield* model.run(session)
      assert.deepStrictEqual(
        [next.updated, next.stored, next.patched],
        [[], [`${general}/${reply}`], [`${general}/${ts}`]]
      )
      const after = model.rows.get(`${general}/${ts}`)
      assert.strictEqual(after?.body, before?.body)
      assert.deepInclude(after?.metadata as Record<string, unknown>, {
        replyCount: 1,
        latestReply: reply,
        reactions: [{ count: 1, name: "wave", users: ["U00000002"] }]
      })
      slack.find(general, ts)?.message.reactions.clear()
      slack.delete(general, reply)
      yield* model.run(session)
      assert.deepStrictEqual(model.rows.get(`${general}/${ts}`)?.metadata, before?.metadata)
      const forced = yield* model.run(session, { task: { ...poll, force: true } })
      assert.deepStrictEqual([...forced.stored, ...forced.updated], [])
    })
  )

  it.live("finds what came while we were away, however many answers it takes", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(300)
      const session = yield* open(server)
      yield* model.run(session)
      yield* model.run(session)
      for (let index = 0; index < 2500; index++) server.workspace.post(general, `later ${index}`)
      const next = yield* model.run(session)
      assert.strictEqual(next.stored.length, 2500)
      same(model, server)
    })
  )

  it.live("notices a message that vanished, lists that conversation in full, and covers it", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(60)
      const session = yield* open(server)
      yield* model.run(session)
      const plain = server.workspace.channel(general).parents[33]?.ts ?? ""
      server.workspace.delete(general, plain)
      const next = yield* model.run(session)
      assert.deepStrictEqual(next.deleted, [`${general}/${plain}`])
      same(model, server)
      server.forget()
      yield* model.run(session)
      assert.strictEqual(server.count(), 4)
    })
  )

  it.live("notices a reply that vanished by its thread having become shorter", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(60)
      const session = yield* open(server)
      yield* model.run(session)
      const [thread, replies] = Array.from(server.workspace.channel(general).threads).at(-1) ?? []
      assert.strictEqual(replies?.length, 3)
      const gone = replies?.[1]?.ts ?? ""
      server.workspace.delete(general, gone)
      const next = yield* model.run(session)
      assert.deepStrictEqual(next.deleted, [`${general}/${gone}`])
      assert.deepStrictEqual([next.updated, next.patched], [[], [`${general}/${thread}`]])
      same(model, server)
    })
  )

  it.live("reads a tombstone as a deletion, and goes on with its thread", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      const parent = server.workspace.post(general, "parent")
      server.workspace.post(general, "reply", { thread: parent })
      const session = yield* open(server)
      yield* model.run(session)
      server.workspace.delete(general, parent)
      const late = server.workspace.post(general, "still talking", { thread: parent })
      const next = yield* model.run(session)
      assert.deepStrictEqual(next.deleted, [`${general}/${parent}`])
      assert.deepStrictEqual(next.stored, [`${general}/${late}`])
      same(model, server)
    })
  )

  it.live("claims nothing about what a free plan hides", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(60)
      const session = yield* open(server, { sweepEvery: "1 millis" })
      yield* model.run(session)
      server.hiddenBefore = server.workspace.channel(general).parents[30]?.ts
      for (let index = 0; index < 4; index++)
        yield* Effect.map(model.run(session), ({ deleted }) => assert.deepStrictEqual(deleted, []))
    })
  )

  const aged = Effect.gen(function* () {
    const first = now - days(100)
    yield* TestClock.setTime(now * 1000)
    const server = yield* SlackServer.make({ now: first })
    const { workspace: slack } = server
    const [general, quiet] = [slack.addChannel("general"), slack.addChannel("quiet")]
    for (let day = 0; day < 100; day++) {
      const ts = slack.post(general, `day ${day}`, { ts: `${first + days(day)}.000100` })
      slack.post(general, `reply on day ${day}`, { thread: ts, ts: `${first + days(day) + 60}.000100` })
    }
    slack.post(quiet, "long ago", { ts: `${first + days(10) + 3600}.000100` })
    slack.post(quiet, "lately", { ts: `${first + days(95)}.000100` })
    const model = new Model()
    const session = yield* open(server)
    yield* model.run(session)
    yield* model.run(session)
    /** Lets a day pass. */
    const nextDay = Effect.fnUntraced(function* (isLimited = true) {
      yield* TestClock.adjust("25 hours")
      const time = yield* Clock.currentTimeMillis
      if (isLimited) server.hiddenBefore = `${time / 1000 - days(90)}.000000`
      const polls = [yield* model.run(session), yield* model.run(session)]
      return polls.flatMap(({ deleted }) => deleted)
    })
    return { server, slack, general, quiet, model, nextDay }
  })

  it.effect("keeps what a free plan begins to hide, day by day, without a word", () =>
    Effect.gen(function* () {
      const { model, nextDay, server, general, slack } = yield* aged
      server.isFlagged = false
      const before = model.ids().length
      for (let day = 0; day < 4; day++) assert.deepStrictEqual(yield* nextDay(), [])
      assert.strictEqual(model.ids().length, before)
      // A listing that begins again has only the stored content to compare with.
      model.checkpoint = Option.none()
      for (let day = 0; day < 3; day++) assert.deepStrictEqual(yield* nextDay(), [])
      const hidden = slack.channel(general).parents.filter(({ ts }) => ts < (server.hiddenBefore ?? ""))
      assert.isAbove(hidden.length, 15)
      // The plan ends, and all messages are visible again.
      server.hiddenBefore = undefined
      assert.deepStrictEqual(yield* nextDay(false), [])
      same(model, server)
    })
  )

  it.effect("finds the deletion of the oldest message where another conversation shows what is as old", () =>
    Effect.gen(function* () {
      const { model, nextDay, quiet, server, slack } = yield* aged
      const oldest = slack.channel(quiet).parents[0]?.ts ?? ""
      slack.delete(quiet, oldest)
      assert.deepStrictEqual(yield* nextDay(false), [`${quiet}/${oldest}`])
      same(model, server)
    })
  )

  it.live("takes a reply that was also sent to the channel once", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      const parent = server.workspace.post(general, "parent")
      const reply = server.workspace.post(general, "to all", { thread: parent, broadcast: true })
      const session = yield* open(server)
      const first = yield* model.run(session)
      assert.strictEqual(first.stored.filter((id) => id === `${general}/${reply}`).length, 1)
      const forced = yield* model.run(session, { task: { ...poll, force: true } })
      assert.deepStrictEqual([...forced.stored, ...forced.updated], [])
      same(model, server)
    })
  )

  it.live("stores the same bytes for an unchanged message, though Slack's answers move", () =>
    Effect.gen(function* () {
      const { model, server } = yield* workspace(60)
      server.workspace.restless = true
      const session = yield* open(server)
      yield* model.run(session)
      const forced = yield* model.run(session, { task: { ...poll, force: true } })
      assert.deepStrictEqual([...forced.stored, ...forced.updated], [])
      assert.strictEqual(forced.unchanged.length, model.rows.size)
    })
  )
})
