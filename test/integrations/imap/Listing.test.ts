/** A mirror of an account ends as the account is, after any changes between and during polls. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { ContentExistenceChecker } from "../../../src/contract/ContentExistenceChecker.ts"
import { noHints } from "../../../src/contract/Hints.ts"
import type { Coverage } from "../../../src/contract/Page.ts"
import { poll } from "../../../src/contract/SyncTask.ts"
import type { Checkpoint, Part } from "../../../src/integrations/imap/Checkpoint.ts"
import * as Listing from "../../../src/integrations/imap/Listing.ts"
import type { ImapPage } from "../../../src/integrations/imap/ListingPages.ts"
import * as MemoryAccount from "../../support/imap/MemoryAccount.ts"
import { runs } from "../../support/Property.ts"

/** Stores the pages of an account as the engine does. */
const makeMirror = (account: ReturnType<typeof MemoryAccount.make>) => {
  const known = new Map<string, ReadonlyArray<string>>()
  const parts = new Map<string, Part>()
  const problems: Array<string> = []
  /** The listed ids of all pages, and the remaining number of each page that tells it. */
  const listed: Array<string> = []
  const remaining: Array<number> = []
  let checkpoint: Checkpoint | undefined
  /** The open pass, with what was stored when it began: nothing else can be absent from it. */
  let pass: { readonly name: string; readonly before: Set<string>; readonly covers: Array<Coverage> } | undefined

  const commit = (page: ImapPage) => {
    if (checkpoint === undefined) parts.clear()
    checkpoint = page.checkpoint
    for (const { checkpoint: part, key } of page.parts ?? []) {
      assert.isAtMost(JSON.stringify(part).length, 4096)
      if (part === null) parts.delete(key)
      else parts.set(key, part)
    }
    const { listing } = page
    listed.push(...page.listed.map(({ externalId }) => externalId))
    if (page.remaining !== undefined) remaining.push(page.remaining)
    if (listing !== undefined && pass?.name !== listing) {
      pass = { name: listing, before: new Set(known.keys()), covers: [] }
    }
    const present = account.messages()
    const remove = (id: string) => {
      assert.isFalse(present.has(id), `${id} is deleted, and is in the account`)
      known.delete(id)
    }
    for (const { externalId } of page.download) known.set(externalId, present.get(externalId) ?? [])
    for (const { externalId, metadata } of page.patches ?? []) {
      if (known.has(externalId)) known.set(externalId, metadata.flags as ReadonlyArray<string>)
    }
    for (const id of page.deleted ?? []) remove(id)
    problems.push(...(page.problems ?? []).map(({ message }) => message))
    if (listing === undefined || pass === undefined) return
    for (const { externalId } of page.listed) pass.before.delete(externalId)
    pass.covers.push(...(page.covers ?? []))
    if (page.complete !== true) return
    const { before, covers } = pass
    const isCovered = (id: string) =>
      covers.some(({ except = [], prefix }) => id.startsWith(prefix) && !except.some((one) => id.startsWith(one)))
    for (const id of before) if (isCovered(id)) remove(id)
    pass = undefined
  }

  const find = (ids: ReadonlyArray<string>) => ids.filter((id) => known.has(id))
  const checker = ContentExistenceChecker.of({
    existing: (ids) => Effect.sync(() => new Set(find(ids))),
    revisions: (ids) => Effect.sync(() => new Map(find(ids).map((id) => [id, Option.none<string>()])))
  })
  const source = {
    client: account.client,
    choice: { mailboxes: [], exclude: [], includeSpamTrash: false },
    downloads: { expect: () => {}, download: () => Effect.die("not downloaded") }
  }

  /** Lists the account, as far as a slice of this many pages. Returns the number of pages. */
  const list = Effect.fnUntraced(function* (pages = Number.MAX_SAFE_INTEGER, task = poll) {
    account.requests.length = 0
    let made = 0
    const get = (keys: ReadonlyArray<string>) =>
      Effect.sync(() => new Map(keys.flatMap((key) => (parts.has(key) ? [[key, parts.get(key) as Part]] : []))))
    yield* Listing.list(source, task, Option.fromUndefinedOr(checkpoint), { get, hinted: noHints }).pipe(
      Stream.provideService(ContentExistenceChecker, checker),
      Stream.take(pages),
      Stream.runForEach((page) =>
        Effect.sync(() => {
          made += 1
          commit(page)
        })
      )
    )
    return made
  })
  return { known, list, listed, problems, remaining }
}

