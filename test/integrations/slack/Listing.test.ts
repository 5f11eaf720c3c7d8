import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { poll } from "../../../src/contract/SyncTask.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected, mirrored, Model, open } from "../../support/slack/Model.ts"

const days = (count: number) => count * 86_400
const now = 1_700_000_000
const at = (secondsAgo: number) => `${now - secondsAgo}.000100`

const same = (model: Model, server: SlackServer.SlackServer) =>
  assert.deepStrictEqual(
    [...mirrored(model)].sort(([a], [b]) => (a < b ? -1 : 1)),
    [...expected(server)].sort(([a], [b]) => (a < b ? -1 : 1))
  )

/** Three conversations; one with threads, long enough for several answers. */
const workspace = Effect.fnUntraced(function* (messages = 450) {
  const server = yield* SlackServer.make({ now })
  const { workspace } = server
  const [general, secret, direct] = [
    workspace.addChannel("general"),
    workspace.addChannel("secret", "private_channel"),
    workspace.addChannel("bob", "im")
  ]
  for (let index = 0; index < messages; index++) {
    const ts = workspace.post(general, `message ${index}`, { ts: at(days(100) - index * 60) })
    if (index % 10 === 0)
      for (let reply = 0; reply <= index % 3; reply++) workspace.post(general, `reply ${reply}`, { thread: ts })
  }
  for (let index = 0; index < 20; index++) workspace.post(secret, `secret ${index}`)
  workspace.post(direct, "hello")
  return { server, general, secret, direct, model: new Model() }
})

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
    /** A day later. */
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
      // A listing that begins again knows no more than what is stored.
      model.checkpoint = Option.none()
      for (let day = 0; day < 3; day++) assert.deepStrictEqual(yield* nextDay(), [])
      const hidden = slack.channel(general).parents.filter(({ ts }) => ts < (server.hiddenBefore ?? ""))
      assert.isAbove(hidden.length, 15)
      // The plan ends, and all of it is there again.
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

