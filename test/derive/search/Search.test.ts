/** The results of searches and their order, and the indexing of derived rows. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { unknownFields } from "../../../src/derive/search/Search.ts"
import { ContentStore } from "../../../src/engine/store/ContentStore.ts"
import { bytesOf, item, page, running, settle } from "../../stores/scenario.ts"
import { derive, found, idsOf, layer, rows, search, store } from "./Scenario.ts"

it("a word before a colon that is not a field is reported", () => {
  const query = 'roof frm:bob From:ann -cpy:x https://a.test "x:y" Re: 10:30 frm:carl'
  assert.deepStrictEqual(unknownFields(query), ["frm", "cpy"])
})

it.layer(layer, { excludeTestServices: true })("a search", (it) => {
  it.effect("understands words, phrases, OR, exclusion, fields and times", () =>
    Effect.gen(function* () {
      const run = yield* running()
      const of = { connectionIds: [run.id] }
      yield* store(run, {
        roof: {
          subject: "Roof repair",
          text: "The chimney and/or the roof: 4,500 EUR. Café in Zürich.",
          labels: ["INBOX", "UNREAD"],
          at: "2026-02-01",
          files: { "Q3_offer-final.txt": "slates and gutters" }
        },
        lunch: { subject: "Lunch", text: "On the roof terrace, on Friday.", from: ["Johnathan Öz", "jo@corp.test"] },
        garden: {
          subject: "Garden",
          text: "Hedges. The terrace roof is later.",
          to: "carl@example.org",
          at: "2025-05-05"
        }
      })
      const cases: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
        ["roof", ["garden", "lunch", "roof"]],
        ["ROOF chimney", ["roof"]],
        ['"roof terrace"', ["lunch"]],
        ['"terrace roof', ["garden"]],
        ["roof -terrace", ["roof"]],
        ['roof -"roof terrace"', ["garden", "roof"]],
        ["chimney OR hedges", ["garden", "roof"]],
        ["roof chimney OR hedges", ["garden", "roof"]],
        ["or", ["roof"]],
        ["zurich cafe", ["roof"]],
        ["gutters", ["roof"]],
        ["from:ann", ["garden", "roof"]],
        ["from:ann@example.com roof subject:repair", ["roof"]],
        ["from:corp.test", ["lunch"]],
        ["from:ann@example.co", ["garden", "roof"]],
        ["filename:offer.txt", ["roof"]],
        ["filename:offer.t", ["roof"]],
        ["chimn*", ["roof"]],
        ["chimn", []],
        ['from:"johnathan oz"', ["lunch"]],
        ["john", ["lunch"]],
        ["jonathan", ["lunch"]],
        ["to:carl", ["garden"]],
        ["to:@example.org -to:carl", ["lunch", "roof"]],
        ["subject:roof", ["roof"]],
        ["has:attachment", ["roof"]],
        ["filename:offer", ["roof"]],
        ["filename:offer-final", ["roof"]],
        ["label:inbox is:unread", ["roof"]],
        ["after:2026-01-02", ["lunch", "roof"]],
        ["before:2026/01/02", ["garden"]],
        ["kind:message", ["garden", "lunch", "roof"]],
        ["-from:ann", ["lunch"]],
        ["", ["garden", "lunch", "roof"]],
        ["nowhere", []],
        [`'' " \\ (a|b) :* <-> & ! %`, []]
      ]
      for (const [text, ids] of cases) assert.deepStrictEqual(yield* found(text, of), ids, text)
      assert.deepStrictEqual(yield* found("", { ...of, from: "ann", kind: "Message" }), ["garden", "roof"])
      const since = DateTime.makeUnsafe("2026-01-02T00:00:00Z")
      assert.deepStrictEqual(yield* found("roof", { ...of, since }), ["lunch", "roof"])
      assert.deepStrictEqual(yield* found("roof", { ...of, until: since }), ["garden"])
      const wrong = yield* Effect.flip(search("before:yesterday", of))
      assert.strictEqual(wrong.message, "before: is followed by a date like 2026-01-31")
      for (const [text, message] of [
        ["has:foo", /^has: is followed by attachment$/],
        ["roof is:foo", /^is: is followed by deleted, unread, .*label:$/]
      ] as const) {
        const refused = yield* Effect.flip(search(text, of))
        assert.strictEqual(refused._tag, "UsageError")
        assert.match(refused.message, message)
      }
      assert.deepStrictEqual(yield* found("ro\0of", { ...of, kind: "mess\0age" }), [])
      assert.deepStrictEqual(yield* found("roof", { ...of, from: "ann\0" }), ["garden", "roof"])
      assert.deepStrictEqual(yield* found("roof", { ...of, from: "[🦓]" }), [])
      assert.strictEqual((yield* Effect.flip(search("roof", { ...of, after: "\0" })))._tag, "CursorInvalid")
      const damaged = yield* Effect.flip(search("roof", { ...of, after: "%%" }))
      assert.strictEqual(damaged._tag, "CursorInvalid")
    })
  )

  it.effect("gives title, sender, time and a snippet with the places of the words", () =>
    Effect.gen(function* () {
      const run = yield* running()
      const text = `${"filler ".repeat(300)} before the <b>needle</b> after ${"filler ".repeat(300)}`
      yield* store(run, {
        long: { subject: "Long", text, at: "2026-03-04" },
        japanese: { subject: "日本", text: "これは日本語の文章です。検索できますか" }
      })
      const { next, results } = yield* search("needle", { connectionIds: [run.id] })
      assert.strictEqual(next, null)
      const { highlights, score: _score, snippet, ...shown } = results[0]!
      assert.deepStrictEqual(shown, {
        connectionId: run.id,
        connection: run.name,
        externalId: "long",
        kind: "message",
        title: "Long",
        from: "Ann Smith <ann@example.com>",
        occurredAt: DateTime.makeUnsafe("2026-03-04T00:00:00Z")
      })
      assert.include(snippet ?? "", "before the <b>needle</b> after")
      assert.isBelow(snippet?.length ?? 0, 420)
      const marked = (of: Pick<(typeof results)[number], "highlights" | "snippet">) =>
        of.highlights.map(([start, end]) => of.snippet?.slice(start, end))
      assert.deepStrictEqual(marked({ highlights, snippet }), ["needle"])
      const [japanese] = (yield* search("日本語", { connectionIds: [run.id] })).results
      assert.deepStrictEqual(marked(japanese!), ["日本語"])
      const [row] = yield* rows(
        `SELECT connection, id, title, "from", snippet FROM mirror.search('needle', '${run.name}')`
      )
      assert.deepInclude(row, { connection: run.name, id: "long", title: "Long", from: "Ann Smith <ann@example.com>" })
      assert.include(JSON.stringify(row), "<b>**needle**</b>")
    })
  )

  it.effect("ranks the title above the text, and newer above older", () =>
    Effect.gen(function* () {
      const run = yield* running()
      yield* store(run, {
        text: { subject: "Other", text: "walrus", at: "2026-06-02" },
        title: { subject: "Walrus", text: "other", at: "2026-06-01" },
        old: { subject: "Walrus", text: "other", at: "2019-06-01" }
      })
      assert.deepStrictEqual(yield* idsOf("walrus", { connectionIds: [run.id] }), ["title", "old", "text"])
    })
  )

  it.effect("finds no deleted content unless it is asked for, and no purged content at all", () =>
    Effect.gen(function* () {
      const run = yield* running()
      const of = { connectionIds: [run.id] }
      yield* store(run, {
        gone: { subject: "Zebra", text: "x", from: ["Quentin", "q@example.com"] },
        stays: { subject: "Zebra", text: "y" }
      })
      yield* run.commit({ page: page({ deleted: ["gone"] }) })
      yield* settle(run.fence, { atMost: 2000, share: 1 })
      yield* derive
      assert.deepStrictEqual(yield* found("zebra", of), ["stays"])
      assert.deepStrictEqual(yield* found("zebra is:deleted", of), ["gone"])
      const contents = yield* ContentStore
      yield* contents.purge(run.id, DateTime.makeUnsafe("2099-01-01T00:00:00Z"))
      assert.deepStrictEqual(yield* found("zebra is:deleted", of), [])
      assert.deepStrictEqual(yield* rows("SELECT name FROM derived.search_name WHERE name = 'quentin'"), [])
    })
  )

  it.effect("finds Slack's messages by the names of channel and user, also after a new name", () =>
    Effect.gen(function* () {
      const run = yield* running("slack")
      const json = (value: unknown) => ({ bytes: bytesOf(JSON.stringify(value)), mediaType: "application/json" })
      const user = (name: string) =>
        item("users/U1", {
          kind: "user",
          title: name,
          metadata: { name },
          ...json({ profile: { display_name: name } })
        })
      yield* run.commit({
        items: [
          user("Wilhelmina"),
          item("channels/C1", { kind: "channel", title: "standup", metadata: { name: "standup" }, ...json({}) }),
          item("C1/1.0", {
            kind: "message",
            title: "shipped",
            metadata: { channel: "C1", user: "U1", ts: "1700000000.000100" },
            ...json({ type: "message", text: "we *shipped* it", user: "U1" })
          })
        ]
      })
      yield* derive
      const of = { connectionIds: [run.id] }
      assert.deepStrictEqual(yield* found("shipped in:standup from:wilhelmina", of), ["C1/1.0"])
      yield* run.commit({ items: [user("Henrietta")] })
      yield* derive
      assert.deepStrictEqual(yield* found("from:henrietta", of), ["C1/1.0"])
      assert.deepStrictEqual(yield* found("from:wilhelmina", of), [])
    })
  )

  it.effect("stays within its connections, also with forged cursors", () =>
    Effect.gen(function* () {
      const mine = yield* running()
      const other = yield* running()
      yield* store(mine, { a: { subject: "Kite", text: "kite" } })
      yield* store(other, { b: { subject: "Kite", text: "kite" }, c: { subject: "Kite", text: "kite" } })
      const cursor = (state: object) => Buffer.from(JSON.stringify(state)).toString("base64")
      const from = { occurred_at: "2099-01-01T00:00:00Z", connection_id: other.id, external_id: "c" }
      const now = "2026-01-01T00:00:00Z"
      const of = { connectionIds: [mine.id] }
      for (const state of [
        {},
        { now, from, titles: from, first: true },
        { now, from, titles: null, first: false, fuzzy: true },
        { now, from: { connection_id: other.id }, to: from, score: 1, last: from }
      ]) {
        for (const query of ["kite", "", "kitten", "kite OR from:ann", `-in:x kind:message`]) {
          const ids = yield* idsOf(query, { ...of, after: cursor(state) })
          assert.deepStrictEqual(
            ids.filter((id) => id !== "a"),
            [],
            `${query} ${JSON.stringify(state)}`
          )
        }
      }
      for (const state of [{ score: "x" }, { last: "x" }, { now: "infinity" }, { from: [1] }, 7, null, []]) {
        const wrong = yield* Effect.flip(search("kite", { ...of, after: cursor(state as object) }))
        assert.strictEqual(wrong._tag, "CursorInvalid", JSON.stringify(state))
      }
      assert.deepStrictEqual(yield* idsOf("kite", { connectionIds: [] }), [])
    })
  )

  it.effect("is set up again by another version, without functions of the former one", () =>
    Effect.gen(function* () {
      const names = rows("SELECT oid::regprocedure::text AS name FROM pg_proc WHERE proname LIKE 'search%' ORDER BY 1")
      const before = yield* names
      yield* rows("CREATE FUNCTION derived.search_page(text) RETURNS text LANGUAGE sql AS 'SELECT $1'")
      yield* rows(
        `UPDATE derived.search_profile SET profile = '{"functions":0,"vectors":1,"unaccent":null,"pgTrgm":null}'`
      )
      yield* rows("CREATE VIEW public.roofs AS SELECT id, title FROM mirror.search('walrus') AS found")
      yield* derive
      assert.strictEqual((yield* rows("SELECT id FROM public.roofs")).length, 3)
      assert.deepStrictEqual(yield* names, before)
    })
  )

  it.effect("has the same rows after a rebuild", () =>
    Effect.gen(function* () {
      const all = Effect.all([
        rows(
          `SELECT connection_id, external_id, occurred_at, deleted, sender, vector::text
            FROM derived.search ORDER BY 1, 2`
        ),
        rows("SELECT name FROM derived.search_name ORDER BY 1")
      ])
      const before = yield* all
      assert.isAbove(before[1].length, 5)
      yield* rows("UPDATE derived.follower SET cursor = NULL, generation = generation + 1, rebuilding = true")
      yield* rows("DELETE FROM derived.search")
      assert.deepStrictEqual(yield* rows("SELECT 1 FROM derived.search_name"), [])
      yield* derive
      assert.deepStrictEqual(yield* all, before)
    })
  )
})
