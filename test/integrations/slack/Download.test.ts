import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as SlackServer from "../../support/SlackServer.ts"
import { bodyOf, Model, open } from "../../support/slack/Model.ts"
import { setup, reasonOf, bytes } from "./downloads.ts"

describe("an id alone", () => {
  it.live("that has not the form of one of Slack's is Gone, without a request", () =>
    Effect.gen(function* () {
      const { server } = yield* setup
      const session = yield* open(server)
      for (const id of ["nope", "C1/", "/1.2", "C1/1.2/3"]) assert.strictEqual(yield* reasonOf(session, id), "Gone")
      assert.strictEqual(server.count(), 0)
    })
  )

  it.live("gives a message, a parent, a reply, a user and a conversation, with the bytes that a listing gives", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const plain = slack.post(general, "plain")
      const parent = slack.post(general, "parent")
      const reply = slack.post(general, "reply", { thread: parent })
      slack.post(general, "newer")
      slack.edit(general, plain, "edited")
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      for (const id of model.ids()) {
        const content = yield* session.download({ externalId: id })
        const row = model.rows.get(id)
        assert.strictEqual(yield* bodyOf(content), row?.body, id)
        assert.deepStrictEqual(content.metadata, row?.metadata)
        if (id !== `${general}/${parent}`) assert.strictEqual(content.revision, row?.revision, id)
      }
      assert.include(model.ids(), `${general}/${reply}`)
    })
  )

  it.effect("of a message that a free plan may hide, or a file that Slack withholds, is refused and not gone", () =>
    Effect.gen(function* () {
      const now = 1_700_000_000
      yield* TestClock.setTime(now * 1000)
      const server = yield* SlackServer.make({ now })
      const { workspace: slack } = server
      const general = slack.addChannel("general")
      const at = (days: number) => `${now - days * 86_400}.000100`
      const [oldest, old] = [slack.post(general, "oldest", { ts: at(100) }), slack.post(general, "old", { ts: at(95) })]
      const reply = slack.post(general, "old reply", { ts: at(94), thread: old })
      const lately = slack.post(general, "lately", { ts: at(80) })
      const files = ["hidden_by_limit", "access_denied"].map((withheld) => {
        const id = slack.addFile("report.pdf", bytes("the report"), { mimetype: "application/pdf" })
        Object.assign(slack.files.get(id) ?? {}, { withheld })
        return `files/${id}`
      })
      const session = yield* open(server)
      server.isFlagged = false
      server.hiddenBefore = at(90)
      for (const id of [`${general}/${oldest}`, `${general}/${old}`, `${general}/${reply}`, ...files]) {
        assert.strictEqual(yield* reasonOf(session, id), "Forbidden", id)
      }
      slack.delete(general, lately)
      assert.strictEqual(yield* reasonOf(session, `${general}/${lately}`), "Gone")
      server.isFlagged = true
      assert.strictEqual(yield* reasonOf(session, `${general}/${oldest}`), "Forbidden")
      // Slack shows older messages again, so a missing reply was deleted.
      server.hiddenBefore = undefined
      slack.delete(general, reply)
      slack.delete(general, old)
      for (const id of [`${general}/${old}`, `${general}/${reply}`]) {
        assert.strictEqual(yield* reasonOf(session, id), "Gone", id)
      }
    })
  )

  it.live("of a file that Slack withholds is not listed", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const [hidden, denied, kept] = ["hidden", "denied", "kept"].map((name) => slack.addFile(name, bytes(name)))
      slack.post(general, "look", { files: [hidden, denied, kept].filter((file) => file !== undefined) })
      const model = new Model()
      const session = yield* open(server)
      yield* model.run(session)
      const before = new Map(model.rows)
      Object.assign(slack.files.get(hidden ?? "") ?? {}, { withheld: "hidden_by_limit" })
      Object.assign(slack.files.get(denied ?? "") ?? {}, { withheld: "access_denied" })
      const hinted = { parts: [`files/${hidden}`, `files/${denied}`], only: false, isListening: false }
      const next = yield* model.run(session, { hinted })
      assert.deepStrictEqual([...next.failed], [])
      assert.strictEqual(next.downloads, 0)
      for (const file of [hidden, denied, kept]) {
        assert.deepStrictEqual(model.rows.get(`files/${file}`), before.get(`files/${file}`))
      }
    })
  )

  it.live("gives a thread's parent no revision, which would say that its replies are stored", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      const parent = slack.post(general, "parent")
      const reply = slack.post(general, "reply", { thread: parent })
      const model = new Model()
      const session = yield* open(server)
      const content = yield* session.download({ externalId: `${general}/${parent}` })
      assert.isUndefined(content.revision)
      model.rows.set(`${general}/${parent}`, {
        kind: content.kind,
        revision: content.revision,
        body: yield* bodyOf(content),
        metadata: content.metadata,
        writes: 1
      })
      yield* model.run(session)
      assert.isTrue(model.rows.has(`${general}/${reply}`))
    })
  )

  it.live("is Gone where Slack says so, and never because a conversation was closed to us", () =>
    Effect.gen(function* () {
      const { general, server, slack } = yield* setup
      slack.post(general, "older, and shown: no plan hides the others")
      const parent = slack.post(general, "parent")
      const reply = slack.post(general, "reply", { thread: parent })
      const removed = slack.post(general, "removed")
      slack.delete(general, removed)
      const session = yield* open(server)
      assert.strictEqual(yield* reasonOf(session, `${general}/${removed}`), "Gone")
      slack.delete(general, parent)
      assert.strictEqual(yield* reasonOf(session, `${general}/${parent}`), "Gone")
      slack.delete(general, reply)
      assert.strictEqual(yield* reasonOf(session, `${general}/${reply}`), "Gone")
      assert.strictEqual(yield* reasonOf(session, "users/U99"), "Gone")
      assert.strictEqual(yield* reasonOf(session, "files/F99"), "Gone")
      assert.strictEqual(yield* reasonOf(session, "nonsense"), "Gone")
      slack.channel(general).closed = "channel_not_found"
      assert.strictEqual(yield* reasonOf(session, `${general}/${removed}`), "Forbidden")
      assert.strictEqual(yield* reasonOf(session, `channels/${general}`), "Forbidden")
    })
  )
})
