/** Servers whose responses do not show all messages of a mailbox yet: no omitted message is lost. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../../src/contract/ContentExistenceChecker.ts"
import { poll } from "../../../src/contract/SyncTask.ts"
import * as Changes from "../../../src/integrations/imap/Changes.ts"
import type { MailboxPart } from "../../../src/integrations/imap/Checkpoint.ts"
import * as Downloads from "../../../src/integrations/imap/Downloads.ts"
import type * as Client from "../../../src/integrations/imap/Client.ts"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Harness from "../../../src/testing/Harness.ts"
import * as StandIn from "../../support/imap/ImapStandIn.ts"
import { account, clientOf, kinds, mail, searchWithout } from "../../support/imap/ScriptedAccount.ts"

describe("IMAP servers that do not show yet what a mailbox holds", () => {
  for (const [kind, capabilities] of Object.entries(kinds)) {
    // https://github.com/nextcloud/mail/issues/13590: single messages of INBOX are permanently missing, while newer
    // messages are stored.
    it.live(`new mail that SEARCH leaves out is a problem, and is stored once SEARCH shows it (${kind})`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { append, connect, faults, ids, sync } = yield* account({ capabilities })
          for (const name of [1, 2]) append("INBOX", mail(name))
          yield* connect
          yield* sync
          yield* sync
          for (const name of [3, 4]) append("INBOX", mail(name))
          faults.set("UID SEARCH", searchWithout(3))
          // Without mod-sequences the flags of all messages are read, which shows the missing message.
          const { problems } = yield* sync
          assert.deepStrictEqual(
            problems.map(({ place }) => place),
            kind === "plain" ? [] : ["INBOX"]
          )
          faults.clear()
          assert.deepStrictEqual((yield* sync).problems, [])
          assert.deepStrictEqual(yield* ids, ["INBOX 1", "INBOX 2", "INBOX 3", "INBOX 4"])
          assert.deepStrictEqual((yield* sync).counts.listed, 0)
        })
      )
    )

    it.live(`a first listing that SEARCH cuts short is completed by the next poll (${kind})`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { append, connect, faults, ids, sync } = yield* account({ capabilities })
          for (const name of [1, 2, 3]) append("INBOX", mail(name))
          yield* connect
          faults.set("UID SEARCH", searchWithout(2))
          assert.deepStrictEqual(
            (yield* sync).problems.map(({ place }) => place),
            ["INBOX"]
          )
          faults.clear()
          yield* sync
          assert.deepStrictEqual(yield* ids, ["INBOX 1", "INBOX 2", "INBOX 3"])
        })
      )
    )
  }

  // Without VANISHED, the number of messages is the same before and after.
  it.live("a new message that SEARCH leaves out and a deletion do not hide each other", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, expunge, faults, ids, sync } = yield* account({ capabilities: kinds.condstore })
        for (const name of [1, 2]) append("INBOX", mail(name))
        yield* connect
        yield* sync
        expunge("INBOX", 1)
        append("INBOX", mail(3))
        faults.set("UID SEARCH", searchWithout(3))
        assert.strictEqual((yield* sync).status, "partial")
        faults.clear()
        assert.strictEqual((yield* sync).counts.deleted, 1)
        assert.deepStrictEqual(yield* ids, ["INBOX 2", "INBOX 3"])
      })
    )
  )

  it.live("a connection that opened a mailbox before it was opened last opens it again", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, config, mailboxes } = yield* StandIn.run({ views: true })
        append("INBOX", mail(1))
        const client = yield* clientOf(config)
        const validity = String(mailboxes.get("INBOX")?.validity)
        const inbox = (ask: (session: Client.Session) => Promise<unknown>) =>
          client.inMailbox("INBOX", validity, "FETCH", "a test", ask)
        // The first connection is in use while the second reopens the mailbox; then the pool returns the first
        // connection again.
        const isUsed = yield* Deferred.make<void>()
        const isFree = yield* Deferred.make<void>()
        const download = yield* Effect.forkChild(
          inbox(() => Effect.runPromise(Effect.andThen(Deferred.succeed(isUsed, undefined), Deferred.await(isFree))))
        )
        yield* Deferred.await(isUsed)
        append("INBOX", mail(2))
        assert.strictEqual((yield* client.examine("INBOX")).messages, 2)
        yield* Deferred.succeed(isFree, undefined)
        yield* Fiber.join(download)
        assert.deepStrictEqual(yield* inbox(({ imap }) => imap.search({ uid: "1:*" }, { uid: true })), [1, 2])
      })
    )
  )

  // https://github.com/modern-email/defects/issues/43 (Winmail Pro: SELECT without UIDNEXT, STATUS with it) and 15
  // (mail.163.com: neither).
  for (const commands of [["EXAMINE"], ["EXAMINE", "LIST", "STATUS"]]) {
    it.live(`a server whose ${commands.join(", ")} has no UIDNEXT is compared up to the last UID`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { append, connect, expunge, faults, ids, sync, watch } = yield* account({
            capabilities: ["LIST-STATUS"]
          })
          const withoutNext = {
            lines: (lines: ReadonlyArray<string>) =>
              lines.filter((line) => !line.includes("[UIDNEXT")).map((line) => line.replace(/UIDNEXT \d+ /, ""))
          }
          for (const command of commands) faults.set(command, withoutNext)
          for (const name of [1, 2, 3]) append("INBOX", mail(name))
          yield* connect
          yield* sync
          yield* sync
          expunge("INBOX", 3)
          append("INBOX", mail(4))
          const before = watch.pages.length
          assert.deepStrictEqual([(yield* sync).counts.deleted, yield* ids], [1, ["INBOX 1", "INBOX 2", "INBOX 4"]])
          assert.isBelow(watch.pages.length - before, 5)
        })
      )
    )
  }

  // https://github.com/closeio/sync-engine/issues/943: HIGHESTMODSEQ decreased under the same UIDVALIDITY.
  it.live("a HIGHESTMODSEQ that went down reads all flags again", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, flag, mailboxes, store, sync } = yield* account()
        append("INBOX", mail(1))
        for (let change = 0; change < 5; change++) flag("INBOX", 1, ["\\Flagged"])
        const { id } = yield* connect
        yield* sync
        const [message] = mailboxes.get("INBOX")?.messages ?? []
        Object.assign(message ?? {}, { modseq: 2, flags: ["\\Seen"] })
        yield* sync
        const [row] = (yield* store.contents(id, { state: "stored", limit: 1 })).contents
        assert.deepStrictEqual(row?.metadata.flags, ["\\Seen"])
        assert.strictEqual((yield* sync).counts.patched, 0)
      })
    )
  )

  it.live("flags that the server does not tell are read again, though the last poll's clock was a year ahead", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, credentials, flag, store, sync, watch } = yield* account({ capabilities: kinds.plain })
        append("INBOX", mail(1))
        const { id } = yield* connect
        yield* sync
        const early = yield* Harness.start({ integration, credentials, store, watch })
        yield* Harness.ahead(365 * 86_400_000)(early.sync())
        flag("INBOX", 1, ["\\Flagged"])
        yield* sync
        const [row] = (yield* store.contents(id, { state: "stored", limit: 1 })).contents
        assert.deepStrictEqual(row?.metadata.flags, ["\\Flagged"])
      })
    )
  )

  // SmarterMail before 14.4 assigned the UIDVALIDITY 0 to many folders (portal.smartertools.com/community/a87100),
  // which RFC 3501 does not allow; other servers send none.
  for (const [name, change] of [
    ["0", (line: string) => line.replace(/UIDVALIDITY \d+/, "UIDVALIDITY 0")],
    [
      "that is missing",
      (line: string) => (line.includes("[UIDVALIDITY") ? "* OK" : line.replace(/UIDVALIDITY \d+ /, ""))
    ]
  ] as const) {
    it.live(`messages of a mailbox with a UIDVALIDITY ${name} are stored, and deleted`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { append, connect, expunge, faults, ids, process, sync } = yield* account()
          for (const command of ["EXAMINE", "LIST", "STATUS"]) {
            faults.set(command, { lines: (lines) => lines.map(change) })
          }
          for (const name of [1, 2, 3]) append("INBOX", mail(name))
          yield* connect
          assert.deepStrictEqual((yield* sync).counts.gone, 0)
          assert.deepStrictEqual(yield* ids, ["INBOX 1", "INBOX 2", "INBOX 3"])
          expunge("INBOX", 2)
          assert.strictEqual((yield* sync).counts.deleted, 1)
          const [id = ""] = yield* process.ids("stored")
          assert.strictEqual((yield* process.sync({ forceIds: [id] })).counts.unchanged, 1)
        })
      )
    )
  }

  // Some servers assign UIDs of more than a billion (isync, commit 815822d8): a block of digests then spans millions.
  for (const kind of ["condstore", "plain"] as const) {
    it.live(`a deletion and a flag are found where UIDs are far apart (${kind})`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { append, connect, expunge, flag, ids, store, sync, watch } = yield* account({
            capabilities: kinds[kind]
          })
          const uids = Array.from({ length: 30 }, (_, index) => 1_400_000_000 + index * 86_400)
          for (const uid of uids) append("INBOX", mail(uid), { uid })
          const { id } = yield* connect
          yield* sync
          yield* sync
          expunge("INBOX", uids[3] ?? 0)
          flag("INBOX", uids[5] ?? 0, ["\\Seen"])
          const before = watch.pages.length
          assert.deepStrictEqual([(yield* sync).counts.deleted, (yield* ids).length], [1, 29])
          assert.isBelow(watch.pages.length - before, 10)
          const { contents } = yield* store.contents(id, { state: "stored", limit: 50 })
          assert.deepStrictEqual(
            contents.find(({ externalId }) => externalId.endsWith(`/${uids[5]}`))?.metadata.flags,
            ["\\Seen"]
          )
          assert.deepStrictEqual((yield* sync).counts.listed, 0)
        })
      )
    )
  }

  it.live("a slice that ends after changed flags leaves a deletion that the server does not tell to the next", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, config, expunge, flag, mailboxes } = yield* StandIn.run({ capabilities: kinds.condstore })
        for (const name of [1, 2, 3]) append("INBOX", mail(name))
        const inbox = mailboxes.get("INBOX")
        const validity = String(inbox?.validity)
        const modseq = String(inbox?.messages.at(-1)?.modseq)
        flag("INBOX", 1, ["\\Seen"])
        expunge("INBOX", 2)
        const client = yield* clientOf(config)
        const downloads = yield* Downloads.make(client, undefined)
        const choice = { mailboxes: [], exclude: [], includeSpamTrash: false }
        const read = (before: MailboxPart) =>
          Changes.read({
            source: { client, choice, downloads },
            task: poll,
            mailbox: { name: "INBOX", path: "INBOX", status: {} },
            isPassOpen: false,
            before
          }).pipe(Stream.provideService(ContentExistenceChecker, checker))
        const checker = yield* Effect.provide(
          ContentExistenceChecker,
          ContentExistenceChecker.layerTest([1, 2, 3].map((uid) => `INBOX/${validity}/${uid}`))
        )
        const [first] = yield* Stream.runCollect(
          Stream.take(read({ validity, next: 4, messages: 3, modseq, pass: 1 }), 1)
        )
        assert.strictEqual(first?.page?.patches?.length, 1)
        if (first === undefined) return
        const rest = yield* Stream.runCollect(read(first.part))
        assert.deepStrictEqual(
          rest.flatMap(({ page }) => page?.deleted ?? []),
          [`INBOX/${validity}/2`]
        )
        assert.strictEqual(rest.at(-1)?.part.messages, 2)
      })
    )
  )
})