describe("the backfill", () => {
  it.live("goes on in the middle of a conversation, in slices of any length, with what is new first in each", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1200)
      server.maxLimit = 50
      const session = yield* open(server)
      let slices = 0
      let posted = ""
      let more = true
      while (more) {
        const slice = yield* model.run(session, { pages: 20 })
        more = slice.pages.length === 20
        if (posted !== "") assert.isTrue(model.rows.has(`${general}/${posted}`) || slices % 2 === 1)
        posted = server.workspace.post(general, `while it goes on ${slices}`)
        slices += 1
        assert.isBelow(slices, 100)
      }
      yield* model.run(session)
      same(model, server)
      assert.isAbove(slices, 2)
      assert.isTrue(Array.from(model.rows.values()).every((row) => row.kind !== "message" || row.writes === 1))
      assert.isBelow(model.largest, 1000)
    })
  )

  it.live("gives up Slack's cursor when Slack has forgotten it", () =>
    Effect.gen(function* () {
      const { model, server } = yield* workspace(1200)
      server.maxLimit = 100
      const session = yield* open(server)
      for (let slice = 0; slice < 100; slice++) {
        const { pages } = yield* model.run(session, { pages: 5 })
        server.cursorEpoch += 1
        if (pages.length < 5) break
      }
      same(model, server)
    })
  )

  it.live("resumes in the middle of a thread longer than a step, and stores its parent last", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      const parent = server.workspace.post(general, "parent")
      for (let index = 0; index < 400; index++) server.workspace.post(general, `reply ${index}`, { thread: parent })
      server.maxLimit = 15
      const session = yield* open(server, { preset: "non-marketplace" })
      for (let slice = 0; slice < 200 && !model.rows.has(`${general}/${parent}`); slice++) {
        yield* model.run(session, { pages: 2 })
        const replies = model.ids(`${general}/`).filter((id) => id > `${general}/${parent}`)
        if (model.rows.has(`${general}/${parent}`)) assert.strictEqual(replies.length, 400)
      }
      yield* model.run(session)
      same(model, server)
      assert.isBelow(server.count("conversations.replies"), 40)
    })
  )

  it.live("loses nothing and repeats nothing when it is killed after any page", () =>
    Effect.gen(function* () {
      const { server } = yield* workspace(120)
      server.maxLimit = 40
      const pages = (yield* new Model().run(yield* open(server))).pages.length
      for (let crash = 0; crash < pages; crash++) {
        const model = new Model()
        yield* model.run(yield* open(server), { crash })
        yield* model.run(yield* open(server))
        same(model, server)
        assert.isTrue(Array.from(model.rows.values()).every((row) => row.writes === 1))
      }
    })
  )

  it.live("lists in full without its checkpoint, and stores nothing again", () =>
    Effect.gen(function* () {
      const { model, server } = yield* workspace()
      const session = yield* open(server)
      yield* model.run(session)
      const other = new Model()
      for (const [id, row] of model.rows) other.rows.set(id, row)
      const again = yield* other.run(session)
      assert.deepStrictEqual([...again.stored, ...again.updated, ...again.unchanged, ...again.deleted], [])
    })
  )

  it.effect("reads 4,500 conversations, each of them, and notices a deletion in each", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(now * 1000)
      const server = yield* SlackServer.make({ now: now - days(40) })
      server.withoutSockets = true
      const { workspace: slack } = server
      const channels = Array.from({ length: 4500 }, (_, index) => slack.addChannel(`channel-${index}`))
      for (const channel of channels) for (const text of ["one", "two"]) slack.post(channel, text)
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      same(model, server)
      assert.isBelow(model.largest, 1000)
      assert.isBelow(model.largestPart, 4096)
      const places = [0, 2399, 2401, 4001, 4499].map((index) => channels[index] ?? "")
      for (const channel of places) slack.delete(channel, slack.channel(channel).parents[0]?.ts ?? "")
      // All of them are dormant: each is visited within a day.
      yield* TestClock.adjust("25 hours")
      yield* model.run(session)
      same(model, server)
    })
  )

  it.live("asks for new messages of all conversations before each of its slices", () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make({ now })
      const { workspace: slack } = server
      const channels = Array.from({ length: 12 }, (_, index) => slack.addChannel(`channel-${index}`))
      for (const channel of channels) {
        for (let index = 0; index < 400; index++) slack.post(channel, `message ${index}`, { ts: at(days(50) - index) })
      }
      server.maxLimit = 10
      const model = new Model()
      const session = yield* open(server)
      let posted = ""
      let since = 0
      let longest = 0
      for (let slice = 0; slice < 400; slice++) {
        const { pages } = yield* model.run(session, { pages: 20 })
        if (posted === "" || model.rows.has(`${channels[0]}/${posted}`)) {
          longest = Math.max(longest, server.count() - since)
          posted = slack.post(channels[0] ?? "", `new in slice ${slice}`)
          since = server.count()
        }
        if (pages.length < 20) break
      }
      // A slice of 20 pages that is under way, a round of 13 calls, and as many for the backfill in between.
      assert.isAtMost(longest, 60)
      yield* model.run(session)
      yield* model.run(session)
      same(model, server)
    })
  )

  it.live("takes over from a first visit after one answer: the round goes on with the next conversation", () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make({ now })
      const { workspace: slack } = server
      const [long = "", ...others] = Array.from({ length: 5 }, (_, index) => slack.addChannel(`channel-${index}`))
      for (let index = 0; index < 900; index++) {
        const ts = slack.post(long, `message ${index}`, { ts: at(days(50) - index * 10) })
        if (index % 2 === 0) slack.post(long, "reply", { ts: at(days(50) - index * 10 - 5), thread: ts })
      }
      for (const other of others) slack.post(other, "hello")
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session, { pages: 12 })
      for (const other of others) assert.strictEqual(model.ids(`${other}/`).length, 1)
    })
  )
})

