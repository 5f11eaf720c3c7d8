import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Mirror from "./Mirror.ts"
import { assertMirrors, assertSameLabels, begin } from "./Mirror.ts"

describe("listings under which the mailbox moves", () => {
  it.live("an offset that skipped messages is made good by another pass, and nothing false is covered", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.pageTokens = "offset"
      const ids = mailbox.fill(150)
      // Between the first page and the second, messages of the first page are removed, so the offset skips as many
      // messages.
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
      /** Polls in slices of four pages, and returns the number of passes. */
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
      // The first of these polls still reads the change of the last save.
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
      // The pass, and the first page of the label walk, which has listed all starred messages.
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
