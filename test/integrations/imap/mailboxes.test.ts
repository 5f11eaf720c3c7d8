/**
 * Mailboxes that are listed but can't be opened, and mailboxes that can be opened but are not listed. Each test names
 * its source.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { account, droppedLines, mail } from "../../support/imap/ScriptedAccount.ts"

describe.concurrent("mailboxes of IMAP", () => {
  // https://github.com/nylas/sync-engine/issues/396: a Dovecot folder that is a sieve file stopped all other folders.
  // https://github.com/imapsync/imapsync/issues/346 and 148: NO [SERVERBUG] for single folders. RFC 5530: INUSE.
  for (const answer of ["[NOPERM] Permission denied", "[SERVERBUG] Internal error occurred", "[INUSE] Locked"]) {
    it.live(
      `a mailbox whose opening is answered with NO ${answer} is a problem of its own, and keeps its messages`,
      () =>
        Effect.scoped(
          Effect.gen(function* () {
            const { append, connect, create, faults, ids, sync } = yield* account()
            for (const name of ["Closed", "Open"]) {
              create(name)
              append(name, mail(name))
            }
            yield* connect
            yield* sync
            append("Closed", mail(3))
            append("Open", mail(4))
            faults.set("EXAMINE Closed", { answer: `NO ${answer}` })
            const { counts, problems, status } = yield* sync
            assert.deepStrictEqual(
              [status, counts.stored, problems.map(({ place }) => place)],
              ["partial", 1, ["Closed"]]
            )
            assert.deepStrictEqual(yield* ids, ["Closed 1", "Open 1", "Open 2"])
          })
        )
    )
  }

  // https://github.com/modern-email/defects/issues/46: Yandex lists names that differ from the names that it opens.
  it.live("a mailbox that is listed and can't be found is a problem, and one that was removed meanwhile is none", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, create, faults, mailboxes, sync } = yield* account()
        append("INBOX", mail(1))
        create("Lost")
        yield* connect
        faults.set("EXAMINE Lost", { answer: "NO [NONEXISTENT] no such mailbox" })
        assert.deepStrictEqual(
          (yield* sync).problems.map(({ place }) => place),
          ["Lost"]
        )
        mailboxes.delete("Lost")
        create("Other")
        faults.set("LIST", {
          lines: (lines) => {
            mailboxes.delete("Other")
            return lines
          }
        })
        assert.deepStrictEqual((yield* sync).problems, [])
      })
    )
  )

  // A mailbox that a filter creates with its first message may be newer than the list that downloads use, and a list
  // may be incomplete (https://github.com/OfflineIMAP/offlineimap/issues/633).
  it.live("a message of a mailbox that the second LIST does not have is stored, and not gone", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, create, ids, sync } = yield* account({
          script: (command) =>
            command.startsWith("LIST") && !command.includes("STATUS")
              ? droppedLines((line) => !line.includes("New"))
              : undefined
        })
        create("New")
        append("New", mail(1))
        yield* connect
        const { counts } = yield* sync
        assert.deepStrictEqual([counts.stored, counts.gone, yield* ids], [1, 0, ["New 1"]])
      })
    )
  )
})
