import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as SlackServer from "../../support/SlackServer.ts"
import { Model, open } from "../../support/slack/Model.ts"
import { days, now, at, same, workspace } from "./workspaces.ts"

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
        more = (yield* model.run(session, { pages: 20 })).isMoreLeft
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
        const { isMoreLeft } = yield* model.run(session, { pages: 5 })
        server.cursorEpoch += 1
        if (!isMoreLeft) break
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
      // Each slice requests one more page than it keeps.
      assert.isBelow(server.count("conversations.replies"), 60)
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

  it.effect("reads 1,200 conversations, each of them, and notices a deletion in each", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(now * 1000)
      const server = yield* SlackServer.make({ now: now - days(40) })
      const { workspace: slack } = server
      const channels = Array.from({ length: 1200 }, (_, index) => slack.addChannel(`channel-${index}`))
      for (const channel of channels) for (const text of ["one", "two"]) slack.post(channel, text)
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      same(model, server)
      assert.isBelow(model.largest, 1000)
      assert.isBelow(model.largestPart, 4096)
      const places = [0, 599, 1001, 1199].map((index) => channels[index] ?? "")
      for (const channel of places) slack.delete(channel, slack.channel(channel).parents[0]?.ts ?? "")
      // All of the conversations are dormant: each is visited within a day.
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
        const { isMoreLeft } = yield* model.run(session, { pages: 20 })
        if (posted === "" || model.rows.has(`${channels[0]}/${posted}`)) {
          longest = Math.max(longest, server.count() - since)
          posted = slack.post(channels[0] ?? "", `new in slice ${slice}`)
          since = server.count()
        }
        if (!isMoreLeft) break
      }
      // A slice of 20 pages that is in progress, a round of 13 calls, and as many calls for the backfill in between.
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
  /** Adds `count` conversations. The first ten are active; the others were last active 100 to 300 days ago. */
  const many = Effect.fnUntraced(function* (count: number) {
    yield* TestClock.setTime(now * 1000)
    const server = yield* SlackServer.make({ now: now - 60 })
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
      for (let polls = 0; polls < 12; polls++) {
        yield* TestClock.adjust("2 hours")
        server.forget()
        server.workspace.post(channels[3] ?? "", `poll ${polls}`, { ts: at(-(polls + 1) * 7200) })
        yield* model.run(session)
        // A hundred in turn, the overdue ones, and passes over at most a hundred histories.
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
