/** The changes of a mailbox, cut off after any page and then continued: nothing is lost, and no deletion is missed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../../src/contract/ContentExistenceChecker.ts"
import { poll } from "../../../src/contract/SyncTask.ts"
import * as Changes from "../../../src/integrations/imap/Changes.ts"
import type { MailboxPart } from "../../../src/integrations/imap/Checkpoint.ts"
import * as Downloads from "../../../src/integrations/imap/Downloads.ts"
import type { Steps } from "../../../src/integrations/imap/ListingPages.ts"
import * as MailboxListing from "../../../src/integrations/imap/MailboxListing.ts"
import * as StandIn from "../../support/imap/ImapStandIn.ts"
import { clientOf, kinds, mail, searchWithout } from "../../support/imap/ScriptedAccount.ts"

/** A mailbox on a server, and the ids that are stored of it. */
const mirror = Effect.fnUntraced(function* (capabilities: ReadonlyArray<string>) {
  let hidden: ReadonlyArray<number> = []
  const server = yield* StandIn.run({
    capabilities,
    script: (command) => (command.startsWith("UID SEARCH") && hidden.length > 0 ? searchWithout(...hidden) : undefined)
  })
  const client = yield* clientOf(server.config)
  const downloads = yield* Downloads.make(client, undefined)
  const choice = { mailboxes: [], exclude: [], includeSpamTrash: false }
  const source = { client, choice, downloads }
  const mailbox = { name: "INBOX", path: "INBOX", status: {} }
  const known = new Set<string>()
  let part: MailboxPart | undefined

  /** Stores the first `count` pages, and returns their number. */
  const store = (steps: Steps, count: number) =>
    steps.pipe(
      Stream.filter(({ page }) => page !== undefined),
      Stream.take(count),
      Stream.runFold(
        () => 0,
        (pages, step) => {
          for (const { externalId } of step.page?.listed ?? []) known.add(externalId)
          for (const externalId of step.page?.deleted ?? []) known.delete(externalId)
          part = step.part
          return pages + 1
        }
      ),
      Effect.provide(
        Layer.succeed(ContentExistenceChecker, {
          existing: (ids) => Effect.sync(() => new Set(ids.filter((id) => known.has(id)))),
          revisions: () => Effect.die("IMAP's messages have no revisions")
        })
      )
    )
  const changes = Effect.fnUntraced(function* (count = Number.MAX_SAFE_INTEGER) {
    const before = part
    if (before === undefined) return 0
    return yield* store(Changes.read({ source, task: poll, mailbox, before, isPassOpen: false }), count)
  })
  return {
    ...server,
    changes,
    /** Lists the mailbox while its searches leave out these UIDs. */
    list: (uids: ReadonlyArray<number> = []) =>
      Effect.gen(function* () {
        hidden = uids
        const listing = MailboxListing.read({ source, task: poll, mailbox, before: part, pass: 1, isWhole: true })
        yield* store(listing, Number.MAX_SAFE_INTEGER)
        hidden = []
      }),
    /** Returns the stored UIDs, and those of the server. */
    uids: () => [
      Array.from(known, (id) => Number(id.split("/").at(-1))).toSorted((a, b) => a - b),
      server.mailboxes.get("INBOX")?.messages.map(({ uid }) => uid)
    ]
  }
})

type Mirror = Effect.Success<ReturnType<typeof mirror>>

/** Messages that the first listing did not show: more than a page of them are in the first block of UIDs. */
const missing = ({ append, list }: Mirror) => {
  for (let name = 1; name <= 520; name++) append("INBOX", mail(name))
  return list(Array.from({ length: 515 }, (_, index) => index + 1))
}

/** More new messages than a page has. */
const arrivals = Effect.fnUntraced(function* ({ append, list }: Mirror) {
  append("INBOX", mail(1))
  yield* list()
  for (let name = 2; name <= 520; name++) append("INBOX", mail(name))
})

/** Deletions among high UIDs: a block has 2,048 of them then, which are compared in several ranges. */
const deletions = Effect.fnUntraced(function* ({ append, expunge, list }: Mirror) {
  const uids = Array.from({ length: 80 }, (_, index) => 196_700 + index * 50)
  for (const uid of uids) append("INBOX", mail(uid), { uid })
  yield* list()
  for (const index of [0, 10, 29, 44, 60, 79]) expunge("INBOX", uids[index] ?? 0)
})

/** Cuts the changes off after each number of pages, and reads the rest. */
const interrupted = (capabilities: ReadonlyArray<string>, scene: (mirror: Mirror) => Effect.Effect<void, unknown>) =>
  Effect.gen(function* () {
    let pages = 1
    for (let cut = 0; cut < pages; cut++) {
      const one = yield* mirror(capabilities)
      yield* scene(one)
      assert.strictEqual(yield* one.changes(cut), cut)
      pages = cut + (yield* one.changes())
      const [stored, there] = one.uids()
      assert.deepStrictEqual(stored, there, `after ${cut} of ${pages} pages`)
    }
    assert.isAbove(pages, 1)
  }).pipe(Effect.scoped)

describe("a mailbox whose changes are cut off", () => {
  for (const kind of ["condstore", "plain"] as const) {
    it.live(`stores messages that the first listing did not show (${kind})`, () => interrupted(kinds[kind], missing))
  }
  it.live("stores new messages", () => interrupted(kinds.qresync, arrivals))
  it.live("misses no deletion that the server does not report", () => interrupted(kinds.condstore, deletions))
})
