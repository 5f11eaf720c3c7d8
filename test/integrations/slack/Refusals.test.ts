import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SlackServer from "../../support/SlackServer.ts"
import { Model, open } from "../../support/slack/Model.ts"
import { now, same, workspace } from "./workspaces.ts"

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
      // Each message has a thousand values, so that 300 in one response are too large.
      const fields = Array.from({ length: 1000 }, (_, index) => index)
      for (let index = 0; index < 300; index++) {
        const ts = server.workspace.post(channel, "large")
        server.workspace.find(channel, ts)?.message.attachments.push({ fields })
      }
      const model = new Model()
      const { problems } = yield* model.run(yield* open(server))
      assert.deepStrictEqual(problems, [])
      same(model, server)
      // A limit of 999 is refused; then 249 messages are read, and then the rest.
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
