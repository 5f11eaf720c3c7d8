/**
 * IMAP against Dovecot: with QRESYNC, TLS and COMPRESS on Maildir; without QRESYNC; without mod-sequences and
 * LIST-STATUS; and on mdbox with another separator. All tests use one server, each with its own user.
 */
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Servers from "../../support/ImapServers.ts"
import { skips } from "../../support/Requirement.ts"
import * as Account from "../../support/imap/ImapAccount.ts"
import * as Moves from "./moves.ts"

class Server extends Context.Service<Server, Servers.Running>()("test/Dovecot") {
  static readonly layer = Layer.effect(Server, Servers.run())
}

const windowAt = (index: number) => DateTime.makeUnsafe(Account.dateOf(index))

const account = (user: string, variant: Servers.Variant = "qresync", config: Record<string, unknown> = {}) =>
  Effect.flatMap(Server, (server) =>
    Account.make({
      connect: server.client(user, variant),
      credentials: server.credentials(user),
      config: { ...server.config(variant), ...config }
    })
  )

describe.skipIf(skips("the tests of IMAP against Dovecot", Servers.missing()))("IMAP against Dovecot", () => {
  it.layer(Server.layer, { excludeTestServices: true })((it) => {
    for (const name of ["qresync", "condstore", "plain", "mdbox"] as const) {
      Moves.suite(it, {
        name,
        account: (user) => account(user, name),
        separator: name === "mdbox" ? "." : "/",
        // A login and LIST; without LIST-STATUS also a STATUS for each mailbox.
        idleCalls: name === "plain" ? 4 : 2
      })
    }

    it.effect("mailboxes with odd names are listed under names that a download finds again", () =>
      Effect.gen(function* () {
        const { append, by, poll, process, stored } = yield* account("names", "mdbox", { exclude: ["Left out"] })
        const names = ["Entwürfe", "a%2Fb", "100%", "日本語.2024", "Tom & Jerry", "Left out"]
        for (const name of names) {
          yield* by((hands) => hands.mailboxCreate(name))
          yield* append(name, name)
        }
        yield* by((hands) => hands.mailboxCreate("Junk"))
        yield* append("Junk", "spam")
        assert.strictEqual((yield* poll).stored, 5)
        const ids = yield* process.ids("stored")
        assert.deepStrictEqual(ids.map((id) => id.split("/").slice(0, -2).join("/")).toSorted(), [
          "100%",
          "Entwürfe",
          "Tom & Jerry",
          "a%252Fb",
          "日本語/2024"
        ])
        assert.strictEqual((yield* process.sync({ forceIds: ids })).counts.unchanged, 5)
        assert.include(yield* stored, "日本語/2024: mail 日本語.2024")
      })
    )

    it.effect("IDLE gives a hint when it watches, and one for new mail, a flag and a deletion", () =>
      Effect.gen(function* () {
        const server = yield* Server
        const hands = yield* server.client("hints")
        const found = yield* (
          integration.hints?.({
            config: server.config(),
            credentials: server.credentials("hints"),
            call: (_method, _units, effect) => effect,
            saveCredentials: () => Effect.void
          }) ?? Effect.die(new Error("no hints"))
        )
        const acts = [
          () => hands.append("INBOX", Account.mail(1)),
          async () => {
            await hands.mailboxOpen("INBOX")
            await hands.messageFlagsAdd("1", ["\\Flagged"])
          },
          () => hands.messageDelete("1")
        ]
        const hinted = yield* Option.getOrThrow(found).pipe(
          // Each hint triggers the next action.
          Stream.tap(() => Effect.promise(() => Promise.resolve(acts.shift()?.()))),
          Stream.take(4),
          Stream.runCollect
        )
        assert.deepStrictEqual(hinted, [{}, { part: "INBOX" }, { part: "INBOX" }, { part: "INBOX" }])
      })
    )

    it.effect("a window is exact to the millisecond, and a large message is read in pieces", () =>
      Effect.gen(function* () {
        const { append, by, poll, process } = yield* account("window")
        yield* append("INBOX", 0, 1, 2, 3)
        const large = Buffer.concat([Account.mail("large"), Buffer.alloc(3_000_000, "0123456789\r\n")])
        yield* by((hands) => hands.append("INBOX", large, [], Account.dateOf(9)))
        const { counts } = yield* process.sync({
          window: { since: windowAt(1), until: windowAt(3) },
          force: true
        })
        assert.strictEqual(counts.listed, 2)
        yield* poll

        const hashes = [...(yield* process.hashes).values()]
        assert.include(hashes, createHash("sha256").update(large).digest("hex"))
      })
    )
  })
})
