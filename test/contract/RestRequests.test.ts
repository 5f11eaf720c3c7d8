/** The requests of REST sources for pages, and what follows from their responses. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Idem from "@idem-sync/idem/contract"
import {
  between,
  cursor,
  download,
  list,
  type Note,
  notes,
  noteSource,
  paged,
  type Paged,
  type Respond,
  type Sent
} from "./RestFake.ts"

/** Responds with a page of each number up to 2. */
const numbered =
  (param: string, first = 1): Respond =>
  ({ path }) => {
    const at = Number(new URL(path, "https://x").searchParams.get(param) ?? first) - first
    return at < 2 ? [{ id: at }] : []
  }

describe("a REST source's request for a page", () => {
  it.effect("is below the base URL, whatever slashes stand between them", () =>
    Effect.gen(function* () {
      for (const baseUrl of ["https://api.example/v1", "https://api.example/v1/"]) {
        for (const path of ["notes", "/notes", "//notes"]) {
          const { requests } = yield* list(noteSource({ path }, { baseUrl: () => baseUrl }), () => [])
          assert.deepStrictEqual(requests, ["/v1/notes"])
        }
      }
    })
  )

  it.effect("numbers the pages from the first number, and has the parameters of the list", () =>
    Effect.gen(function* () {
      const ones = yield* list(
        noteSource({ paging: { type: "page", param: "p" }, query: { in: "a b" } }),
        numbered("p")
      )
      assert.deepStrictEqual(ones.requests, ["/v1/notes?in=a+b&p=1", "/v1/notes?in=a+b&p=2", "/v1/notes?in=a+b&p=3"])
      const noughts = yield* list(noteSource({ paging: { type: "page", param: "p", first: 0 } }), numbered("p", 0))
      assert.deepStrictEqual(noughts.requests, ["/v1/notes?p=0", "/v1/notes?p=1", "/v1/notes?p=2"])
    })
  )

  it.effect("is the only one if the list has no paging", () =>
    Effect.gen(function* () {
      const headers = { link: '<https://api.example/v1/notes?after=1>; rel="next"' }
      const { ids, requests } = yield* list(noteSource(), () => Response.json([{ id: 1 }], { headers }))
      assert.deepStrictEqual([ids, requests], [["notes/1"], ["/v1/notes"]])
    })
  )

  it.effect("may be a POST, whose body holds the place and the time", () =>
    Effect.gen(function* () {
      const post = ({
        place,
        since
      }: {
        readonly place: string | undefined
        readonly since: DateTime.Utc | undefined
      }) => ({
        place: place ?? null,
        since: since === undefined ? null : DateTime.toEpochMillis(since)
      })
      const posts = (log: ReadonlyArray<Sent>) => log.map((sent) => [sent.path, sent.post])
      const byCursor = noteSource({
        ...paged,
        paging: { type: "cursor", next: cursor.next },
        post,
        since: "post",
        query: { v: "2" }
      })
      const headers = { date: "Tue, 02 Jan 2024 03:04:05 GMT" }
      const respond: Respond = ({ post: sent }) =>
        Response.json({ items: [], next: JSON.stringify(sent).includes("c1") ? null : "c1" }, { headers })
      const first = yield* list(byCursor, respond)
      assert.deepStrictEqual(posts(first.log), [
        ["/v1/notes?v=2", { place: null, since: null }],
        ["/v1/notes?v=2", { place: "c1", since: null }]
      ])
      const later = yield* list(byCursor, respond, { checkpoint: first.pages.at(-1)?.checkpoint ?? null })
      const since = Date.UTC(2024, 0, 2, 2, 59, 5)
      assert.deepStrictEqual(posts(later.log), [
        ["/v1/notes?v=2", { place: null, since }],
        ["/v1/notes?v=2", { place: "c1", since }]
      ])
      const byPage = yield* list(noteSource({ paging: { type: "page", param: "p" }, post }), ({ post: sent }) =>
        JSON.stringify(sent).includes("1") ? [{ id: 1 }] : []
      )
      assert.deepStrictEqual(posts(byPage.log), [
        ["/v1/notes", { place: "1", since: null }],
        ["/v1/notes", { place: "2", since: null }]
      ])
      const byLink = yield* list(noteSource({ paging: { type: "link" }, post }), ({ path }) =>
        Response.json([], path.includes("after") ? {} : { headers: { link: "<?after=1>; rel=next" } })
      )
      assert.deepStrictEqual(posts(byLink.log), [
        ["/v1/notes", { place: null, since: null }],
        ["/v1/notes?after=1", { place: "/v1/notes?after=1", since: null }]
      ])
    })
  )

  it.effect("follows each kind of link, of which one that counts pages covers nothing", () =>
    Effect.gen(function* () {
      const integration = noteSource({ paging: { type: "link" }, absentIsDeleted: true })
      const linked = (link: string) =>
        list(integration, ({ path }) =>
          Response.json([{ id: path }], path.includes("?") ? {} : { headers: { link: `<?${link}>; rel=next` } })
        )
      for (const counted of ["page=2", "a=1&offset=20", "start=20&a=1"]) {
        const { pages, requests } = yield* linked(counted)
        assert.strictEqual(requests.at(-1), `/v1/notes?${counted}`)
        assert.deepStrictEqual(pages.at(-1)?.covers, [], counted)
      }
      for (const place of ["after=2", "page=x2", "page=2x", "mypage=2"]) {
        assert.deepStrictEqual((yield* linked(place)).pages.at(-1)?.covers, [{ prefix: "notes/" }], place)
      }
    })
  )

  it.effect("has its items in the response itself, unless its description says where they are", () =>
    Effect.gen(function* () {
      const { ids } = yield* list(noteSource({ answer: Schema.Array(Schema.Unknown) }), () => [{ id: 1 }])
      assert.deepStrictEqual(ids, ["notes/1"])
      // A cursor may look like the number of a page: it covers the list all the same.
      const byCursor = noteSource({ ...paged, paging: cursor, absentIsDeleted: true })
      const { pages } = yield* list(byCursor, ({ path }) => ({
        items: [],
        ...(path.includes("at=") ? {} : { next: "?page=2" })
      }))
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "notes/" }])
    })
  )

  it.effect("may return an empty page, but not the same items or place again", () =>
    Effect.gen(function* () {
      const byCursor = noteSource({ ...paged, paging: cursor })
      const pages = (...answers: ReadonlyArray<typeof Paged.Type>) => {
        const left = [...answers]
        return Effect.map(Effect.result(list(byCursor, () => left.shift() ?? { items: [] })), (result) =>
          result._tag === "Success" ? result.success.ids : result.failure.message
        )
      }
      const [one, two] = [[{ id: 1 }], [{ id: 2 }]]
      assert.deepStrictEqual(yield* pages({ items: [], next: "a" }, { items: [], next: "b" }, { items: one }), [
        "notes/1"
      ])
      // The last page may repeat the one before, as items move between two requests.
      assert.deepStrictEqual(yield* pages({ items: one, next: "a" }, { items: one }), ["notes/1", "notes/1"])
      const again = "api.example returned a page of notes again instead of the next one"
      assert.strictEqual(yield* pages({ items: one, next: "a" }, { items: one, next: "b" }), again)
      assert.strictEqual(yield* pages({ items: one, next: "a" }, { items: two, next: "a" }), again)
      assert.deepStrictEqual(
        yield* pages({ items: one, next: "a" }, { items: two, next: "b" }, { items: one, next: "c" }),
        ["notes/1", "notes/2", "notes/1"]
      )
    })
  )

  it.effect("with a window lists the items in it, and proves no absence", () =>
    Effect.gen(function* () {
      const content = ({ text }: typeof Note.Type) => ({ body: "", occurredAt: text })
      const integration = noteSource({ content, absentIsDeleted: true })
      const items = [
        { id: 1, text: "2024-01-01" },
        { id: 2, text: "2024-02-01" },
        { id: 3, text: "2024-03-01" },
        { id: 4 }
      ]
      const { ids, pages } = yield* list(integration, () => items, { task: between("2024-02-01", "2024-03-01") })
      assert.deepStrictEqual(ids, ["notes/2", "notes/4"])
      assert.deepStrictEqual(
        pages.map(({ covers, listing }) => [covers, listing]),
        [[undefined, undefined]]
      )
    })
  )
})

