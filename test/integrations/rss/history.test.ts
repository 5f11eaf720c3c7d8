/** Feeds of several documents (RFC 5005, and `next_url` of JSON Feed), in the engine. */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as FeedReader from "../../../src/integrations/rss/FeedReader.ts"
import { integration } from "../../../src/integrations/Rss.ts"
import * as Harness from "../../../src/testing/Harness.ts"
import * as FeedServer from "../../support/FeedServer.ts"
import { list } from "./listing.ts"

type Kind = "all" | "complete" | "paged" | "archived"

/** Makes a feed of `count` entries, and a connection to it. */
const scene = Effect.fnUntraced(function* (kind: Kind, count: number, path = "/rss") {
  const feed = yield* FeedServer.make
  feed.kind = kind
  let added = 0
  const add = (more: number) => {
    for (let index = 0; index < more; index++) feed.add(`e${added++}`)
  }
  add(count)
  const process = yield* Harness.start({
    integration,
    credentials: {},
    store: yield* Harness.makeStore,
    watch: Harness.watcher()
  })
  yield* process.connect({ url: feed.address(path), quota: { unitsPerMinute: 1_000_000_000 } })
  feed.log.length = 0
  /** Runs one sync, and returns its result with the requested documents. */
  const sync = Effect.fnUntraced(function* (task: Parameters<typeof process.sync>[0] = {}) {
    feed.log.length = 0
    const { counts, problems, status } = yield* process.sync(task)
    const asked = feed.log.map((line) => line.replace(/^GET \/\w+\??(\S*) (\d+)$/, "$1 $2").trim())
    return { status, counts, problems: problems.map(({ message }) => message), asked }
  })
  return { feed, add, process, sync, stored: process.ids("stored") }
})

const text = (process: Harness.Process, id: string) => Effect.map(process.hashes, (hashes) => hashes.get(id))

