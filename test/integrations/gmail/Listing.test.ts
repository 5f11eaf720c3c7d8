import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { poll } from "../../../src/contract/SyncTask.ts"
import { integration } from "../../../src/integrations/Gmail.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Mirror from "./Mirror.ts"

const begin = Effect.fnUntraced(function* (
  options?: GmailServer.Options,
  config?: Record<string, string | boolean | Array<string>>
) {
  const server = yield* GmailServer.make(options)
  // Google gives at most 500 messages a page. Pages of 50 need a tenth of the mailbox.
  server.mailbox.pageLimit = 50
  const mirror = yield* Mirror.open({ url: server.url, ...(config === undefined ? {} : { config }) })
  return { server, mailbox: server.mailbox, mirror }
})

const assertMirrors = (mirror: Mirror.Mirror, ids: ReadonlyArray<string>) =>
  assert.deepStrictEqual([...mirror.stored.keys()].sort(), [...ids].sort())

const assertSameLabels = (mirror: Mirror.Mirror, mailbox: GmailServer.Server["mailbox"]) => {
  for (const id of mirror.stored.keys()) {
    assert.deepStrictEqual(Mirror.labelsOf(mirror, id), [...(mailbox.get(id)?.labelIds ?? [])].sort(), id)
  }
}

describe("polling", () => {
  it.live("downloads each message once, then a poll is one call of two units and asks the checker nothing", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(124)
      const first = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assertMirrors(mirror, mailbox.ids)
      // The watermark, three pages, the list of chats, the history after the last page, and each message.
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
      // A message that was only ever in Trash is never fetched.
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

describe("chats", () => {
  const chat = { labelIds: ["CHAT"], raw: "see you at <b>three</b>" }

  it.live("are left out: neither listed nor taken from the history, and gone where one is asked for by its id", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const mails = mailbox.fill(3)
      const first = mailbox.add(chat)
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mails)
      assert.notInclude(
        mirror.pages.flatMap(({ listed }) => listed.map(({ externalId }) => externalId)),
        first
      )
      mailbox.add(chat)
      server.forgetSeen()
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mails)
      assert.strictEqual(server.count("messages.get"), 0)
      const error = yield* Effect.flip(Mirror.downloaded(mirror, { externalId: first }))
      assert.strictEqual(error.reason._tag, "Gone")
      assert.include(error.message, "includeChats")
      assert.deepStrictEqual(yield* mirror.session.estimate, {
        items: 3,
        unitsPerItem: 20.01,
        bytesPerItem: 75_000,
        leftOut: ["2 chats (label CHAT): includeChats: true takes them"]
      })
    }).pipe(Effect.scoped)
  )

  it.live("are left out of mailboxes that are full of them, slice by slice, and of a forced task", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const ids = mailbox.fill(400, (index) => (index % 3 === 0 && index < 350 ? {} : chat))
      const mails = ids.filter((id) => mailbox.get(id)?.labelIds.has("CHAT") === false)
      for (let more = true; more;) more = (yield* Mirror.sync(mirror, { slice: 2 })).length > 0
      assertMirrors(mirror, mails)
      assert.strictEqual(server.count("messages.get"), mails.length)
      mirror.checkpoint = Option.none()
      server.forgetSeen()
      const task = { ...poll, force: true }
      for (let more = true; more;) more = (yield* Mirror.sync(mirror, { task, slice: 2 })).length > 0
      assert.strictEqual(server.count("messages.get"), mails.length)
    }).pipe(Effect.scoped)
  )

  it.live("are stored with their parts where they are asked for, by includeChats or by their label", () =>
    Effect.gen(function* () {
      for (const config of [{ includeChats: true }, { labelIds: ["CHAT"] }]) {
        const { mailbox, mirror } = yield* begin({}, config)
        const id = mailbox.add(chat)
        yield* Mirror.sync(mirror)
        const late = mailbox.add(chat)
        yield* Mirror.sync(mirror)
        assertMirrors(mirror, [id, late])
        const content = mirror.stored.get(id)
        assert.strictEqual(content?.kind, "chat")
        assert.deepStrictEqual(content?.metadata["labels"], { CHAT: true })
        const payload = JSON.parse(Buffer.from(content?.body as Uint8Array).toString())
        assert.strictEqual(Buffer.from(payload.body.data, "base64url").toString(), chat.raw)
        assert.isUndefined((yield* mirror.session.estimate).leftOut)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("say in the settings that they are left out", () =>
    Effect.gen(function* () {
      const leftOut = (config: object) => Effect.map(integration.decodeConfig(config), (decoded) => decoded.leftOut)
      assert.deepStrictEqual(yield* leftOut({}), ["chats (label CHAT): includeChats: true takes them"])
      assert.isEmpty(yield* leftOut({ includeChats: true }))
    })
  )
})

describe("listings under which the mailbox moves", () => {
  it.live("an offset that skipped messages is made good by another pass, and nothing false is covered", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.pageTokens = "offset"
      const ids = mailbox.fill(150)
      // Between the first page and the second, messages of the first one go: the offset skips as many.
      server.before("messages.list", () => undefined, 1)
      yield* Mirror.sync(mirror, {
        slice: 1,
        between: () => ids.slice(-20).forEach((id) => mailbox.remove(id))
      })
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
      assert.isTrue([...mirror.downloads.values()].every((count) => count === 1))
    }).pipe(Effect.scoped)
  )

  it.live("a draft that is saved all the time has the pass made again three times, and then once a poll", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      mailbox.fill(120)
      let draft: string | undefined
      const writes = () => void (draft = mailbox.saveDraft(draft))
      /** A poll in slices of four pages: the passes that it made. */
      const pollInSlices = Effect.fnUntraced(function* (between: () => void) {
        const passes = new Set<string | undefined>()
        for (let slices = 0; slices < 60; slices += 1) {
          const pages = yield* Mirror.sync(mirror, { slice: 4, between })
          for (const { listing } of pages) if (listing !== undefined) passes.add(listing)
          if (pages.length < 4) return passes.size
        }
        return assert.fail("the poll does not come to its end")
      })
      assert.isAtMost(yield* pollInSlices(writes), 5)
      assert.isAtMost(yield* pollInSlices(writes), 2)
      assert.isTrue(mirror.pages.every(({ covers }) => covers === undefined))
      // The first of these polls still reads of the last save.
      for (let polls = 0; polls < 2; polls += 1) yield* Mirror.sync(mirror)
      assert.deepStrictEqual(mirror.pages.at(-1)?.covers, [{ prefix: "" }])
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  it.live("a message deleted while the last page is on its way is not seen again", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin({}, { labelIds: ["INBOX"] })
      const [a = ""] = mailbox.fill(10)
      yield* Mirror.sync(mirror)
      mirror.checkpoint = Option.none()
      server.before("history.list", () => mailbox.remove(a))
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )

  it.live(
    "an id that a listing repeats is downloaded once, and one that is gone when it is fetched is no failure",
    () =>
      Effect.gen(function* () {
        const { server, mailbox, mirror } = yield* begin()
        const ids = mailbox.fill(70)
        server.repeatOnce([ids[69] ?? "", ids[68] ?? ""])
        server.before("messages.get", (seen) => mailbox.remove(seen.id ?? ""))
        yield* Mirror.sync(mirror)
        yield* Mirror.sync(mirror)
        assertMirrors(mirror, mailbox.ids)
        assert.strictEqual(mailbox.size, 69)
        assert.isTrue([...mirror.downloads.values()].every((count) => count === 1))
      }).pipe(Effect.scoped)
  )

  it.live("a refused page token begins a new pass, in which what is known is not fetched again", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      mailbox.fill(120)
      const [first] = yield* Mirror.sync(mirror, { slice: 1 })
      mailbox.refusePageTokens()
      const pages = yield* Mirror.sync(mirror)
      assert.notStrictEqual(pages[0]?.listing, first?.listing)
      assertMirrors(mirror, mailbox.ids)
      assert.isTrue([...mirror.downloads.values()].every((count) => count === 1))
    }).pipe(Effect.scoped)
  )

  it.live("a server that refuses every page token ends the listing as transient", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(120)
      server.before("messages.list", () => mailbox.refusePageTokens(), 1000)
      const error = yield* Effect.flip(Mirror.sync(mirror))
      assert.strictEqual("reason" in error && error.reason._tag, "Transient")
      assert.isBelow(server.count("messages.list"), 20)
    }).pipe(Effect.scoped)
  )

  it.live("a search index that is behind the mailbox hides nothing, and deletes nothing", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const ids = mailbox.fill(90)
      for (const id of ids.slice(-5)) mailbox.unindexed.add(id)
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, ids)
      for (const id of ids.slice(0, 5)) mailbox.unindexed.add(id)
      mailbox.expireHistory()
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, ids)
    }).pipe(Effect.scoped)
  )

  it.live("a full listing deletes what went while nobody looked", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const [a = "", b = ""] = mailbox.fill(90)
      yield* Mirror.sync(mirror)
      mailbox.remove(a)
      mailbox.trash(b)
      mailbox.expireHistory()
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )
})

