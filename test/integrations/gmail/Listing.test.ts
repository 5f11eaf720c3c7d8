import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Mirror from "./Mirror.ts"
import { assertMirrors, assertSameLabels, begin } from "./Mirror.ts"

describe("polling", () => {
  it.live("downloads each message once, then a poll is one call of two units and asks the checker nothing", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(124)
      const first = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assertMirrors(mirror, mailbox.ids)
      // The calls: the watermark, three pages, the list of chats, the history after the last page, and each message.
      assert.deepStrictEqual(first, {
        calls: 1 + 3 + 1 + 1 + 124,
        units: 1 + 15 + 5 + 2 + 124 * 20,
        checkerQueries: 3,
        downloads: 124
      })
      assert.strictEqual(first.units, server.units)

      const before = mirror.checkpoint
      const idle = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.deepStrictEqual(idle, { calls: 1, units: 2, checkerQueries: 0, downloads: 0 })
      assert.deepStrictEqual(mirror.checkpoint, before)

      mailbox.fill(3)
      const three = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.deepStrictEqual(three, { calls: 4, units: 62, checkerQueries: 1, downloads: 3 })
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  it.live("takes the watermark before it lists: what arrives or changes meanwhile is not missed", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const [oldest = ""] = mailbox.fill(60)
      server.before(
        "messages.list",
        () => {
          mailbox.fill(2)
          mailbox.modify(oldest, { add: ["STARRED"] })
        },
        1
      )
      yield* Mirror.sync(mirror, { slice: 1 })
      yield* Mirror.sync(mirror)
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
      assertSameLabels(mirror, mailbox)
      assert.isTrue([...mirror.downloads.values()].every((count) => count === 1))
    }).pipe(Effect.scoped)
  )

  it.live("downloads once what both the only page and the history after it show", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(10)
      server.before("messages.list", () => mailbox.fill(2))
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
      assert.isTrue([...mirror.downloads.values()].every((count) => count === 1))
    }).pipe(Effect.scoped)
  )

  it.live("what arrives after the only page was fetched was not absent from it", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(10)
      server.before("history.list", () => mailbox.fill(2))
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  it.live("stores a new message at the next slice, while the backfill still goes on", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      mailbox.fill(200)
      yield* Mirror.sync(mirror, { slice: 1 })
      const arrived = mailbox.add()
      const [page] = yield* Mirror.sync(mirror, { slice: 1 })
      assert.deepStrictEqual(page?.download, [{ externalId: arrived }])
      assert.isUndefined(page?.listing)
      assert.strictEqual(mirror.stored.size, 51)
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  it.live("works without getProfile, from the newest message's history id", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin({ noProfile: true })
      mailbox.fill(20, (index) => ({ internalDate: Date.UTC(2026, 0, 30 - index) }))
      const first = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assertMirrors(mirror, mailbox.ids)
      assert.strictEqual(first.downloads, 20)
      assert.strictEqual(first.checkerQueries, 1)
      const idle = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.deepStrictEqual(idle, { calls: 1, units: 2, checkerQueries: 0, downloads: 0 })
      assert.strictEqual(yield* mirror.session.account, "me@example.com")
    }).pipe(Effect.scoped)
  )

  it.live("covers everything with the one page of an empty mailbox", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const pages = yield* Mirror.sync(mirror)
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "" }])
      mailbox.add()
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  it.live("reads a long history in bounded pages, each with a checkpoint that can be taken up", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      mailbox.pageLimit = 500
      yield* Mirror.sync(mirror)
      mailbox.fill(1100)
      const [first] = yield* Mirror.sync(mirror, { slice: 1 })
      assert.strictEqual(first?.listed.length, 500)
      const rest = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.strictEqual(rest.downloads, 600)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )
})

