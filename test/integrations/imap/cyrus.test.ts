/** IMAP against Cyrus, whose mailboxes have OBJECTID and QRESYNC, and whose UIDs change when a mailbox is renamed. */
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
import * as Moves from "./moves.ts"

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
    // A login and LIST.
    Moves.suite(it, { name: "Cyrus", account, separator: "/", idleCalls: 2 })

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