describe("a workspace of many conversations", () => {
  /** `count` conversations, of which the first ten are active; the others were 100 to 300 days ago. */
  const many = Effect.fnUntraced(function* (count: number) {
    yield* TestClock.setTime(now * 1000)
    const server = yield* SlackServer.make({ now: now - 60 })
    server.withoutSockets = true
    const channels = Array.from({ length: count }, (_, index) => server.workspace.addChannel(`channel-${index}`))
    for (const [index, channel] of channels.entries()) {
      server.workspace.post(channel, "hello", { ts: at(index < 10 ? 60 : days(100 + (index % 200))) })
    }
    const model = new Model()
    const session = yield* open(server)
    yield* model.run(session)
    return { server, channels, model, session }
  })
  const visited = (server: SlackServer.SlackServer) =>
    new Set(server.requests.flatMap(({ args, method }) => (method === "conversations.history" ? [args.channel] : [])))

  it.effect("visits active ones at each poll, dormant ones in turn, and each of them within a day", () =>
    Effect.gen(function* () {
      const { channels, model, server, session } = yield* many(400)
      const seen = new Set<string | undefined>()
      for (let polls = 0; polls < 48; polls++) {
        yield* TestClock.adjust("30 minutes")
        server.forget()
        server.workspace.post(channels[3] ?? "", `poll ${polls}`, { ts: at(-(polls + 1) * 1800) })
        yield* model.run(session)
        // A hundred in turn, those that are overdue, and passes over a hundred histories at most.
        assert.isAtMost(server.count("conversations.history"), 250)
        const found = visited(server)
        assert.isTrue(found.has(channels[3]))
        for (const channel of found) seen.add(channel)
      }
      assert.strictEqual(seen.size, 400)
      same(model, server)
    })
  )

  it.effect("notices within a day a deletion and a late reply in a history of any length", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(now * 1000)
      const server = yield* SlackServer.make({ now: now - 60 })
      const { workspace: slack } = server
      const channel = slack.addChannel("long")
      const posted = Array.from({ length: 3000 }, (_, index) =>
        slack.post(channel, `message ${index}`, { ts: at(days(300) - index * 60) })
      )
      slack.post(channel, "first reply", { ts: at(days(200)), thread: posted[5] ?? "" })
      const model = new Model()
      const session = yield* open(server, { lookback: "1 days" })
      yield* model.run(session)
      const late = slack.post(channel, "late reply", { thread: posted[5] ?? "" })
      slack.delete(channel, posted[7] ?? "")
      slack.edit(channel, posted[9] ?? "", "edited")
      yield* TestClock.adjust("5 minutes")
      yield* model.run(session)
      assert.isFalse(model.rows.has(`${channel}/${late}`), "no visit looks there")
      server.forget()
      for (let polls = 0; polls < 3; polls++) {
        yield* TestClock.adjust("12 hours")
        yield* model.run(session)
      }
      same(model, server)
    })
  )
})

describe("complete passes", () => {
  it.live("find an edited reply, a late reply and a deletion where no visit looks, a few calls a poll", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(700)
      const session = yield* open(server, { sweepEvery: "1 millis", lookback: "1 days" })
      yield* model.run(session)
      const [thread = "", replies = []] = Array.from(server.workspace.channel(general).threads)[0] ?? []
      const [another = ""] = Array.from(server.workspace.channel(general).threads.keys()).slice(2)
      server.workspace.edit(general, replies[0]?.ts ?? "", "edited reply")
      server.workspace.post(general, "late", { thread })
      server.workspace.post(general, "late too", { thread: another })
      server.workspace.delete(general, server.workspace.channel(general).parents[5]?.ts ?? "")
      server.workspace.delete(general, another)
      for (let index = 0; index < 12; index++) {
        server.forget()
        yield* model.run(session)
        // A round, the budget of passes over suspects and what a step may exceed it by, and a pass over the history.
        assert.isAtMost(server.count(), 4 + 100 + 8 + 4)
      }
      same(model, server)
    })
  )

  it.live("never cover a conversation in which something could not be read", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(60)
      const session = yield* open(server, { sweepEvery: "1 millis" })
      yield* model.run(session)
      const plain = server.workspace.channel(general).parents[33]?.ts ?? ""
      server.workspace.delete(general, plain)
      server.fail("conversations.replies", { error: "thread_not_found" })
      const { deleted } = yield* model.run(session)
      assert.deepStrictEqual(deleted, [])
      for (let index = 0; index < 3; index++) yield* model.run(session)
      same(model, server)
    })
  )
})

