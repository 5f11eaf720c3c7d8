import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Idem from "@idem-sync/idem/contract"
import * as NotesServer from "../support/NotesServer.ts"
import { described, source, byCursor, byTag, byPage, list, reasonOf } from "./RestNotes.ts"

const byOffset = source(() => Idem.restResource({ ...described, paging: { type: "offset", param: "offset" } }))

const byLink = source(() => Idem.restResource({ ...described, paging: { type: "link" } }))

describe("a REST source", () => {
  it.live("is listed to its end by page numbers and by offsets, and these cover nothing", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.makeWith(25)
      for (const integration of [byPage, byOffset]) {
        const pages = yield* list(integration, server.url)
        assert.strictEqual(pages.flatMap(({ listed }) => listed).length, 25)
        assert.isTrue(pages.every(({ covers = [] }) => covers.length === 0))
      }
      assert.deepStrictEqual(
        server.log.map((path) => path.split("?")[1]),
        ["page=1", "page=2", "page=3", "page=4", undefined, "offset=10", "offset=20", "offset=25"]
      )
    })
  )

  it.live("whose links to the next page count the pages covers nothing, and one with cursors covers its list", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      const byLink = source(() => Idem.restResource({ ...described, paging: { type: "link" }, absentIsDeleted: true }))
      for (const [mark, covers] of [
        ["page", []],
        ["after", [{ prefix: "notes/" }]]
      ] as const) {
        server.answer = (request, response) => {
          const at = Number(new URL(request.url ?? "", server.url).searchParams.get(mark) ?? 1)
          if (at < 3) response.setHeader("link", `<${server.url}/v1/notes?${mark}=${at + 1}>; rel="next"`)
          response.end(JSON.stringify({ results: [{ id: `${at}`, version: 1 }], next: null }))
          return true
        }
        const pages = yield* list(byLink, server.url)
        assert.strictEqual(pages.length, 3)
        assert.deepStrictEqual(pages.at(-1)?.covers, covers)
      }
    })
  )

  it.live("whose server ignores the number of the page is not listed for ever", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      server.add()
      server.answer = (_request, response) => {
        response.end(JSON.stringify({ results: [...server.notes.values()], next: null }))
        return true
      }
      const reason = yield* reasonOf(list(byPage, server.url))
      assert.strictEqual(reason?._tag, "Malformed")
      assert.include(reason?.message, "again")
    })
  )

  it.live("whose server leads in circles is not listed for ever", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      let turn = 0
      server.answer = (_request, response) => {
        turn += 1
        response.end(JSON.stringify({ results: [{ id: `${turn}`, version: 1 }], next: `place ${turn % 3}` }))
        return true
      }
      assert.strictEqual((yield* reasonOf(list(byCursor, server.url)))?._tag, "Malformed")
      assert.strictEqual(turn, 4)
    })
  )

  it.live("keeps nothing of a page whose next one has a long address, and asks for the page in full again", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      const long = "x".repeat(3000)
      server.answer = (request, response) => {
        const isFirst = !String(request.url).includes(long)
        response.setHeader("etag", '"tag"')
        response.end(
          JSON.stringify({ results: [{ id: isFirst ? "a" : "b", version: 1 }], next: isFirst ? long : null })
        )
        return true
      }
      const pages = yield* list(byTag, server.url)
      const kept = pages.flatMap(({ parts = [] }) => parts.map(({ checkpoint }) => checkpoint))
      assert.deepStrictEqual(kept, [null, { seen: { "if-none-match": '"tag"' }, next: null }])
    })
  )

  it.live("whose next page is at another server is refused, and no page of the same path is taken for it", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      server.add()
      server.answer = (_request, response) => {
        response.setHeader("link", '<http://other.example/v1/notes?after=1>; rel="next"')
        return false
      }
      const reason = yield* reasonOf(list(byLink, server.url))
      assert.strictEqual(reason?._tag, "Malformed")
      assert.include(reason?.message, "links to a next page on another server")
      assert.strictEqual(server.log.length, 1)
    })
  )

  // paperless-ngx#3130, encode/django-rest-framework#9477: links with HTTP, from a server that is used over HTTPS.
  it.live("whose next page is linked with another scheme is asked for it at its own address", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      server.add()
      server.answer = (request, response) => {
        const isFirst = request.url === "/v1/notes"
        const url = server.url.replace("http:", "https:")
        if (isFirst) response.setHeader("link", `<${url}/v1/notes?after=1>; rel="next"`)
        response.end(JSON.stringify({ results: [{ id: isFirst ? "a" : "b", version: 1 }], next: null }))
        return true
      }
      const pages = yield* list(byLink, server.url)
      assert.deepStrictEqual(
        pages.flatMap(({ listed }) => listed.map(({ externalId }) => externalId)),
        ["notes/a", "notes/b"]
      )
    })
  )
})

it("a list whose pages are counted cannot say that what is absent is deleted", () => {
  const paging = { type: "page", param: "page" } as const
  // @ts-expect-error: absence says nothing there
  assert.throws(() => Idem.restResource({ ...described, paging, absentIsDeleted: true }), "absence says nothing")
})