describe("changes", () => {
  it.live("takes the watermark of a history's first page: what changes before its last is not missed", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(3)
      yield* Mirror.sync(mirror)
      mailbox.fill(120)
      server.forgetSeen()
      let pages = 0
      server.before(
        "history.list",
        () => {
          pages += 1
          if (pages === 2) mailbox.fill(1)
        },
        10
      )
      yield* Mirror.sync(mirror)
      assert.isAtLeast(server.count("history.list"), 2)
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  it.live("misses nothing of a history that is in another order, also where a slice ends in its middle", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const [back = ""] = mailbox.fill(3)
      yield* Mirror.sync(mirror)
      mailbox.isHistoryReversed = true
      mailbox.fill(120)
      mailbox.trash(back)
      mailbox.untrash(back)
      yield* Mirror.sync(mirror, { slice: 1 })
      server.forgetSeen()
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
      assertSameLabels(mirror, mailbox)
      // Two pages were left to read.
      assert.strictEqual(server.count("history.list"), 2)

      mailbox.fill(120)
      yield* Mirror.sync(mirror, { slice: 1 })
      mailbox.refusePageTokens()
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
      const idle = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.deepStrictEqual(idle, { calls: 1, units: 2, checkerQueries: 0, downloads: 0 })
    }).pipe(Effect.scoped)
  )

  it.live("patches labels without fetching the message", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const [id = ""] = mailbox.fill(3)
      yield* Mirror.sync(mirror)
      mailbox.modify(id, { add: ["STARRED", "Label_1"], remove: ["UNREAD"] })
      mailbox.modify(id, { remove: ["Label_1"] })
      const { downloads } = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.strictEqual(downloads, 0)
      assert.deepStrictEqual(mirror.pages.at(-1)?.patches, [
        { externalId: id, metadata: { labels: { STARRED: true, Label_1: null, UNREAD: null } } }
      ])
      assert.deepStrictEqual(Mirror.labelsOf(mirror, id), ["INBOX", "STARRED"])
    }).pipe(Effect.scoped)
  )

  it.live("takes Trash and Spam for deletions, and what leaves them for new", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const [a = "", b = "", c = ""] = mailbox.fill(4)
      yield* Mirror.sync(mirror)
      mailbox.trash(a)
      mailbox.modify(b, { add: ["SPAM"] })
      mailbox.remove(c)
      yield* Mirror.sync(mirror)
      assert.deepStrictEqual([...(mirror.pages.at(-1)?.deleted ?? [])].sort(), [a, b, c].sort())
      assertMirrors(mirror, mailbox.ids)
      mailbox.untrash(a)
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
      assert.isTrue(mirror.stored.has(a))
      // A message that was never outside of Trash and Spam is not downloaded.
      const junk = mailbox.add({ labelIds: ["SPAM"] })
      yield* Mirror.sync(mirror)
      assert.isFalse(mirror.downloads.has(junk))
    }).pipe(Effect.scoped)
  )

  it.live("takes a message for deleted whose trashing shows in messagesAdded alone", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const [a = ""] = mailbox.fill(3)
      yield* Mirror.sync(mirror)
      mailbox.trash(a)
      server.fault("history.list", {
        _tag: "Change",
        change: (text) => text.replace(/"(labelsAdded|labelsRemoved)":/g, '"messagesAdded":')
      })
      yield* Mirror.sync(mirror)
      assert.deepStrictEqual(mirror.pages.at(-1)?.deleted, [a])
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  it.live("an id asked for by name that is in Trash is gone, as for the listing, and can be asked for elsewhere", () =>
    Effect.gen(function* () {
      const { mailbox, mirror, server } = yield* begin()
      const [a = ""] = mailbox.fill(1)
      mailbox.trash(a)
      const error = yield* Effect.flip(mirror.session.download({ externalId: a }))
      assert.strictEqual(error.reason._tag, "Gone")
      assert.include(error.message, "includeSpamTrash")
      const everywhere = yield* Mirror.open({ url: server.url, config: { includeSpamTrash: true } })
      assert.deepInclude((yield* everywhere.session.download({ externalId: a })).metadata["labels"], { TRASH: true })
    }).pipe(Effect.scoped)
  )

  it.live("keeps Trash and Spam where they are asked for", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin({}, { includeSpamTrash: true })
      const [a = ""] = mailbox.fill(2)
      mailbox.add({ labelIds: ["SPAM"] })
      yield* Mirror.sync(mirror)
      mailbox.trash(a)
      yield* Mirror.sync(mirror)
      assert.strictEqual(mirror.stored.size, 3)
      assertSameLabels(mirror, mailbox)
    }).pipe(Effect.scoped)
  )
})