describe("a REST source that answers 304 to requests without validators", () => {
  const unchanged = () => new Response(null, { status: 304 })

  it.effect("has said nothing about its items: none of them is absent, empty or gone", () =>
    Effect.gen(function* () {
      const child = Idem.restChild({
        ...notes,
        kind: "reply",
        itemPath: (id: string) => `replies/${id}`,
        absentIsDeleted: true
      })
      const integration = noteSource({
        absentIsDeleted: true,
        children: { replies: { of: ({ id }: typeof Note.Type) => ({ path: `notes/${id}/replies` }), resource: child } }
      })
      const error = yield* Effect.flip(list(integration, unchanged))
      assert.strictEqual(error._tag === "IntegrationError" && error.reason._tag, "Malformed")
      const { pages } = yield* list(integration, ({ path }) => (path === "/v1/notes" ? [{ id: 1 }] : unchanged()))
      assert.deepStrictEqual(
        pages.flatMap(({ problems = [] }) => problems),
        [{ place: "replies/1", message: "api.example answers 304" }]
      )
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "notes/" }])
      for (const id of ["notes/1", "replies/1/2"]) {
        const { result } = yield* download(integration, unchanged, id)
        assert.strictEqual(result._tag === "Failure" && result.failure.reason._tag, "Malformed", id)
      }
    })
  )
})
