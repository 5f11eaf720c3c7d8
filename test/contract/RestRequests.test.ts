/** The requests of REST sources for pages and items, and what their responses may contain. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"
import { between, list, Note, notes, open, type Respond, type Sent, source } from "./RestFake.ts"

const noteSource = (more: object = {}, of: Partial<Idem.RestSource<object>> = {}) =>
  source({ notes: Idem.restResource({ ...notes, ...more }) }, of)

const Paged = Schema.Struct({
  items: Schema.Array(Schema.Unknown),
  next: Schema.optionalKey(Schema.NullOr(Schema.String))
})
const paged = { answer: Paged, items: ({ items }: typeof Paged.Type) => items }
const cursor = { type: "cursor", next: ({ next }: typeof Paged.Type) => next } as const

/** Responds with a page of each number up to 2. */
const numbered =
  (param: string, first = 1): Respond =>
  ({ path }) => {
    const at = Number(new URL(path, "https://x").searchParams.get(param) ?? first) - first
    return at < 2 ? [{ id: at }] : []
  }

const download = (integration: Idem.Integration.Integration, respond: Respond, externalId: string) =>
  Effect.flatMap(open(integration, respond), ({ log, session }) =>
    Effect.map(Effect.result(session.download({ externalId })), (result) => ({ result, log }))
  ).pipe(Effect.scoped)

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
      const byCursor = noteSource({ ...paged, paging: cursor, post, since: "post", query: { v: "2" } })
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
      const byCursor = noteSource({ ...paged, paging: { ...cursor, param: "at" }, absentIsDeleted: true })
      const { pages } = yield* list(byCursor, ({ path }) => ({
        items: [],
        ...(path.includes("at=") ? {} : { next: "?page=2" })
      }))
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "notes/" }])
    })
  )

  it.effect("may return an empty page, but not the same items or place again", () =>
    Effect.gen(function* () {
      const byCursor = noteSource({ ...paged, paging: { ...cursor, param: "at" } })
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

describe("a REST source's item", () => {
  it.effect("has the content that its description gives, and is left out if it can't be stored", () =>
    Effect.gen(function* () {
      const at = Date.UTC(2024, 0, 2)
      const contents: Record<string, Idem.RestContent> = {
        text: { body: "é", title: "a", occurredAt: "2024-01-02T00:00:00Z", mediaType: "text/plain" },
        bytes: { body: new Uint8Array([1]), occurredAt: at, metadata: { a: 1 } },
        date: { body: "", occurredAt: new Date(at) },
        never: { body: "", occurredAt: null },
        wrong: { body: "", occurredAt: "soon" },
        "": { body: "" }
      }
      const content = ({ id }: typeof Note.Type) => contents[id] ?? { body: "" }
      const { ids, pages } = yield* list(noteSource({ content }), () => Object.keys(contents).map((id) => ({ id })))
      assert.deepStrictEqual(ids, ["notes/text", "notes/bytes", "notes/date", "notes/never", "notes/wrong"])
      assert.deepStrictEqual(pages.at(-1)?.problems, [
        { place: "notes", message: "an item of notes has an id that can't be stored" }
      ])
      const found = pages.flatMap(({ listed }) =>
        listed.map(({ content: one }) => {
          const { body, mediaType, metadata, occurredAt, title } = one ?? {}
          return [body, title, mediaType, metadata, occurredAt && DateTime.toEpochMillis(occurredAt)]
        })
      )
      assert.deepStrictEqual(found, [
        [new TextEncoder().encode("é"), "a", "text/plain", {}, at],
        [new Uint8Array([1]), undefined, undefined, { a: 1 }, at],
        [new Uint8Array(), undefined, undefined, {}, at],
        [new Uint8Array(), undefined, undefined, {}, undefined],
        [new Uint8Array(), undefined, undefined, {}, undefined]
      ])
    })
  )

  it.effect("has a revision that changes with the fields of its schema, and with no other", () =>
    Effect.gen(function* () {
      const revisionOf = (note: object) =>
        Effect.map(
          list(noteSource(), () => [{ id: 1, ...note }]),
          ({ pages }) => pages[0]?.listed[0]?.revision
        )
      const revision = yield* revisionOf({ text: "a" })
      assert.isString(revision)
      assert.strictEqual(yield* revisionOf({ text: "a", seen: 7 }), revision)
      assert.notStrictEqual(yield* revisionOf({ text: "b" }), revision)
    })
  )

  it.effect("that its description can't read is a problem that names the field or the error, and no value", () =>
    Effect.gen(function* () {
      const problemOf = (more: object, item: unknown = { id: 1 }) =>
        Effect.map(
          list(noteSource(more), () => [item]),
          ({ pages }) => pages[0]?.problems?.[0]?.message
        )
      const throwing = (error: unknown) => ({
        content: () => {
          throw error
        }
      })
      const misfit = "an item of notes does not fit its description"
      assert.strictEqual(yield* problemOf({}, { id: 1, text: 2 }), `${misfit}: text does not fit`)
      assert.strictEqual(yield* problemOf({}, "s3cret"), misfit)
      assert.strictEqual(
        yield* problemOf(throwing(new TypeError(`x is not a function${".".repeat(999)}`))),
        `${misfit}: x is not a function${".".repeat(181)}`
      )
      assert.strictEqual(yield* problemOf(throwing(new Error("s3cret"))), misfit)
      assert.strictEqual(yield* problemOf(throwing(new Idem.TooLarge({ message: "too large" }))), "too large")
      const path = "p".repeat(300)
      const deep = { item: Schema.Struct({ [path]: Schema.String }), id: () => 1, content: () => ({ body: "" }) }
      assert.strictEqual(yield* problemOf(deep, { [path]: 1 }), `${misfit}: ${"p".repeat(200)} does not fit`)
    })
  )

  it.effect("is requested with a GET or a POST, and read from its response", () =>
    Effect.gen(function* () {
      const posting = noteSource({
        itemPath: (id: string) => ({ path: "one", post: { id } }),
        itemOf: ({ found }: Readonly<Record<string, unknown>>) => found
      })
      const found = yield* download(posting, () => ({ found: { id: "a b", text: "t" } }), "notes/a b")
      assert.deepStrictEqual(
        found.log.map(({ path, post }) => [path, post]),
        [["/v1/one", { id: "a%20b" }]]
      )
      assert.strictEqual(found.result._tag, "Success")
      for (const none of [{}, { found: null }]) {
        const { result } = yield* download(posting, () => none, "notes/a")
        assert.strictEqual(result._tag === "Failure" && result.failure.reason._tag, "Gone")
      }
      const getting = yield* download(noteSource(), () => ({ id: 7, text: "t" }), "notes/7")
      assert.deepStrictEqual(
        getting.log.map(({ path, post }) => [path, post]),
        [["/v1/notes/7", null]]
      )
      assert.strictEqual(getting.result._tag, "Success")
      for (const [more, item] of [
        [{ includes: () => false }, { id: 7 }],
        [{ isDeleted: () => true }, { id: 7 }],
        [{}, { id: 8 }]
      ] as const) {
        const { result } = yield* download(noteSource(more), () => item, "notes/7")
        assert.strictEqual(result._tag === "Failure" && result.failure.reason._tag, "Gone", JSON.stringify(item))
      }
      const unreadable = yield* download(noteSource(), () => ({ id: 7, text: 7 }), "notes/7")
      assert.strictEqual(unreadable.result._tag === "Failure" && unreadable.result.failure.reason._tag, "Malformed")
    })
  )

  it.effect("has a body at a path of its own, which is fetched with the size that the item announced", () =>
    Effect.gen(function* () {
      const content = () => ({ body: { path: "/bodies/7" }, size: 3, mediaType: "text/plain" })
      const respond: Respond = ({ path }) =>
        path.startsWith("/v1/bodies") ? new TextEncoder().encode("abc") : { id: 7 }
      const integration = noteSource({ content })
      const { ids, pages, requests } = yield* list(integration, (sent) => [respond(sent)])
      assert.deepStrictEqual([ids, requests, pages[0]?.listed[0]?.content], [["notes/7"], ["/v1/notes"], undefined])
      const { log, result } = yield* download(integration, respond, "notes/7")
      assert(result._tag === "Success")
      assert.deepStrictEqual(result.success.announced, { size: 3, mediaType: "text/plain" })
      assert(!(result.success.body instanceof Uint8Array))
      const chunks = yield* Stream.runCollect(result.success.body)
      assert.strictEqual(Buffer.concat(chunks).toString(), "abc")
      assert.deepStrictEqual(
        log.map(({ path }) => path),
        ["/v1/notes/7", "/v1/bodies/7"]
      )
    })
  )
})

describe("a REST source", () => {
  it.effect("estimates its size by its first page, if that is all there is", () =>
    Effect.gen(function* () {
      const estimate = (integration: Idem.Integration.Integration, respond: Respond) =>
        Effect.flatMap(open(integration, respond), ({ session }) => session.estimate).pipe(Effect.scoped)
      const resource = Idem.restResource(notes)
      const two = () => [{ id: 1 }, { id: 2 }]
      assert.deepStrictEqual(yield* estimate(source({ notes: resource }), two), { items: 2, unitsPerItem: 0.5 })
      assert.deepStrictEqual(yield* estimate(source({ notes: resource }), () => []), { items: 0, unitsPerItem: 1 })
      assert.deepStrictEqual(yield* estimate(source({}), two), { items: 0, unitsPerItem: 0 })
      const unknown = { unitsPerItem: 0.5 }
      assert.deepStrictEqual(yield* estimate(source({ notes: resource, more: resource }), two), unknown)
      assert.deepStrictEqual(yield* estimate(noteSource({ paging: { type: "page", param: "p" } }), two), unknown)
      const child = Idem.restChild({ kind: "reply", item: Note, id: ({ id }) => id, content: () => ({ body: "" }) })
      const children = { replies: { of: () => [], resource: child } }
      assert.deepStrictEqual(yield* estimate(noteSource({ children }), two), unknown)
    })
  )

  it("is refused if its description contradicts itself", () => {
    const child = Idem.restChild({ kind: "reply", item: Note, id: ({ id }) => id, content: () => ({ body: "" }) })
    const children = { notes: { of: () => [], resource: child } }
    assert.throws(
      () => Idem.restResource({ ...notes, paging: { ...cursor, param: "at" } as never }),
      "describe its answer"
    )
    assert.throws(() => Idem.restResource({ ...notes, ...paged, paging: cursor }), "name the parameter")
    assert.throws(
      () => Idem.restResource({ ...notes, paging: { type: "offset", param: "at" }, absentIsDeleted: true } as never),
      "absence says nothing"
    )
    assert.throws(() => Idem.restResource({ ...notes, isConditional: true, children }), "notes has children")
    assert.doesNotThrow(() => Idem.restResource({ ...notes, children }))
  })

  it.effect("is refused if two of its resources have one name", () =>
    Effect.gen(function* () {
      const child = Idem.restChild({ kind: "reply", item: Note, id: ({ id }) => id, content: () => ({ body: "" }) })
      const children = { notes: { of: () => [], resource: child } }
      const cause = yield* Effect.flip(Effect.sandbox(Effect.scoped(open(noteSource({ children }), () => []))))
      assert.include(String(cause), "two resources have the name notes")
    })
  )

  it.effect("lists nothing without resources, and knows no id", () =>
    Effect.gen(function* () {
      const { result } = yield* download(source({}), () => ({ id: 1 }), "notes/1")
      assert.strictEqual(result._tag === "Failure" && result.failure.reason._tag, "Gone")
    })
  )
})
