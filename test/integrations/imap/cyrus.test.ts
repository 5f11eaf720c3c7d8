/** IMAP against Cyrus, whose mailboxes have OBJECTID and QRESYNC, and new UIDs when they are renamed. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Cyrus from "../../support/CyrusServer.ts"
import * as Servers from "../../support/ImapServers.ts"
import { skips } from "../../support/Requirement.ts"
import * as Account from "../../support/imap/ImapAccount.ts"

class Server extends Context.Service<Server, Cyrus.Running>()("test/Cyrus") {
  static readonly layer = Layer.effect(Server, Cyrus.run)
}

const account = Effect.fnUntraced(function* (username: string) {
  const { config, port } = yield* Server
  const connect = Servers.connected("127.0.0.1", port, username)
  return yield* Account.make({ connect, credentials: { username, password: Servers.password }, config })
})

describe.skipIf(skips("the tests of IMAP against Cyrus", Cyrus.missing()))("IMAP against Cyrus", () => {
  it.layer(Server.layer, { excludeTestServices: true })((it) => {
    it.effect("follows new mail, flags, moves and deletions, and an idle poll is two requests", () =>
      Effect.gen(function* () {
        const { append, by, flags, poll, process, stored } = yield* account("changes")
        yield* by((hands) => hands.mailboxCreate("Old/a"))
        yield* append("INBOX", 1, 2, 3, 4)
        yield* append("Old/a", 5)
        assert.strictEqual((yield* poll).stored, 5)
        // A mailbox that a whole listing finds empty, as that above Old/a, is opened a second time.
        const again = yield* poll
        assert.deepStrictEqual([again.downloads, again.stored, again.patched], [0, 0, 0])
        assert.strictEqual((yield* poll).apiCalls, 2)

        yield* by(async (hands) => {
          await hands.mailboxOpen("INBOX")
          await hands.messageFlagsAdd("1", ["\\Seen", "\\Flagged"])
          await hands.messageDelete("2")
          // The third message is the second now.
          await hands.messageMove("2", "Old/a")
        })
        yield* append("INBOX", 6)
        const counts = yield* poll
        assert.deepStrictEqual([counts.stored, counts.deleted, counts.downloads, counts.patched], [2, 2, 1, 1])
        assert.deepStrictEqual(yield* stored, [
          "INBOX: mail 1",
          "INBOX: mail 4",
          "INBOX: mail 6",
          "Old/a: mail 3",
          "Old/a: mail 5"
        ])
        assert.deepStrictEqual((yield* flags)["mail 1"], ["\\Flagged", "\\Seen"])
        assert.strictEqual((yield* process.sync({ force: true })).counts.unchanged, 5)
      })
    )

    it.effect("a renamed mailbox and a new UIDVALIDITY move the messages: nothing is downloaded, lost or held", () =>
      Effect.gen(function* () {
        const { append, by, poll, process, stored, watch } = yield* account("moves")
        const many = Array.from({ length: 130 }, (_, index) => index)
        yield* by((hands) => hands.mailboxCreate("List"))
        yield* append("List", ...many)
        assert.strictEqual((yield* poll).stored, 130)
        const before = watch.downloads.length
        yield* by((hands) => hands.mailboxRename("List", "Archive/List"))
        const renamed = yield* poll
        assert.deepStrictEqual([renamed.stored, renamed.deleted, renamed.deletionsHeld], [130, 130, 0])

        // The mailbox is made again with the same messages, as a restored backup does.
        yield* by(async (hands) => {
          await hands.mailboxCreate("Copy")
          await hands.mailboxOpen("Archive/List")
          await hands.messageCopy("1:*", "Copy")
          await hands.mailboxClose()
          await hands.mailboxDelete("Archive/List")
          await hands.mailboxRename("Copy", "Archive/List")
        })
        const renumbered = yield* poll
        assert.deepStrictEqual([renumbered.stored, renumbered.deletionsHeld], [130, 0])
        assert.strictEqual(watch.downloads.length, before)
        assert.strictEqual((yield* stored).length, 130)
        const ids = yield* process.ids("stored")
        assert.strictEqual(new Set(ids.map((id) => id.split("/").slice(0, -1).join("/"))).size, 1)
        assert.strictEqual((yield* poll).deleted, 0)
      })
    )

    it.effect("IDLE gives a hint when it watches, and one for new mail and a flag", () =>
      Effect.gen(function* () {
        const { config, port } = yield* Server
        const hands = yield* Servers.connected("127.0.0.1", port, "hints")
        const found = yield* (
          integration.hints?.({
            config,
            credentials: { username: "hints", password: Servers.password },
            call: (_method, _units, effect) => effect,
            saveCredentials: () => Effect.void
          }) ?? Effect.die(new Error("no hints"))
        )
        const acts = [
          () => hands.append("INBOX", Account.mail(1)),
          async () => {
            await hands.mailboxOpen("INBOX")
            await hands.messageFlagsAdd("1", ["\\Flagged"])
          }
        ]
        const hinted = yield* Option.getOrThrow(found).pipe(
          Stream.tap(() => Effect.promise(() => Promise.resolve(acts.shift()?.()))),
          Stream.take(3),
          Stream.runCollect
        )
        assert.deepStrictEqual(hinted, [{}, { part: "INBOX" }, { part: "INBOX" }])
      })
    )
  })
})