describe("an expired history", () => {
  it.live("keeps a label that is added between two slices of the label walk", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const ids = mailbox.fill(160)
      mailbox.modify(ids[159] ?? "", { add: ["STARRED"] })
      yield* Mirror.sync(mirror)
      mailbox.expireHistory()
      // The pass, and the first page of the walk: it has listed the starred messages to their end.
      for (let pages = 0; pages < 10 && !JSON.stringify(mirror.checkpoint).includes("positions"); pages += 1) {
        yield* Mirror.sync(mirror, { slice: 1 })
      }
      mailbox.modify(ids[0] ?? "", { add: ["STARRED"] })
      yield* Mirror.sync(mirror)
      yield* Mirror.sync(mirror)
      assertSameLabels(mirror, mailbox)
    }).pipe(Effect.scoped)
  )

  it.live("lists in full, downloads only what is missing, and rebuilds the labels of the rest", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const ids = mailbox.fill(160, (index) => ({
        labelIds: index % 3 === 0 ? ["INBOX"] : ["INBOX", `Label_${index % 2}`]
      }))
      yield* Mirror.sync(mirror)
      ids.forEach((id, index) => {
        if (index % 5 === 0) mailbox.modify(id, { add: ["STARRED"], remove: ["INBOX"] })
        if (index % 7 === 0) mailbox.modify(id, { remove: ["Label_0"], add: ["Label_new"] })
      })
      mailbox.fill(70)
      mailbox.expireHistory()
      server.forgetSeen()
      const { downloads } = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.strictEqual(downloads, 70)
      assert.strictEqual(server.count("messages.get"), 70)
      assert.strictEqual(mirror.expired, 1)
      assertMirrors(mirror, mailbox.ids)
      assertSameLabels(mirror, mailbox)
      const idle = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.deepStrictEqual(idle, { calls: 1, units: 2, checkerQueries: 0, downloads: 0 })
    }).pipe(Effect.scoped)
  )

  it.live("rebuilds labels slice by slice, while labels change, tokens are refused and messages come and go", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const ids = mailbox.fill(300, (index) => ({
        labelIds: [`Label_${index % 4}`, ...(index % 2 === 0 ? ["INBOX"] : [])]
      }))
      yield* Mirror.sync(mirror)
      ids.forEach((id, index) => {
        if (index % 3 === 0) mailbox.modify(id, { add: ["STARRED"], remove: ["INBOX"] })
      })
      mailbox.expireHistory()
      let round = 0
      for (let more = true; more; round++) {
        const pages = yield* Mirror.sync(mirror, { slice: 1 })
        more = pages.length > 0
        if (round < 12) {
          mailbox.modify(ids[round * 20] ?? "", { add: ["Label_9"], remove: ["STARRED"] })
          mailbox.add({ labelIds: ["INBOX"] })
          mailbox.trash(ids[round * 20 + 1] ?? "")
        }
        if (round === 9) mailbox.refusePageTokens()
      }
      assertMirrors(mirror, mailbox.ids)
      assertSameLabels(mirror, mailbox)
    }).pipe(Effect.scoped)
  )

  it.live("walks more labels than one checkpoint holds, in several walks", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const ids = mailbox.fill(450, (index) => ({ labelIds: [`Label_${index}`] }))
      yield* Mirror.sync(mirror)
      ids.forEach((id, index) =>
        mailbox.modify(id, { add: [`Label_${(index + 1) % 450}`], remove: [`Label_${index}`] })
      )
      mailbox.expireHistory()
      yield* Mirror.sync(mirror)
      assertSameLabels(mirror, mailbox)
    }).pipe(Effect.scoped)
  )

  it.live("never loops: a history that expires at once again is the engine's to try again", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(10)
      yield* Mirror.sync(mirror)
      mailbox.expireHistory()
      server.before("messages.list", () => mailbox.expireHistory(), 1)
      yield* Mirror.sync(mirror)
      assert.strictEqual(mirror.expired, 2)
      assertMirrors(mirror, mailbox.ids)
    }).pipe(Effect.scoped)
  )
})

