/** Histories whose records span pages and slices: no change is lost, and none is applied in the wrong order. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { status } from "../../support/GmailServer.ts"
import * as Mirror from "./Mirror.ts"
import { assertMirrors, assertSameLabels, begin } from "./Mirror.ts"

describe("a history", () => {
  it.live("with more changes than a page of Idem may have is divided, and a slice may end between the pieces", () =>
    Effect.gen(function* () {
      const { mailbox, mirror, server } = yield* begin()
      mailbox.pageLimit = 500
      const ids = mailbox.fill(600)
      yield* Mirror.sync(mirror)
      const [labelled, others] = [ids.slice(0, 300), ids.slice(300)]
      for (const id of labelled) mailbox.modify(id, { add: ["STARRED"] })
      // A record may name several messages: here, 300 records name two each.
      const change = (text: string) => {
        const answer = JSON.parse(text)
        for (const [index, record] of answer.history.entries()) {
          record.labelsAdded.push({ message: { id: others[index] }, labelIds: ["STARRED"] })
        }
        return JSON.stringify(answer)
      }
      server.fault("history.list", { _tag: "Change", change }, { times: 2 })
      yield* Mirror.sync(mirror, { slice: 1 })
      yield* Mirror.sync(mirror)
      assert.deepStrictEqual(server.unmet, [])
      for (const id of ids) assert.include(Mirror.labelsOf(mirror, id), "STARRED")
    }).pipe(Effect.scoped)
  )

  // https://github.com/googleapis/google-api-nodejs-client/issues/3508
  it.live("that comes newest first applies no change of labels that an earlier page undoes", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const [back = "", gone = "", purged = "", starred = ""] = mailbox.fill(4)
      yield* Mirror.sync(mirror)
      mailbox.isHistoryReversed = true
      for (const id of [back, gone, purged]) mailbox.trash(id)
      mailbox.modify(starred, { add: ["STARRED"], remove: ["INBOX"] })
      mailbox.fill(60)
      mailbox.untrash(back)
      mailbox.modify(starred, { remove: ["STARRED"], add: ["INBOX"] })
      mailbox.remove(purged)
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
      assert.isFalse(mirror.stored.has(gone))
      assertSameLabels(mirror, mailbox)
    }).pipe(Effect.scoped)
  )

  it.live("that can't be read now is no expired one, and the mailbox is not listed in full", () =>
    Effect.gen(function* () {
      const { mailbox, mirror, server } = yield* begin()
      mailbox.fill(3)
      yield* Mirror.sync(mirror)
      mailbox.fill(1)
      server.fault("history.list", status(403, "insufficientPermissions"))
      server.forgetSeen()
      const failed = yield* Effect.flip(Mirror.sync(mirror))
      assert.strictEqual(failed._tag === "IntegrationError" ? failed.reason._tag : failed._tag, "Forbidden")
      assert.deepStrictEqual([mirror.expired, server.count("messages.list")], [0, 0])
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  // A label's list does not show messages in Trash.
  it.live("brings a message that was in Trash while labels were rebuilt back with all its labels", () =>
    Effect.gen(function* () {
      const { mailbox, mirror, server } = yield* begin()
      const [back = ""] = mailbox.fill(160)
      yield* Mirror.sync(mirror)
      mailbox.modify(back, { add: ["STARRED"] })
      mailbox.expireHistory()
      for (let pages = 0; pages < 10 && !JSON.stringify(mirror.checkpoint).includes("positions"); pages += 1) {
        yield* Mirror.sync(mirror, { slice: 1 })
      }
      server.before("messages.list", () => mailbox.trash(back))
      // The changes are read before the labels.
      yield* Mirror.sync(mirror)
      assert.isTrue(mailbox.get(back)?.labelIds.has("TRASH"))
      mailbox.untrash(back)
      yield* Mirror.sync(mirror)
      assert.include(Mirror.labelsOf(mirror, back), "STARRED")
      assertSameLabels(mirror, mailbox)
    }).pipe(Effect.scoped)
  )
})