const names = ["INBOX", "a", "a/b"]

const Event = Schema.Struct({
  kind: Schema.Literals([
    "append",
    "append",
    "move",
    "expunge",
    "expunge",
    "flag",
    "skip",
    "remove",
    "rename",
    "renumber",
    "poll",
    "poll",
    "slice",
    "slice",
    "hour"
  ]),
  mailbox: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 })),
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9_999 }))
})

const Hours = Schema.Int.check(Schema.isBetween({ minimum: -30, maximum: 230 }))
const Zone = Schema.Int.check(Schema.isBetween({ minimum: -12, maximum: 14 }))

it.effect.prop(
  "a window has the messages that were received in it, in whatever zone the server is, and few others are fetched",
  [Hours, Hours, Zone],
  ([from, to, zone]) =>
    Effect.gen(function* () {
      const account = MemoryAccount.make("qresync", zone)
      account.append(account.mailboxes.get("INBOX") ?? account.create("INBOX"), 40)
      const at = (hours: number) => DateTime.makeUnsafe(Date.UTC(2024, 0, 1) + hours * 3_600_000 + 20)
      const since = at(Math.min(from, to))
      const until = at(Math.max(from, to))
      for (const window of [{ since, until }, { since }, { until }]) {
        const { known, list, problems } = makeMirror(account)
        account.fetched.clear()
        yield* list(undefined, { ...poll, window })
        assert.deepStrictEqual(problems, [])
        const isIn = (millis: number, slack = 0) =>
          (!("since" in window) || millis >= DateTime.toEpochMillis(since) - slack) &&
          (!("until" in window) || millis < DateTime.toEpochMillis(until) + slack)
        const uids = Array.from({ length: 40 }, (_, index) => index + 1)
        assert.deepStrictEqual(
          [...known.keys()],
          uids
            .filter((uid) => isIn(MemoryAccount.receivedOf(uid)))
            .toReversed()
            .map((uid) => `INBOX/1/${uid}`)
        )
        for (const uid of account.fetched) assert.isTrue(isIn(MemoryAccount.receivedOf(uid), 3 * 86_400_000))
      }
    }),
  runs(40)
)