describe("filters", () => {
  it.live(
    "a query lists at each poll, patches and deletes by the history, and takes nothing for deleted that stopped matching",
    () =>
      Effect.gen(function* () {
        const { server, mailbox, mirror } = yield* begin({}, { query: "label:Keep" })
        const [a = "", b = "", c = "", d = ""] = mailbox.fill(4, () => ({ labelIds: ["INBOX", "Keep"] }))
        const other = mailbox.add()
        yield* Mirror.sync(mirror)
        assertMirrors(mirror, [a, b, c, d])
        assert.isTrue(mirror.pages.every((page) => page.covers === undefined))

        mailbox.modify(a, { remove: ["Keep"] })
        mailbox.modify(b, { add: ["STARRED"] })
        mailbox.trash(c)
        mailbox.modify(other, { add: ["Keep"] })
        yield* Mirror.sync(mirror)
        assertMirrors(mirror, [a, b, d, other])
        assertSameLabels(mirror, mailbox)

        const before = mirror.checkpoint
        const idle = yield* Mirror.cost(mirror, Mirror.sync(mirror))
        assert.strictEqual(idle.downloads, 0)
        assert.strictEqual(idle.checkerQueries, 1)
        assert.deepStrictEqual(mirror.checkpoint, before)
        assert.strictEqual(server.count("labels.list"), 0)
      }).pipe(Effect.scoped)
  )

  it.live("one label follows the history alone", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin({}, { labelIds: ["Keep"] })
      const a = mailbox.add({ labelIds: ["Keep"] })
      const other = mailbox.add()
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, [a])
      mailbox.modify(other, { add: ["Keep"] })
      const late = mailbox.add({ labelIds: ["Keep", "UNREAD"] })
      mailbox.add()
      mailbox.modify(a, { add: ["STARRED"], remove: ["Keep"] })
      const { calls } = yield* Mirror.cost(mirror, Mirror.sync(mirror))
      assert.strictEqual(calls, 1 + 2)
      assertMirrors(mirror, [a, other, late])
      assertSameLabels(mirror, mailbox)
      mailbox.remove(a)
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, [other, late])
    }).pipe(Effect.scoped)
  )

  it.live("several labels must all be there", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin({}, { labelIds: ["A", "B"] })
      const both = mailbox.add({ labelIds: ["A", "B"] })
      const one = mailbox.add({ labelIds: ["A"] })
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, [both])
      mailbox.modify(one, { add: ["B"] })
      yield* Mirror.sync(mirror)
      assertMirrors(mirror, [both, one])
    }).pipe(Effect.scoped)
  )

  it.live("a label that isn't there fails the listing in Google's words", () =>
    Effect.gen(function* () {
      const { mirror } = yield* begin({}, { labelIds: ["Nope"] })
      const error = yield* Effect.flip(Mirror.sync(mirror))
      assert.strictEqual("reason" in error && error.reason._tag, "Forbidden")
      assert.include(error.message, "Invalid label: Nope")
    }).pipe(Effect.scoped)
  )
})

