/** The items and ids of REST sources, and descriptions that contradict themselves. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"
import { cursor, download, list, Note, notes, noteSource, open, paged, type Respond, source } from "./RestFake.ts"

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

describe("an id of a REST source", () => {
  const child = (more: object = {}) =>
    Idem.restChild({ ...notes, ...paged, paging: cursor, itemPath: undefined, ...more })
  const children = {
    replies: { of: ({ id }: typeof Note.Type) => ({ path: `a/${id}/replies`, query: { v: "2" } }), resource: child() },
    files: { of: ({ text }: typeof Note.Type) => (text === undefined ? [] : [{ id: "f", text }]), resource: child() },
    // A like is requested at a path of its own.
    likes: {
      of: () => undefined,
      resource: child({ itemPath: (id: string, parentId: string) => `a/${parentId}/likes/${id}` })
    }
  }
  const integration = source(
    {
      a: Idem.restResource({
        ...notes,
        path: "a",
        itemPath: (id) => `a/${id}`,
        isDeleted: ({ text }) => text === "deleted",
        children
      }),
      b: Idem.restResource({ ...notes, path: "b", itemPath: (id) => `b/${id}` })
    },
    { headers: { "x-version": "2" } }
  )
  const answers: Record<string, unknown> = {
    "/v1/a/1": { id: 1, text: "file of 1" },
    "/v1/a/2": { id: 2 },
    "/v1/a/4": { id: 4, text: "deleted" },
    "/v1/b/1": { id: 1, text: "b" },
    "/v1/a/1/likes/x%2Fy": { id: "x/y" },
    "/v1/a/1/replies?v=2": { items: [{ id: "p" }], next: "z" },
    "/v1/a/1/replies?v=2&at=z": { items: [{ id: "q" }] },
    "/v1/a/2/replies?v=2": { items: [{ id: "p" }], next: "z" },
    "/v1/a/2/replies?v=2&at=z": { items: [{ id: "p" }], next: "z" }
  }
  const respond: Respond = ({ path }) => answers[path] ?? new Response("{}", { status: 404 })

  it.effect("leads to its item, or to a child through its item's list", () =>
    Effect.gen(function* () {
      for (const [id, requests] of [
        ["a/1", ["/v1/a/1"]],
        ["b/1", ["/v1/b/1"]],
        ["likes/1/x/y", ["/v1/a/1/likes/x%2Fy"]],
        ["files/1/f", ["/v1/a/1"]],
        ["replies/1/p", ["/v1/a/1", "/v1/a/1/replies?v=2"]],
        ["replies/1/q", ["/v1/a/1", "/v1/a/1/replies?v=2", "/v1/a/1/replies?v=2&at=z"]]
      ] as const) {
        const { log, result } = yield* download(integration, respond, id)
        assert.strictEqual(result._tag, "Success", id)
        assert.deepStrictEqual(
          log.map(({ path }) => path),
          [...requests]
        )
        assert.isTrue(log.every(({ headers }) => headers["x-version"] === "2"))
      }
    })
  )

  it.effect("that leads nowhere is gone, without a request if it can't be one of this source", () =>
    Effect.gen(function* () {
      for (const [id, requests] of [
        ["a/..", 0],
        ["a/.", 0],
        ["a/", 0],
        ["c/1", 0],
        ["a", 0],
        ["replies/p", 0],
        ["replies/../p", 0],
        ["replies/1/..", 0],
        ["replies/1/", 0],
        ["replies//p", 0],
        ["replies/%/p", 0],
        ["b/2", 1],
        ["replies/3/p", 1],
        ["files/2/f", 1],
        ["files/4/f", 1],
        ["replies/4/p", 1],
        ["replies/1/r", 3]
      ] as const) {
        const { log, result } = yield* download(integration, respond, id)
        assert.strictEqual(result._tag === "Failure" && result.failure.reason._tag, "Gone", id)
        assert.strictEqual(log.length, requests, id)
      }
      const repeated = yield* download(integration, respond, "replies/2/r")
      assert.strictEqual(repeated.result._tag === "Failure" && repeated.result.failure.reason._tag, "Malformed")
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
    assert.throws(() => Idem.restResource({ ...notes, paging: cursor as never }), "describe its answer")
    assert.throws(
      () => Idem.restResource({ ...notes, ...paged, paging: { type: "cursor", next: cursor.next } }),
      "name the parameter"
    )
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
      const replies = { replies: { of: () => [], resource: child } }
      const twice = {
        a: Idem.restResource({ ...notes, children: replies }),
        b: Idem.restResource({ ...notes, children: replies })
      }
      const other = yield* Effect.flip(Effect.sandbox(Effect.scoped(open(source(twice), () => []))))
      assert.include(String(other), "two resources have the name replies")
    })
  )

  it.effect("lists nothing without resources, and knows no id", () =>
    Effect.gen(function* () {
      const { result } = yield* download(source({}), () => ({ id: 1 }), "notes/1")
      assert.strictEqual(result._tag === "Failure" && result.failure.reason._tag, "Gone")
    })
  )
})