describe("what may not be read", () => {
  it.live("of any conversation, by an error of Slack's own, ends the walk: it is Slack that is down", () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make({ now })
      for (let index = 0; index < 60; index++) server.workspace.addChannel(`c${index}`)
      server.onRequest = ({ method }) => {
        if (method === "conversations.history") server.fail(method, { error: "internal_error" })
      }
      const model = new Model()
      yield* Effect.flip(model.run(yield* open(server)))
      assert.isAtMost(server.count("conversations.history"), 25)
    })
  )

  for (const [name, fault] of [
    ["a word that is known", { error: "ekm_access_denied" }],
    ["a word that nobody knows", { error: "something_new" }],
    ["an error of Slack's own", { error: "internal_error" }],
    ["an HTTP status", { status: 403 }],
    ["an answer that would take seconds to read", "nested JSON"]
  ] as const) {
    it.live(`of one conversation, refused with ${name}, holds up no other`, () =>
      Effect.gen(function* () {
        const server = yield* SlackServer.make({ now })
        const channels = Array.from({ length: 5 }, (_, index) => server.workspace.addChannel(`c${index}`))
        for (const channel of channels) server.workspace.post(channel, "hello")
        server.onRequest = ({ args, method }) => {
          if (method === "conversations.history" && args.channel === channels[1]) server.fail(method, fault)
        }
        const model = new Model()
        const { problems } = yield* model.run(yield* open(server))
        assert.deepStrictEqual(
          problems.map(({ place }) => place),
          [channels[1]]
        )
        assert.deepStrictEqual(
          channels.map((channel) => model.ids(`${channel}/`).length),
          [1, 0, 1, 1, 1]
        )
      })
    )
  }

  it.live("in one answer, because its messages are large, is read in smaller pages", () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make({ now })
      const channel = server.workspace.addChannel("large")
      // Each of them with a thousand values: 300 in one answer are too much.
      const fields = Array.from({ length: 1000 }, (_, index) => index)
      for (let index = 0; index < 300; index++) {
        const ts = server.workspace.post(channel, "large")
        server.workspace.find(channel, ts)?.message.attachments.push({ fields })
      }
      const model = new Model()
      const { problems } = yield* model.run(yield* open(server))
      assert.deepStrictEqual(problems, [])
      same(model, server)
      // Refused at 999, then 249, then the rest.
      assert.isAtLeast(server.count("conversations.history"), 3)
    })
  )

  it.live("is a problem, and comes back when it is opened again", () =>
    Effect.gen(function* () {
      const { general, model, secret, server } = yield* workspace(30)
      const session = yield* open(server)
      yield* model.run(session)
      server.workspace.channel(secret).closed = "channel_not_found"
      const missed = server.workspace.post(secret, "behind the door")
      const posted = server.workspace.post(general, "go on")
      const next = yield* model.run(session)
      assert.deepStrictEqual(next.problems, [{ place: secret, message: "can't be read: channel_not_found" }])
      assert.deepStrictEqual(next.stored, [`${general}/${posted}`])
      assert.deepStrictEqual(next.deleted, [])
      server.workspace.channel(secret).closed = undefined
      const after = yield* model.run(session)
      assert.deepStrictEqual(after.stored, [`${secret}/${missed}`])
      same(model, server)
    })
  )

  it.live("may be closed in the middle of its listing", () =>
    Effect.gen(function* () {
      const { general, model, secret, server } = yield* workspace(500)
      server.maxLimit = 100
      let answers = 0
      server.onRequest = ({ args, method }) => {
        if (method === "conversations.history" && args.channel === general && ++answers === 3) {
          server.workspace.channel(general).closed = "not_in_channel"
        }
      }
      const session = yield* open(server)
      const first = yield* model.run(session)
      assert.strictEqual(first.problems.length, 1)
      assert.isTrue(model.ids(`${secret}/`).length === 20)
      server.workspace.channel(general).closed = undefined
      server.onRequest = () => {}
      yield* model.run(session)
      yield* model.run(session)
      same(model, server)
    })
  )

  it.live("may be a kind whose scope is missing: the others are listed", () =>
    Effect.gen(function* () {
      const { model, secret, server } = yield* workspace(10)
      server.missing.add("private_channel")
      const { problems } = yield* model.run(yield* open(server))
      assert.deepStrictEqual(problems, [{ place: "private_channel", message: "can't be listed: missing_scope" }])
      assert.deepStrictEqual(model.ids(`${secret}/`), [])
      assert.isAbove(model.ids("C").length, 0)
    })
  )
})

