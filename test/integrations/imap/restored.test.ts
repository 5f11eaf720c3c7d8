/**
 * A UIDNEXT that decreases under the same UIDVALIDITY: a mailbox restored from a backup, or a server that continues
 * counting from the remaining messages. RFC 3501 (2.3.1.1) forbids this, because UIDs are then assigned a second time.
 * Trojitá discards all that it has stored of such a mailbox (`ObtainSynchronizedMailboxTask.cpp`).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Limits } from "../../../src/engine/Limits.ts"
import type * as StandIn from "../../support/imap/ImapStandIn.ts"
import { account, kinds, mail } from "../../support/imap/ScriptedAccount.ts"

const shortSlices = Layer.effect(
  Limits,
  Effect.map(Limits, (limits) => ({ ...limits, slicePages: 2 }))
)

/** Takes the messages from this UID on out of the mailbox, and its counters back to when they were not there. */
const restore = (mailbox: StandIn.Mailbox | undefined, next: number) => {
  if (mailbox === undefined) return
  mailbox.next = next
  mailbox.messages.splice(mailbox.messages.findIndex(({ uid }) => uid >= next))
  mailbox.expunged.length = 0
}

describe("a UIDNEXT that falls under the same UIDVALIDITY", () => {
  for (const [kind, capabilities] of Object.entries(kinds)) {
    it.live(`stores each message that got a UID of another one, and downloads no other (${kind})`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { append, connect, ids, mailboxes, process, subjects, sync, watch } = yield* account({ capabilities })
          for (const name of [1, 2, 3, 4, 5]) append("INBOX", mail(name))
          yield* connect
          yield* sync
          yield* sync
          restore(mailboxes.get("INBOX"), 3)
          append("INBOX", mail("new"))
          const before = watch.downloads.length
          const first = yield* sync
          assert.deepStrictEqual((yield* subjects).slice(0, 3), ["mail 1", "mail 2", "mail new"])
          assert.strictEqual(first.counts.deleted, 0)
          // Meanwhile a second one.
          append("INBOX", mail("newer"))
          const { counts } = yield* sync
          assert.strictEqual(counts.deleted, 1)
          assert.deepStrictEqual(yield* ids, ["INBOX 1", "INBOX 2", "INBOX 3", "INBOX 4"])
          assert.deepStrictEqual(yield* subjects, ["mail 1", "mail 2", "mail new", "mail newer"])
          assert.strictEqual(watch.downloads.length - before, 2)
          assert.strictEqual(new Set((yield* process.hashes).values()).size, 4)
          const { counts: quiet } = yield* sync
          assert.deepStrictEqual([quiet.listed, quiet.downloads, quiet.deleted], [0, 0, 0])
          append("INBOX", mail("newest"))
          assert.strictEqual((yield* sync).counts.stored, 1)
        })
      )
    )

    it.live(`of a view that was behind deletes nothing (${kind})`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { append, connect, ids, mailboxes, sync, watch } = yield* account({ capabilities })
          for (const name of [1, 2, 3, 4]) append("INBOX", mail(name))
          yield* connect
          yield* sync
          yield* sync
          const inbox = mailboxes.get("INBOX")
          const messages = [...(inbox?.messages ?? [])]
          restore(inbox, 3)
          const before = watch.downloads.length
          assert.strictEqual((yield* sync).counts.deleted, 0)
          inbox?.messages.splice(0, 2, ...messages)
          if (inbox !== undefined) inbox.next = 5
          assert.strictEqual((yield* sync).counts.deleted, 0)
          yield* sync
          assert.deepStrictEqual(yield* ids, ["INBOX 1", "INBOX 2", "INBOX 3", "INBOX 4"])
          assert.strictEqual(watch.downloads.length, before)
        })
      )
    )
  }

  it.live("is followed where slices are short: each message is stored once, and what is absent is deleted", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, ids, mailboxes, process, sync, watch } = yield* account()
        for (let name = 1; name <= 1300; name++) append("INBOX", mail(name))
        yield* connect
        yield* sync
        restore(mailboxes.get("INBOX"), 1201)
        for (let name = 2001; name <= 2040; name++) append("INBOX", mail(name))
        const before = watch.downloads.length
        yield* sync
        assert.strictEqual((yield* sync).counts.deleted, 60)
        assert.strictEqual(watch.downloads.length - before, 40)
        assert.lengthOf(yield* ids, 1240)
        assert.strictEqual(new Set((yield* process.hashes).values()).size, 1240)
        assert.strictEqual((yield* sync).counts.listed, 0)
      })
    ).pipe(Effect.provide(shortSlices))
  )

  it.live("on a server that counts on from the last message, a deletion is one, and its UID is given again", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { append, connect, expunge, mailboxes, subjects, sync } = yield* account()
        for (const name of [1, 2, 3]) append("INBOX", mail(name))
        yield* connect
        yield* sync
        expunge("INBOX", 3)
        const inbox = mailboxes.get("INBOX")
        if (inbox !== undefined) inbox.next = 3
        yield* sync
        assert.strictEqual((yield* sync).counts.deleted, 1)
        append("INBOX", mail("other"))
        yield* sync
        assert.deepStrictEqual(yield* subjects, ["mail 1", "mail 2", "mail other"])
      })
    )
  )

  it.live("is listed anew after the changes of the other mailboxes, whose deletions are judged together", () =>
    Effect.scoped(
      Effect.gen(function* () {
        let looks = -Infinity
        const lose: Array<() => void> = []
        const script = (command: string) => {
          if (command.startsWith("EXAMINE Middle") && (looks += 1) === 3) for (const act of lose) act()
          return undefined
        }
        const { append, connect, create, expunge, ids, mailboxes, sync } = yield* account({ script })
        const others = ["INBOX", "Zuletzt"]
        create("Middle")
        create("Zuletzt")
        for (let name = 1; name <= 600; name++) append("Middle", mail(name))
        for (const other of others) for (const name of [1, 2, 3, 4]) append(other, mail(`${other} ${name}`))
        yield* connect
        yield* sync
        restore(mailboxes.get("Middle"), 551)
        append("Middle", mail("new"))
        // In the second slice.
        lose.push(
          () => others.forEach((other) => [1, 2].forEach((uid) => expunge(other, uid))),
          () => append("Middle", mail("newer"))
        )
        looks = 0
        const { counts } = yield* sync
        assert.isAbove(looks, 3)
        assert.deepInclude(counts, { deleted: 0, deletionsHeld: 4 })
        assert.include(yield* ids, "INBOX 1")
      })
    ).pipe(
      Effect.provide(
        Layer.effect(
          Limits,
          Effect.map(Limits, (limits) => ({ ...limits, slicePages: 2, deletions: 3, deletionShare: 0.004 }))
        )
      )
    )
  )
})