// The reader's workers stay warm for all tests, as for all feeds of a process.
layer(FeedReader.layer, { excludeTestServices: true })((it) => {
  describe("an archived feed", () => {
    it.effect("is read to its oldest archive once, and each archive after that once", () =>
      Effect.gen(function* () {
        const { add, feed, process, stored, sync } = yield* scene("archived", 45)
        assert.strictEqual(feed.archives.length, 3)
        const first = yield* sync()
        assert.deepStrictEqual(first.asked, ["200", "archive=2 200", "archive=1 200", "archive=0 200"])
        assert.strictEqual((yield* stored).length, 45)
        assert.deepStrictEqual((yield* sync()).asked, ["304"])
        add(1)
        assert.deepStrictEqual((yield* sync()).asked, ["200"])
        add(24)
        assert.deepStrictEqual((yield* sync()).asked, ["200", "archive=5 200", "archive=4 200", "archive=3 200"])
        assert.strictEqual((yield* stored).length, 70)
        const { counts } = yield* process.sync()
        assert.strictEqual(counts.listed, 0)
      }).pipe(Effect.scoped)
    )

    // RFC 5005, 4.2: if an entry is in several documents, its latest version counts.
    it.effect("keeps the newest version of an entry that an archive has as it was, with --force too", () =>
      Effect.gen(function* () {
        const { feed, process, sync } = yield* scene("archived", 45)
        feed.add("e3", "edited after it was archived")
        yield* sync()
        const edited = yield* text(process, "e3")
        assert.notStrictEqual(edited, yield* text(process, "e4"))
        feed.add("e4", "edited after it was archived")
        const again = yield* sync()
        assert.deepStrictEqual([again.counts.updated, again.asked], [1, ["200"]])
        assert.strictEqual(yield* text(process, "e4"), edited)
        // In a later slice of the first reading.
        const parts = new Map<string, Schema.Json>()
        const begun = yield* list(feed.address("/rss"), { parts, pages: 1 })
        const rest = yield* list(feed.address("/rss"), { place: begun.checkpoint, parts, known: begun.revisions })
        assert.include(rest.ids, "e3")
        assert.notInclude(rest.chosen, "e3")
        const forced = yield* sync({ force: true })
        assert.deepStrictEqual([forced.counts.updated, forced.asked.length], [0, 4])
        assert.strictEqual(yield* text(process, "e3"), edited)
        // In a later slice of a forced sync, when everything is stored.
        const all = yield* list(feed.address("/rss"))
        const stored = new Map([...all.revisions, ...begun.revisions])
        const forcing = { parts: new Map<string, Schema.Json>(), known: stored, force: true }
        const first = yield* list(feed.address("/rss"), { ...forcing, pages: 1 })
        const later = yield* list(feed.address("/rss"), { ...forcing, place: first.checkpoint })
        assert.notInclude(later.chosen, "e3")
        assert.sameMembers([...new Set([...first.chosen, ...later.chosen])], [...feed.entries.keys()])
      }).pipe(Effect.scoped)
    )

    it.effect("is read on where it was interrupted, and an archive that came meanwhile is read first", () =>
      Effect.gen(function* () {
        for (let pages = 1; pages <= 5; pages++) {
          const { add, feed } = yield* scene("archived", 65)
          const parts = new Map<string, Schema.Json>()
          const url = feed.address("/rss")
          const begun = yield* list(url, { parts, pages })
          add(pages % 2 === 0 ? 0 : 20)
          feed.log.length = 0
          const ended = yield* list(url, { place: begun.checkpoint, parts })
          const ids = new Set([...begun.ids, ...ended.ids])
          assert.strictEqual(ids.size, feed.entries.size, String(pages))
          // The feed, the remaining archives, and the archives that were added meanwhile.
          assert.strictEqual(feed.log.length, 1 + feed.archives.length - (pages - 1), String(pages))
          assert.strictEqual((yield* list(url, { place: ended.checkpoint, parts })).pages, 1)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("whose archive can't be read says so at each poll, stores the rest, and reads on once it can be", () =>
      Effect.gen(function* () {
        const { add, feed, stored, sync } = yield* scene("archived", 45)
        for (const status of [401, 403, 404, 410, 200]) {
          feed.answer = (response, request) => {
            if (!String(request.url).includes("archive=1")) return feed.show(request, response)
            response.writeHead(status).end("<html>moved</html>")
          }
          const { problems, status: ended } = yield* sync()
          assert.deepStrictEqual([ended, problems.length], ["partial", 1], String(status))
        }
        assert.strictEqual((yield* stored).length, 25)
        add(10)
        assert.deepStrictEqual((yield* sync()).asked, ["200", "archive=3 200", "archive=1 200"])
        feed.answer = undefined
        assert.deepStrictEqual((yield* sync()).asked, ["304", "archive=1 200", "archive=0 200"])
        assert.strictEqual((yield* stored).length, 55)
        assert.deepStrictEqual((yield* sync()).asked, ["304"])
      }).pipe(Effect.scoped)
    )

    it.effect("that leads in a circle is read once", () =>
      Effect.gen(function* () {
        const { feed, stored, sync } = yield* scene("archived", 45)
        const document = feed.document.bind(feed)
        feed.document = (path, page, archive) => {
          const [entries, marks] = document(path, page, archive)
          return [entries, archive === 0 ? { "prev-archive": feed.address(`${path}?archive=2`) } : marks]
        }
        const { asked, status } = yield* sync()
        assert.deepStrictEqual([status, asked.length, (yield* stored).length], ["succeeded", 4, 45])
        feed.add("new")
        assert.deepStrictEqual((yield* sync()).asked, ["200"])
      }).pipe(Effect.scoped)
    )

    it.effect("gives an entry by its id alone, from whichever document has it", () =>
      Effect.gen(function* () {
        const { sync } = yield* scene("archived", 45)
        yield* sync()
        const { counts } = yield* sync({ forceIds: ["e1", "e44", "none"] })
        assert.deepStrictEqual([counts.unchanged, counts.gone], [2, 1])
      }).pipe(Effect.scoped)
    )
  })

  describe("a paged feed", () => {
    for (const path of ["/rss", "/json"]) {
      it.effect(`${path} is read to its last page once, and then as far as pages bring something new`, () =>
        Effect.gen(function* () {
          const { add, stored, sync } = yield* scene("paged", 45, path)
          const pages = ["200", "page=2 200", "page=3 200", "page=4 200", "page=5 200"]
          assert.deepStrictEqual((yield* sync()).asked, pages)
          assert.strictEqual((yield* stored).length, 45)
          assert.deepStrictEqual((yield* sync()).asked, ["304"])
          add(1)
          // On the first page, ten entries are left, which are known from the second page on.
          assert.deepStrictEqual((yield* sync()).asked, pages.slice(0, 2))
          add(25)
          assert.deepStrictEqual((yield* sync()).asked, pages.slice(0, 4))
          assert.strictEqual((yield* stored).length, 71)
        }).pipe(Effect.scoped)
      )
    }

    it.effect("that grows while it is read loses nothing", () =>
      Effect.gen(function* () {
        for (let pages = 1; pages <= 5; pages++) {
          const { add, feed } = yield* scene("paged", 45)
          const parts = new Map<string, Schema.Json>()
          const url = feed.address("/rss")
          let found = yield* list(url, { parts, pages })
          const ids = new Set(found.ids)
          // More than one page, so that the page after the feed's own page is new too.
          add(25)
          for (let polls = 0; polls < 3; polls++) {
            found = yield* list(url, { place: found.checkpoint, parts })
            for (const id of found.ids) ids.add(id)
          }
          assert.strictEqual(ids.size, 70, String(pages))
          assert.strictEqual((yield* list(url, { place: found.checkpoint, parts })).pages, 1)
        }
      }).pipe(Effect.scoped)
    )

    it.effect("is read on behind a page that brought something new before it was interrupted", () =>
      Effect.gen(function* () {
        const { feed } = yield* scene("paged", 1_800)
        feed.size = 600
        const url = feed.address("/rss")
        const { checkpoint, revisions: known } = yield* list(url)
        // Edited entries on the newest page, among the first 500 entries of the second page, and on the third page.
        for (const id of ["e1799", "e1150", "e300"]) feed.add(id, "edited")
        const begun = yield* list(url, { place: checkpoint, known, pages: 3 })
        assert.sameMembers(begun.chosen, ["e1799", "e1150"])
        const rest = yield* list(url, { place: begun.checkpoint, known: new Map([...known, ...begun.revisions]) })
        assert.deepStrictEqual(rest.chosen, ["e300"])
      }).pipe(Effect.scoped)
    )

    it.effect("ends at a page that is no longer there, and is read again where a place was forgotten", () =>
      Effect.gen(function* () {
        const { feed } = yield* scene("paged", 45)
        const parts = new Map<string, Schema.Json>()
        const url = feed.address("/rss")
        const begun = yield* list(url, { parts, pages: 3 })
        feed.answer = (response, request) =>
          String(request.url).includes("page=4") ? void response.writeHead(404).end() : feed.show(request, response)
        // In the listing that received the URL, the page disappeared. In a later listing, the server may have forgotten
        // the page.
        const whole = yield* list(url)
        assert.strictEqual(whole.ids.length, 30)
        const forgotten = yield* list(url, { place: begun.checkpoint, parts })
        feed.answer = undefined
        feed.add("new")
        const again = yield* list(url, { place: forgotten.checkpoint, parts, known: begun.revisions })
        assert.strictEqual(new Set([...begun.ids, ...again.chosen]).size, 46)
      }).pipe(Effect.scoped)
    )

    it.effect("whose server ignores the page, or leads in circles, is not read for ever", () =>
      Effect.gen(function* () {
        for (const [following, most] of [
          [(page: number) => `?page=${page + 1}&same`, 3],
          [(page: number) => `?page=${(page % 7) + 1}`, 24],
          [() => "", 1]
        ] as const) {
          const { feed, sync } = yield* scene("paged", 100)
          const document = feed.document.bind(feed)
          feed.document = (path, page) => {
            const at = following(page)
            const [entries] = document(path, at.includes("same") ? 1 : page, undefined)
            return [entries, { next: feed.address(`${path}${at}`) }]
          }
          const { asked, status } = yield* sync()
          assert.isAtMost(asked.length, most)
          assert.strictEqual(status, most === 1 ? "succeeded" : "partial")
        }
      }).pipe(Effect.scoped)
    )
  })

  describe("older documents at a server that gives no answer", () => {
    for (const kind of ["archived", "paged"] as const) {
      it.effect(`are a problem of each poll, and are read once it answers: ${kind}`, () =>
        Effect.gen(function* () {
          const { feed } = yield* scene(kind, 45)
          const parts = new Map<string, Schema.Json>()
          const url = feed.address("/rss")
          feed.answer = (response, request) =>
            /archive=1|page=3/.test(String(request.url))
              ? void response.writeHead(502).end()
              : feed.show(request, response)
          let found = yield* list(url, { parts })
          const ids = new Set(found.ids)
          assert.deepStrictEqual([found.problems.length, ids.size], [1, kind === "paged" ? 20 : 25])
          found = yield* list(url, { place: found.checkpoint, parts })
          assert.deepStrictEqual([found.problems.length, found.ids], [1, []])
          feed.answer = undefined
          found = yield* list(url, { place: found.checkpoint, parts })
          for (const id of found.ids) ids.add(id)
          assert.deepStrictEqual([found.problems.length, ids.size], [0, 45])
        }).pipe(Effect.scoped)
      )
    }
  })

  describe("a complete feed", () => {
    it.effect("deletes what leaves it, and one that does not say so deletes nothing", () =>
      Effect.gen(function* () {
        for (const [kind, deleted] of [
          ["complete", 1],
          ["all", 0],
          ["paged", 0],
          ["archived", 0]
        ] as const) {
          const { feed, stored, sync } = yield* scene(kind, 30)
          yield* sync()
          feed.remove("e29")
          assert.strictEqual((yield* sync()).counts.deleted, deleted, kind)
          assert.strictEqual((yield* stored).length, 30 - deleted, kind)
        }
      }).pipe(Effect.scoped)
    )
  })
})