describe("an account", () => {
  for (const kind of ["qresync", "condstore"] as const) {
    it.effect(`is listed newest first, each message once, however short the slices are (${kind})`, () =>
      Effect.gen(function* () {
        const account = MemoryAccount.make(kind)
        for (const [name, count] of [
          ["INBOX", 1_100],
          ["a", 700]
        ] as const) {
          account.append(account.mailboxes.get(name) ?? account.create(name), count)
        }
        const { list, listed, remaining } = makeMirror(account)
        for (let slices = 0; slices < 6; slices++) assert.strictEqual(yield* list(1), 1)
        assert.strictEqual(yield* list(), 0)
        const expected = [...account.messages().keys()].map((id) => id.split("/"))
        assert.deepStrictEqual(
          listed.map((id) => id.split("/")),
          ["INBOX", "a"].flatMap((name) => expected.filter(([mailbox]) => mailbox === name).toReversed())
        )
        assert.deepStrictEqual(remaining, [1_300, 800, 700, 200, 0, 0])
      })
    )

    it.effect(`asks for body keys only of messages that may be copies of stored ones (${kind})`, () =>
      Effect.gen(function* () {
        const account = MemoryAccount.make(kind)
        account.append(account.mailboxes.get("INBOX") ?? account.create("INBOX"), 3)
        const { list } = makeMirror(account)
        yield* list()
        assert.deepStrictEqual(account.requests, ["LIST", "EXAMINE", "SEARCH", "FETCH"])
        account.append(account.create("later"), 2)
        yield* list()
        assert.deepStrictEqual(account.requests, ["LIST", "EXAMINE", "SEARCH", "FETCH", "FETCH"])
        account.expunge(account.mailboxes.get("INBOX") ?? account.create("INBOX"), 1, 1)
        yield* list()
        // Without VANISHED, the blocks that differ are compared: no message is fetched for that.
        const changes = ["LIST", "EXAMINE", "FETCH"]
        assert.deepStrictEqual(account.requests, kind === "qresync" ? changes : [...changes, "SEARCH"])
      })
    )
  }

  for (const kind of ["qresync", "condstore", "plain"] as const) {
    it.effect(`loses a message that came and went while its first pass was interrupted (${kind})`, () =>
      Effect.gen(function* () {
        const account = MemoryAccount.make(kind)
        const inbox = account.mailboxes.get("INBOX")
        assert(inbox !== undefined)
        const { known, list } = makeMirror(account)
        yield* list(1)
        account.append(inbox, 1)
        yield* list(1)
        assert.strictEqual(known.size, 1)
        account.expunge(inbox, 0, 1)
        for (let polls = 0; polls < 3; polls++) yield* list()
        assert.strictEqual(known.size, 0)
      })
    )
  }

  for (const kind of ["qresync", "condstore", "plain"] as const) {
    it.effect.prop(
      `is mirrored after any changes and slices, and then a poll asks only for its mailboxes (${kind})`,
      [Schema.Array(Event).check(Schema.isMinLength(8), Schema.isMaxLength(24))],
      ([events]) =>
        Effect.gen(function* () {
          const account = MemoryAccount.make(kind)
          const { append, expunge, flag, mailboxes, renumber, requests } = account
          const { known, list, problems } = makeMirror(account)
          // INBOX takes several pages.
          for (const [name, count] of [
            ["INBOX", 1_100],
            ["a", 3]
          ] as const) {
            append(mailboxes.get(name) ?? account.create(name), count)
          }
          for (const { at, kind, mailbox } of events) {
            const name = names[mailbox] ?? "INBOX"
            const box = mailboxes.get(name) ?? account.create(name)
            const place = box.messages.size === 0 ? 0 : at % box.messages.size
            const count = [1, 2, 3, 700, 1_050][at % 5] ?? 1
            switch (kind) {
              case "append":
                append(box, [1, 2, 3, 501, 1_001][at % 5] ?? 1)
                break
              case "move":
                append(mailboxes.get("INBOX") ?? box, Math.min(3, box.messages.size - place))
                expunge(box, place, 3)
                break
              case "expunge":
                // Now and then all messages at once.
                if (at % 7 === 0) expunge(box, 0, box.messages.size)
                else expunge(box, place, count)
                break
              case "flag":
                flag(box, place, count, at % 2 === 0 ? "\\Seen" : "\\Flagged")
                break
              case "skip":
                // UIDs of messages that came and went between two polls.
                box.next += [1, 700, 3_000_000][at % 3] ?? 1
                break
              case "remove":
                if (name !== "INBOX") mailboxes.delete(name)
                break
              case "rename":
                if (name === "INBOX") break
                mailboxes.delete(name)
                mailboxes.set(`${name} renamed`, box)
                break
              case "renumber":
                renumber(box)
                break
              case "poll":
                yield* list()
                break
              case "slice":
                yield* list(1 + (at % 3))
                break
              case "hour":
                // After this time, flags are read from servers that do not report their changes.
                yield* TestClock.adjust("61 minutes")
                break
            }
          }
          yield* TestClock.adjust("61 minutes")
          // An empty mailbox is doubted once, and a mailbox that is listed again takes a pass.
          let polls = 1
          while (polls < 5 && (yield* list()) > 0) polls += 1
          assert.isBelow(polls, 5)
          assert.deepStrictEqual(new Map([...known].toSorted()), new Map([...account.messages()].toSorted()))
          assert.deepStrictEqual(requests, ["LIST"])
          assert.deepStrictEqual(problems, [])
        }),
      runs(20)
    )
  }
})
