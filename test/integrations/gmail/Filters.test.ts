import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { poll } from "../../../src/contract/SyncTask.ts"
import { integration } from "../../../src/integrations/Gmail.ts"
import * as Mirror from "./Mirror.ts"
import { assertMirrors, assertSameLabels, begin } from "./Mirror.ts"

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
