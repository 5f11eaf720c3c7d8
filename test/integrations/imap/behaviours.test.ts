/** Behaviour of servers from users' reports, on a scripted server. Each test names its source. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { integration } from "../../../src/integrations/Imap.ts"
import * as Harness from "../../../src/testing/Harness.ts"
import * as StandIn from "../../support/imap/ImapStandIn.ts"
import { account, droppedLines, mail } from "../../support/imap/ScriptedAccount.ts"

describe("an id that a person asks for", () => {
  it.live("and that has not the form of one of this source is gone, and leaves no row in the ledger", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, process, sync } = yield* account()
        append("INBOX", mail(1))
        yield* connect
        yield* sync
        const { counts } = yield* process.sync({ forceIds: ["nope"] })
        assert.deepStrictEqual([counts.gone, counts.failed], [1, 0])
        assert.deepStrictEqual(yield* process.ids("failed"), [])
      })
    )
  )
})

describe("IMAP servers as users found them", () => {
  // https://github.com/Foundry376/Mailspring-Sync/pull/141: VANISHED was missing, and HIGHESTMODSEQ moved past the
  // deletion.
  it.live("a deletion that a server with QRESYNC does not tell is found by comparing UIDs", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, expunge, faults, ids, sync } = yield* account()
        for (const name of [1, 2, 3]) append("INBOX", mail(name))
        yield* connect
        yield* sync
        expunge("INBOX", 2)
        faults.set(
          "UID FETCH 1:3 (UID FLAGS",
          droppedLines((line) => !line.includes("VANISHED"))
        )
        assert.strictEqual((yield* sync).counts.deleted, 1)
        assert.deepStrictEqual(yield* ids, ["INBOX 1", "INBOX 3"])
      })
    )
  )

  // https://github.com/postalsys/imapflow/issues/443: responses to SEARCH were incomplete.
  it.live("UIDs that a server leaves out of SEARCH are a problem, and no deletions", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, expunge, faults, ids, sync } = yield* account({
          capabilities: ["ENABLE", "CONDSTORE"]
        })
        for (const name of [1, 2, 3, 4]) append("INBOX", mail(name))
        yield* connect
        yield* sync
        expunge("INBOX", 2)
        faults.set("UID SEARCH", { lines: () => ["* SEARCH 1"] })
        const { counts, problems } = yield* sync
        assert.deepStrictEqual([counts.deleted, problems.map(({ place }) => place)], [0, ["INBOX"]])
        faults.clear()
        assert.strictEqual((yield* sync).counts.deleted, 1)
        assert.deepStrictEqual(yield* ids, ["INBOX 1", "INBOX 3", "INBOX 4"])
      })
    )
  )

  // https://github.com/OfflineIMAP/offlineimap/issues/633, and unmounted disks of FTP servers: false empty responses.
  it.live("a mailbox that is suddenly empty, and a list without INBOX, delete nothing at once", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, faults, ids, mailboxes, sync } = yield* account({
          capabilities: ["ENABLE", "CONDSTORE"]
        })
        append("INBOX", mail(1))
        yield* connect
        yield* sync
        faults.set("LIST", { lines: () => [] })
        assert.strictEqual((yield* sync).error?.reason, "Transient")
        faults.clear()
        mailboxes.get("INBOX")?.messages.pop()
        assert.strictEqual((yield* sync).counts.deleted, 0)
        assert.deepStrictEqual(yield* ids, ["INBOX 1"])
        assert.strictEqual((yield* sync).counts.deleted, 1)
      })
    )
  )

  // https://github.com/ProtonMail/proton-bridge/issues/220, bichon#297, imap-backup#234: a new UIDVALIDITY.
  it.live("a new UIDVALIDITY downloads only what is new, and old ids go once the new ones are stored", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, ids, mailboxes, process, sync, watch } = yield* account()
        for (const name of [1, 2, 3]) append("INBOX", mail(name))
        yield* connect
        yield* sync
        const inbox = mailboxes.get("INBOX")
        if (inbox === undefined) return
        inbox.validity += 1
        for (const message of inbox.messages) message.uid += 10
        inbox.next += 10
        append("INBOX", mail(4))
        const before = watch.downloads.length
        const { counts } = yield* sync
        assert.deepStrictEqual([counts.stored, counts.deleted, watch.downloads.length - before], [4, 3, 1])
        assert.deepStrictEqual(yield* ids, ["INBOX 11", "INBOX 12", "INBOX 13", "INBOX 14"])
        assert.strictEqual(new Set((yield* process.hashes).values()).size, 4)
      })
    )
  )

  // RFC 5530: SERVERBUG says that the server failed at this request.
  it.live("a message whose bytes the server fails to read is a failed item, and says nothing of the source", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, ids, store, sync } = yield* account({
          script: (command) =>
            /^UID FETCH [^ ]*1[^ ]* .*BODY\.PEEK\[\]/.test(command)
              ? { answer: "NO [SERVERBUG] Internal error occurred" }
              : undefined
        })
        append("INBOX", mail(1))
        append("INBOX", mail(2))
        const { id } = yield* connect
        const { counts, status } = yield* sync
        assert.deepStrictEqual([status, counts.stored, counts.failed, counts.deferred], ["partial", 1, 1, 0])
        assert.deepStrictEqual(yield* ids, ["INBOX 2"])
        const [row] = yield* store.ledger(id, { limit: 1 })
        assert.deepStrictEqual([row?.state, row?.reason], ["failed", "Forbidden"])
      })
    )
  )

  // https://developers.google.com/workspace/gmail/imap/imap-extensions: labels are mailboxes, and \All has each message
  // once.
  it.live("on Gmail only the mailbox of all mail is mirrored, with labels that change without a download", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const gmail = ["ENABLE", "CONDSTORE", "X-GM-EXT-1", "SPECIAL-USE"]
        const { append, connect, create, flag, ids, mailboxes, store, sync } = yield* account({ capabilities: gmail })
        create("[Gmail]/All Mail", ["\\All"])
        create("[Gmail]/Spam", ["\\Junk"])
        append("[Gmail]/All Mail", mail(1), { emailId: "7001", labels: ["\\Inbox", "work"] })
        append("INBOX", mail(1), { emailId: "7001" })
        append("[Gmail]/Spam", mail(2), { emailId: "7002" })
        const { id } = yield* connect
        yield* sync
        assert.deepStrictEqual(yield* ids, ["[Gmail]/All Mail 1"])
        Object.assign(mailboxes.get("[Gmail]/All Mail")?.messages[0] ?? {}, { labels: ["work"] })
        flag("[Gmail]/All Mail", 1, ["\\Seen"])
        const { counts } = yield* sync
        assert.deepStrictEqual([counts.patched, counts.downloads], [1, 0])
        const [row] = (yield* store.contents(id, { state: "stored", limit: 1 })).contents
        assert.deepStrictEqual([row?.metadata.labels, row?.metadata.emailId], [["work"], "7001"])
      })
    )
  )

  // RFC 8474: EMAILID is the same for each copy, in any mailbox.
  it.live("a message with the same EMAILID in another mailbox is downloaded once", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, create, process, sync } = yield* account({
          capabilities: [...StandIn.allCapabilities, "OBJECTID"]
        })
        create("Other")
        append("INBOX", mail(1), { emailId: "M1" })
        yield* connect
        yield* sync
        append("Other", mail(1), { emailId: "M1" })
        const { counts } = yield* sync
        assert.deepStrictEqual([counts.stored, counts.downloads], [1, 0])
        assert.strictEqual(new Set((yield* process.hashes).values()).size, 1)
      })
    )
  )

  // The sender chooses the Message-ID, but not the headers that servers add on the way.
  it.live("a different message that bears a known Message-ID is downloaded", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, process, sync } = yield* account()
        const received = new Date(1_700_000_000_000)
        append("INBOX", `Received: id 1\r\n${mail("same").replace("body", "BODY")}`, { received })
        yield* connect
        yield* sync
        append("INBOX", `Received: id 2\r\n${mail("same")}`, { received })
        assert.strictEqual((yield* sync).counts.downloads, 1)
        assert.strictEqual(new Set((yield* process.hashes).values()).size, 2)
      })
    )
  )

  // Exchange (https://github.com/OTRS/otrs/pull/694) and others list a message before they can return its bytes.
  it.live("a message without bytes fails and is asked for again, and blocks no other", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, faults, ids, sync } = yield* account()
        append("INBOX", mail(1))
        append("INBOX", mail(2))
        yield* connect
        const empty = (lines: ReadonlyArray<string>) =>
          lines.map((line) =>
            line.includes("UID 1 ") || line.includes("UID 1)")
              ? line.replace(/BODY\[\](<\d+>)? \{\d+\}[^]*/, "BODY[]$1 NIL)")
              : line
          )
        faults.set("UID FETCH", { lines: empty })
        const { counts, status } = yield* sync
        assert.deepStrictEqual([status, counts.stored, counts.failed], ["partial", 1, 1])
        assert.deepStrictEqual(yield* ids, ["INBOX 2"])
      })
    )
  )

  it.live("refused logins shrink the pool, and a lost connection is opened again: nothing fails", () =>
    Effect.scoped(
      Effect.gen(function* () {
        let drops = 2
        const { append, connect, open, sync } = yield* account({
          connections: 1,
          script: (command) => (command.includes("BODY.PEEK[]") && drops-- > 0 ? "drop" : undefined)
        })
        for (let name = 0; name < 40; name++) append("INBOX", mail(name).padEnd(100_000, "x"))
        yield* connect
        const { counts, status } = yield* sync
        assert.deepStrictEqual([status, counts.stored, counts.failed], ["succeeded", 40, 0])
        assert.isBelow(drops, 1)
        assert.strictEqual(yield* open, 0)
      })
    )
  )

  // RFC 4978, 4: the server compresses everything after its OK. ImapFlow ends a connection whose server sends
  // compressed bytes together with the OK, because it reads the first of them as text.
  it.live("a server that sends on while compression begins is read without compression", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, commands, connect, faults, ids, sync } = yield* account({
          capabilities: [...StandIn.allCapabilities, "COMPRESS=DEFLATE"]
        })
        append("INBOX", mail(1))
        faults.set("COMPRESS DEFLATE", { answer: "OK DEFLATE active\r\n* OK still here" })
        yield* connect
        yield* sync
        assert.deepStrictEqual(yield* ids, ["INBOX 1"])
        // One request by the connection, and one by the sync.
        assert.lengthOf(
          commands.filter((command) => command === "COMPRESS DEFLATE"),
          2
        )
      })
    )
  )

  it.live("a wrong password is told once, without the password", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({ password: "right" })
        const store = yield* Harness.makeStore
        const credentials = { username: "ann", password: "hunter2-hunter2" }
        const process = yield* Harness.start({ integration, credentials, store, watch: Harness.watcher() })
        const exit = yield* Effect.exit(process.connect(standIn.config))
        const text = String(exit)
        assert.include(text, "Authentication failed")
        assert.notInclude(text, "hunter2")
        assert.strictEqual(standIn.commands.filter((command) => command.startsWith("LOGIN")).length, 1)
      })
    )
  )

  it.live("a message larger than maxMessageSize is dead as TooLarge, and its bytes are not asked for", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, commands, connect, store, sync } = yield* account({}, { maxMessageSize: 1000 })
        append("INBOX", mail(1).padEnd(2000, "x"))
        const { id } = yield* connect
        assert.strictEqual((yield* sync).counts.failed, 1)
        const [row] = yield* store.ledger(id, { limit: 1 })
        assert.deepStrictEqual([row?.state, row?.reason], ["dead", "TooLarge"])
        assert.isFalse(commands.some((command) => command.includes("BODY.PEEK[]")))
      })
    )
  )
})