describe("a bot", () => {
  it.live("reads where it is a member, and says how many channels it might be invited to, for one call a day", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(10)
      server.bot = true
      for (let index = 0; index < 5; index++) {
        const id = server.workspace.addChannel(`foreign-${index}`)
        server.workspace.channel(id).member = false
        server.workspace.post(id, "not for you")
      }
      const session = yield* open(server)
      const { problems } = yield* model.run(session)
      const message = "5 channels that the bot is not a member of (invite it to read them)"
      assert.deepStrictEqual(problems, [{ place: "public_channel", message }])
      server.forget()
      yield* model.run(session)
      assert.strictEqual(server.count(), 4)
      server.workspace.channel("C00000004").member = true
      yield* model.run(session)
      assert.strictEqual(model.ids("C00000004/").length, 1)
      assert.isAbove(model.ids(`${general}/`).length, 0)
    })
  )

  it.live("reads everywhere at a server that lets it", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(10)
      server.workspace.channel(general).member = false
      yield* model.run(yield* open(server))
      same(model, server)
    })
  )
})

describe("a task", () => {
  it.live("with a window lists what lies in it, replies too, and leaves the next poll its threads", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      const { workspace: slack } = server
      const before = slack.post(general, "before", { ts: at(days(20)) })
      const first = slack.post(general, "at since", { ts: `${now - days(10)}.000000` })
      slack.post(general, "at until", { ts: `${now - days(5)}.000000` })
      const inside = slack.post(general, "in the window, of an older thread", { ts: at(days(9)), thread: before })
      const reply = slack.post(general, "in the window", { ts: at(days(8)), thread: first })
      slack.post(general, "after the window", { ts: at(days(4)), thread: first })
      const date = (ago: number) => DateTime.makeUnsafe((now - ago) * 1000)
      const session = yield* open(server)
      yield* model.run(session, { task: { ...poll, window: { since: date(days(10)), until: date(days(5)) } } })
      assert.deepStrictEqual(model.ids(), [first, inside, reply].map((ts) => `${general}/${ts}`).sort())
      yield* model.run(session)
      same(model, server)
    })
  )

  it.live("with only a beginning lists all since, also where Slack counts from the oldest message", () =>
    Effect.gen(function* () {
      const { general, model, server } = yield* workspace(1)
      server.maxLimit = 50
      server.isNearestFirst = true
      const since = (index: number) => `${now - days(10) + index}.000000`
      for (let index = 0; index < 120; index++) server.workspace.post(general, "since", { ts: since(index) })
      const window = { since: DateTime.makeUnsafe((now - days(10)) * 1000) }
      yield* model.run(yield* open(server), { task: { ...poll, window } })
      assert.strictEqual(model.ids(`${general}/`).length, 120)
    })
  )

  it.live("with force lists everything again, resumes by its own checkpoint, and leaves the live one alone", () =>
    Effect.gen(function* () {
      const { model, server } = yield* workspace(500)
      const session = yield* open(server)
      yield* model.run(session)
      const live = JSON.stringify(model.checkpoint)
      const task = { ...poll, force: true }
      const part = yield* model.run(session, { task, pages: 4 })
      const rest = yield* model.run(session, { task, checkpoint: "own" })
      const ids = new Set([...part.unchanged, ...rest.unchanged])
      assert.deepStrictEqual([...ids].sort(), model.ids())
      assert.strictEqual(JSON.stringify(model.checkpoint), live)
    })
  )

  it.live("takes conversations by id or name and by type, and names those that are not there", () =>
    Effect.gen(function* () {
      const { direct, general, model, secret, server } = yield* workspace(3)
      const { problems } = yield* model.run(yield* open(server, { channels: ["#general", secret, "nowhere"] }))
      assert.deepStrictEqual(problems, [
        { place: "nowhere", message: "no such conversation among those that the token may list" }
      ])
      assert.isAbove(model.ids(`${general}/`).length, 0)
      assert.strictEqual(model.ids(`${secret}/`).length, 20)
      assert.deepStrictEqual(model.ids(`${direct}/`), [])
      const other = new Model()
      yield* other.run(yield* open(server, { types: ["im"] }))
      assert.deepStrictEqual(other.ids("channels/"), [`channels/${direct}`])
    })
  )
})
