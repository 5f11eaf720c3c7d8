/** Listings of REST sources that are interrupted, refused or longer than a page, over a network without a server. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Idem from "@idem-sync/idem/contract"
import { cursor, list, Note, notes, paged, type Respond, source } from "./RestFake.ts"

const numbered = (count: number, from = 0) => Array.from({ length: count }, (_, index) => ({ id: from + index }))

const lists = { ...paged, paging: cursor }

const parameter = (path: string, name: string) => new URL(path, "https://x").searchParams.get(name)
const status = (code: number) => new Response("{}", { status: code })

describe("the listing of a REST source", () => {
  const long = source({ notes: Idem.restResource({ ...notes, ...lists, absentIsDeleted: true }) })
  const respond: Respond = ({ path }) =>
    parameter(path, "at") === null ? { items: numbered(1_100), next: "b" } : { items: numbered(2, 2_000) }

  it.effect("splits a long response into pages, and reads it again after an interruption within it", () =>
    Effect.gen(function* () {
      const { pages } = yield* list(long, respond)
      assert.deepStrictEqual(
        pages.map(({ complete, covers, listed }) => [listed.length, covers?.length, complete]),
        [
          [500, undefined, undefined],
          [500, undefined, undefined],
          [100, 0, false],
          [2, 1, true]
        ]
      )
      assert.strictEqual(new Set(pages.map(({ listing }) => listing)).size, 1)
      for (const [index, left, requests] of [
        [0, 1_102, 2],
        [1, 1_102, 2],
        [2, 2, 1]
      ] as const) {
        const rest = yield* list(long, respond, { checkpoint: pages[index]?.checkpoint ?? null })
        assert.deepStrictEqual([rest.ids.length, rest.requests.length], [left, requests])
        assert.deepStrictEqual(rest.pages.at(-1)?.covers, [{ prefix: "notes/" }])
        assert.strictEqual(rest.pages[0]?.listing, pages[0]?.listing)
      }
    })
  )

  it.effect("begins again only where the server forgot a place, and not where it refuses the list", () =>
    Effect.gen(function* () {
      const two = source({
        a: Idem.restResource({ ...notes, ...lists, path: "a" }),
        b: Idem.restResource({ ...notes, ...lists, path: "b" })
      })
      const all: Respond = ({ path }) =>
        parameter(path, "at") === null ? { items: numbered(1), next: "z" } : { items: [] }
      const { pages } = yield* list(two, all)
      assert.strictEqual(pages.length, 4)
      const refused = (index: number, code: number) =>
        Effect.map(
          Effect.flip(list(two, () => status(code), { checkpoint: pages[index]?.checkpoint ?? null })),
          (error) => (error._tag === "IntegrationError" ? error.reason._tag : error._tag)
        )
      // In the middle of a resource, and before another one.
      assert.deepStrictEqual(
        [yield* refused(0, 400), yield* refused(0, 404)],
        ["CheckpointExpired", "CheckpointExpired"]
      )
      assert.deepStrictEqual([yield* refused(1, 400), yield* refused(1, 404)], ["Malformed", "Gone"])
      assert.deepStrictEqual([yield* refused(0, 403), yield* refused(0, 500)], ["Forbidden", "Transient"])
      // After the first page of a listing that was taken up, a place that is refused is new.
      const later: Respond = ({ path }) => (parameter(path, "at") === "y" ? status(400) : { items: [], next: "y" })
      const error = yield* Effect.flip(list(two, later, { checkpoint: pages[0]?.checkpoint ?? null }))
      assert.strictEqual(error._tag === "IntegrationError" && error.reason._tag, "Malformed")
    })
  )

  it.effect("asks for changes only since a time that its description uses", () =>
    Effect.gen(function* () {
      const headers = { date: "Tue, 02 Jan 2024 03:04:05 GMT" }
      const since = { since: (time: DateTime.Utc) => ({ since: DateTime.formatIso(time) }) }
      const answer: Respond = () => Response.json([], { headers })
      const first = yield* list(source({ notes: Idem.restResource({ ...notes, ...since }) }), answer)
      const checkpoint = first.pages.at(-1)?.checkpoint ?? null
      assert.deepStrictEqual<Schema.Json>(checkpoint, { since: { notes: Date.UTC(2024, 0, 2, 2, 59, 5) } })
      const whole = yield* list(source({ notes: Idem.restResource(notes) }), answer, { checkpoint })
      assert.deepStrictEqual(whole.requests, ["/v1/notes"])
      const changes = yield* list(source({ notes: Idem.restResource({ ...notes, ...since }) }), answer, { checkpoint })
      assert.deepStrictEqual(changes.requests, ["/v1/notes?since=2024-01-02T02%3A59%3A05.000Z"])
    })
  )
})

describe("children of a REST resource", () => {
  const reply = (more: object = {}) =>
    Idem.restChild({ kind: "reply", item: Note, id: ({ id }) => id, content: () => ({ body: "" }), ...more })
  const threads = (more: object, child = reply(lists)) =>
    source({
      threads: Idem.restResource({
        ...notes,
        path: "threads",
        isDeleted: ({ text }) => text === "deleted",
        includes: ({ text }) => text !== "left out",
        children: {
          replies: { of: ({ id }) => ({ path: `threads/${id}/replies`, query: { order: "old" } }), resource: child }
        },
        ...more
      })
    })

  it.effect("are listed of the items that are included, and those of deleted ones are covered without a request", () =>
    Effect.gen(function* () {
      const items = [{ id: "a" }, { id: "b", text: "deleted" }, { id: "c", text: "left out" }]
      const respond: Respond = ({ path }) =>
        path === "/v1/threads"
          ? items
          : parameter(path, "at") === null
            ? { items: numbered(1), next: "x" }
            : { items: [] }
      const { ids, pages, requests } = yield* list(threads({}, reply({ ...lists, absentIsDeleted: true })), respond)
      assert.deepStrictEqual(ids, ["threads/a", "replies/a/0"])
      assert.deepStrictEqual(requests, [
        "/v1/threads",
        "/v1/threads/a/replies?order=old",
        "/v1/threads/a/replies?order=old&at=x"
      ])
      assert.deepStrictEqual(
        pages.flatMap(({ covers = [] }) => covers),
        [{ prefix: "replies/b/" }, { prefix: "replies/a/" }]
      )
      assert.deepStrictEqual(pages[0]?.deleted, ["threads/b"])
    })
  )

  it.effect("are not covered if their pages are counted, nor if one list returned a page again", () =>
    Effect.gen(function* () {
      const counted = reply({ paging: { type: "link" }, absentIsDeleted: true })
      const linked: Respond = ({ path }) =>
        path === "/v1/threads"
          ? [{ id: "a" }, { id: "b" }]
          : Response.json([{ id: path }], {
              headers: path === "/v1/threads/a/replies?order=old" ? { link: "<?page=2>; rel=next" } : {}
            })
      const { pages } = yield* list(threads({ absentIsDeleted: true }, counted), linked)
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "threads/" }])
      const alone = yield* list(threads({}, counted), linked)
      assert.deepStrictEqual(
        alone.pages.flatMap(({ covers = [] }) => covers),
        [{ prefix: "replies/b/" }]
      )
      const again: Respond = ({ path }) => (path === "/v1/threads" ? [{ id: "a" }] : { items: numbered(1), next: "x" })
      const repeating = yield* list(
        threads({ absentIsDeleted: true }, reply({ ...lists, absentIsDeleted: true })),
        again
      )
      assert.deepStrictEqual(
        repeating.pages.flatMap(({ problems = [] }) => problems),
        [{ place: "replies/a", message: "api.example returned a page of replies/a again instead of the next one" }]
      )
      assert.deepStrictEqual(repeating.pages.at(-1)?.covers, [{ prefix: "threads/" }])
    })
  )

  it.effect("are requested with a POST, if their description says so", () =>
    Effect.gen(function* () {
      const { next } = cursor
      const post = ({ place }: { readonly place: string | undefined }) => ({ place: place ?? null })
      const child = reply({ ...lists, paging: { type: "cursor", next }, post })
      const { log } = yield* list(threads({}, child), ({ path, post: sent }) =>
        path === "/v1/threads"
          ? [{ id: "a" }]
          : JSON.stringify(sent).includes("x")
            ? { items: [] }
            : { items: [], next: "x" }
      )
      assert.deepStrictEqual(
        log.slice(1).map((sent) => sent.post),
        [{ place: null }, { place: "x" }]
      )
    })
  )

  it.effect("that are no longer described are forgotten by an interrupted listing", () =>
    Effect.gen(function* () {
      const respond: Respond = ({ path }) =>
        path === "/v1/threads"
          ? [{ id: "a" }]
          : parameter(path, "at") === null
            ? { items: numbered(1), next: "x" }
            : { items: [] }
      const { pages } = yield* list(threads({}), respond)
      for (const { checkpoint } of pages.slice(0, -1)) {
        const { ids, requests } = yield* list(threads({ children: {} }), respond, { checkpoint })
        assert.deepStrictEqual([ids, requests], [["threads/a"], ["/v1/threads"]])
      }
    })
  )
})
