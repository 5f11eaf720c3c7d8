/** Moves and other changes on any real server: a moved message keeps its body. */
import { assert, type Vitest } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Account } from "../../support/imap/ImapAccount.ts"

export interface Options<R> {
  /** The server's name in test names. */
  readonly name: string
  readonly account: (user: string) => Effect.Effect<Account, never, R | Scope.Scope>
  /** The separator between the levels of the server's mailbox names. */
  readonly separator: string
  /** The number of requests of a poll that finds nothing, for an account with three mailboxes. */
  readonly idleCalls: number
}

export const suite = <R>(it: Vitest.MethodsNonLive<R>, { account, idleCalls, name, separator }: Options<R>) => {
  const nested = (...levels: ReadonlyArray<string>) => levels.join(separator)

  it.effect(`follows new mail, flags, moves and deletions with ${name}, and an idle poll costs little`, () =>
    Effect.gen(function* () {
      const folder = nested("Old", "a")
      const { append, by, flags, poll, process, stored } = yield* account(`changes-${name}`)
      yield* by((hands) => hands.mailboxCreate(folder))
      yield* append("INBOX", 1, 2, 3, 4)
      yield* append(folder, 5)
      assert.strictEqual((yield* poll).stored, 5)
      // The poll after a first listing completes mailboxes without mod-sequences, and mailboxes that were empty.
      const again = yield* poll
      assert.deepStrictEqual([again.downloads, again.stored, again.patched], [0, 0, 0])
      assert.strictEqual((yield* poll).apiCalls, idleCalls)

      yield* by(async (hands) => {
        await hands.mailboxOpen("INBOX")
        await hands.messageFlagsAdd("1", ["\\Seen", "\\Flagged"])
        await hands.messageDelete("2")
        // The former third message is now the second.
        await hands.messageMove("2", folder)
      })
      yield* append("INBOX", 6)
      const counts = yield* poll
      // The moved message is copied from the deleted message.
      assert.deepStrictEqual([counts.stored, counts.deleted, counts.downloads, counts.patched], [2, 2, 1, 1])
      assert.deepStrictEqual(yield* stored, [
        "INBOX: mail 1",
        "INBOX: mail 4",
        "INBOX: mail 6",
        "Old/a: mail 3",
        "Old/a: mail 5"
      ])
      assert.deepStrictEqual((yield* flags)["mail 1"], ["\\Flagged", "\\Seen"])
      yield* by(async (hands) => {
        await hands.mailboxOpen("INBOX")
        await hands.messageFlagsRemove("1", ["\\Seen"])
      })
      assert.strictEqual((yield* poll).patched, 1)
      assert.deepStrictEqual((yield* flags)["mail 1"], ["\\Flagged"])
      assert.strictEqual((yield* process.sync({ force: true })).counts.unchanged, 5)
    })
  )

  it.effect(`a moved, copied or trashed message is not downloaded again with ${name}, however many there are`, () =>
    Effect.gen(function* () {
      const { append, by, poll, process, stored, watch } = yield* account(`moved-${name}`)
      const many = Array.from({ length: 130 }, (_, index) => index)
      for (const mailbox of ["Archive", "Trash"]) yield* by((hands) => hands.mailboxCreate(mailbox))
      yield* append("INBOX", ...many)
      assert.strictEqual((yield* poll).stored, 130)
      const before = watch.downloads.length
      const act = (from: string, act: "messageMove" | "messageCopy", range: string, to: string) =>
        by(async (hands) => {
          await hands.mailboxOpen(from)
          await hands[act](range, to)
        })

      // One message stays in the mailbox: without QRESYNC, an empty mailbox counts as empty only after the next poll.
      yield* act("INBOX", "messageMove", "1:129", "Archive")
      const moved = yield* poll
      assert.deepStrictEqual([moved.stored, moved.deleted, moved.deletionsHeld], [129, 129, 0])
      yield* act("Archive", "messageCopy", "1", "INBOX")
      assert.deepStrictEqual((yield* poll).stored, 1)
      yield* act("Archive", "messageMove", "2", "Trash")
      assert.deepStrictEqual((yield* poll).deleted, 1)
      yield* act("Trash", "messageMove", "1", "INBOX")
      assert.deepStrictEqual((yield* poll).stored, 1)

      assert.strictEqual(watch.downloads.length, before)
      const expected = many.flatMap((one) => [
        ...(one < 2 || one === 129 ? [`INBOX: mail ${one}`] : []),
        ...(one === 1 || one === 129 ? [] : [`Archive: mail ${one}`])
      ])
      assert.deepStrictEqual(yield* stored, expected.toSorted())
      assert.strictEqual(new Set((yield* process.hashes).values()).size, 130)
    })
  )

  it.effect(`a renamed mailbox and a new UIDVALIDITY move the messages with ${name}: none is downloaded or lost`, () =>
    Effect.gen(function* () {
      const { append, by, poll, process, stored, watch } = yield* account(`renamed-${name}`)
      const renamedTo = nested("Archive", "List")
      yield* by((hands) => hands.mailboxCreate("List"))
      yield* append("List", ...Array.from({ length: 130 }, (_, index) => index))
      assert.strictEqual((yield* poll).stored, 130)
      const before = watch.downloads.length
      yield* by((hands) => hands.mailboxRename("List", renamedTo))
      const renamed = yield* poll
      assert.deepStrictEqual([renamed.stored, renamed.deleted, renamed.deletionsHeld], [130, 130, 0])

      // The mailbox is created again with the same messages, like a restored backup.
      yield* by(async (hands) => {
        await hands.mailboxCreate("Copy")
        await hands.mailboxOpen(renamedTo)
        await hands.messageCopy("1:*", "Copy")
        await hands.mailboxClose()
        await hands.mailboxDelete(renamedTo)
        await hands.mailboxRename("Copy", renamedTo)
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
}
