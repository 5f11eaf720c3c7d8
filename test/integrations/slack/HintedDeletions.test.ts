import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { now, hinted, synced } from "./hintFixture.ts"

describe("hints", () => {
  it.effect("bring deletions that neither the next visit nor the next sweep takes for news", () =>
    Effect.gen(function* () {
      const { isMirrored, plain, poll, quiet, server, workspace } = yield* synced
      const other = workspace.post(quiet, "stays")
      yield* poll()
      yield* poll({ only: false, isListening: false })
      workspace.delete(quiet, plain)
      yield* poll()
      isMirrored()
      /**
       * Returns the methods called for the conversation in a poll after this time. The calls include those of a
       * complete pass, which searches for deletions.
       */
      const calls = Effect.fnUntraced(function* (after: Duration.Input) {
        yield* TestClock.adjust(after)
        server.forget()
        yield* poll({ only: false, isListening: false })
        return server.requests.filter(({ args }) => args["channel"] === quiet).map(({ method }) => method)
      })
      const visit = ["conversations.history"]
      assert.deepStrictEqual(yield* calls("10 minutes"), visit)
      // The daily sweep: a pass over the history, and the tour.
      yield* calls("25 hours")
      assert.deepStrictEqual(yield* calls("10 minutes"), visit)
      // A visit detects a deletion that no event has reported.
      workspace.onEvent = () => {}
      workspace.delete(quiet, other)
      assert.isAbove((yield* calls("10 minutes")).length, 1)
      isMirrored()
    })
  )

  it.effect("delete a reply or a file only where Slack says that it is not there", () =>
    Effect.gen(function* () {
      const { busy, model, old, quiet, reply, server, session, workspace } = yield* synced
      const file = workspace.addFile("ours.txt", new TextEncoder().encode("ours"))
      workspace.post(quiet, "look", { files: [file] })
      yield* model.run(session, hinted([quiet]))
      const ids = [`${busy}/${reply}`, `files/${file}`]
      const parts = [`${busy}/${reply}/${old}`, `files/${file}`]
      server.fail("conversations.replies", { error: "access_denied" })
      server.fail("files.info", { error: "access_denied" })
      assert.deepStrictEqual((yield* model.run(session, hinted(parts))).deleted, [])
      workspace.delete(busy, reply)
      Object.assign(workspace.files.get(file) ?? {}, { deleted: true })
      assert.sameMembers([...(yield* model.run(session, hinted(parts))).deleted], ids)
    })
  )

  it.effect("do not delete what a free plan hides, Slack refuses to show, or its history still shows", () =>
    Effect.gen(function* () {
      const { busy, model, old, server, session } = yield* synced
      server.fail("conversations.replies", { error: "thread_not_found" })
      yield* model.run(session, hinted([`${busy}/${old}`]))
      assert.strictEqual(server.count("conversations.history"), 1)
      assert.isTrue(model.rows.has(`${busy}/${old}`))
      server.hiddenBefore = String(now - 86_400)
      server.fail("conversations.replies", { error: "thread_not_found" })
      yield* model.run(session, hinted([`${busy}/${old}`]))
      server.hiddenBefore = undefined
      server.fail("conversations.replies", { error: "thread_not_found" })
      server.fail("conversations.history", { error: "not_in_channel" })
      yield* model.run(session, hinted([`${busy}/${old}`]))
      assert.isTrue(model.rows.has(`${busy}/${old}`))
    })
  )

  it.effect("do not delete what a free plan may hide, and what nothing older stands behind", () =>
    Effect.gen(function* () {
      const { busy, model, old, reply, server, session, workspace } = yield* synced
      server.isFlagged = false
      server.hiddenBefore = String(now - 86_400)
      for (const part of [`${busy}/${old}`, `${busy}/${reply}/${old}`]) {
        assert.deepStrictEqual((yield* model.run(session, hinted([part]))).deleted, [])
      }
      // A fresh message that is not found was deleted, because a plan hides only old messages.
      const fresh = workspace.channel(busy).parents[7]?.ts ?? ""
      workspace.delete(busy, fresh)
      assert.deepStrictEqual((yield* model.run(session, hinted([`${busy}/${fresh}`]))).deleted, [`${busy}/${fresh}`])
      server.hiddenBefore = undefined
      const older = workspace.post(busy, "older", { ts: `${now - 91 * 86_400}.000100` })
      workspace.delete(busy, reply)
      for (const ts of workspace.channel(busy).threads.get(old) ?? []) workspace.delete(busy, ts.ts)
      workspace.delete(busy, old)
      assert.include((yield* model.run(session, hinted([`${busy}/${old}`]))).deleted, `${busy}/${old}`)
      assert.isString(older)
    })
  )
})