describe("tasks of their own", () => {
  it.live("a forced task lists everything, resumes by its own checkpoint, and reads no history", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(110)
      yield* Mirror.sync(mirror)
      const live = mirror.checkpoint
      server.forgetSeen()
      mirror.checkpoint = Option.none()
      const task = { ...poll, force: true }
      const [first] = yield* Mirror.sync(mirror, { task, slice: 1 })
      assert.strictEqual(first?.download.length, 50)
      yield* Mirror.sync(mirror, { task })
      assert.strictEqual(server.count("messages.get"), 110)
      assert.strictEqual(server.count("history.list"), 0)
      assert.isEmpty(yield* Mirror.sync(mirror, { task }))
      mirror.checkpoint = live
      assert.strictEqual((yield* Mirror.cost(mirror, Mirror.sync(mirror))).calls, 1)
    }).pipe(Effect.scoped)
  )

  it.live("a window includes its first instant and excludes its last, to the millisecond", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const since = Date.UTC(2026, 2, 1, 12, 0, 0, 400)
      const until = Date.UTC(2026, 2, 2, 12, 0, 0, 600)
      const dates = [since - 60_000, since - 1, since, since + 1, until - 1, until, until + 60_000]
      const ids = dates.map((internalDate) => mailbox.add({ internalDate }))
      yield* Mirror.sync(mirror, {
        task: { ...poll, window: { since: DateTime.makeUnsafe(since), until: DateTime.makeUnsafe(until) } }
      })
      assertMirrors(mirror, ids.slice(2, 5))
    }).pipe(Effect.scoped)
  )
})
