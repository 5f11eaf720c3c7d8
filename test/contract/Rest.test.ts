import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Idem from "@idem-sync/idem/contract"
import * as Conformance from "@idem-sync/idem/testing"
import * as Harness from "../../src/testing/Harness.ts"
import * as NotesServer from "../support/NotesServer.ts"
import { described, cursor, source, byCursor, byTag, byPage, open, list, reasonOf } from "./RestNotes.ts"

const bySince = source((query) =>
  Idem.restResource({ ...described, query, paging: cursor, since: (time) => ({ since: DateTime.formatIso(time) }) })
)

const external = (id: string) => `notes/${id}`
const idOf = (externalId: string) => externalId.replace("notes/", "")

const scripted = (integration: Idem.Integration.Integration, remove: "absent" | "trashed") =>
  Effect.map(NotesServer.make, (server): Conformance.ScriptedSource => {
    server.size = 200
    server.tags = true
    return {
      integration,
      config: { url: server.url },
      credentials: { key: "k3y" },
      usesChecker: true,
      add: (count) => Effect.sync(() => Array.from({ length: count }, () => external(server.add()))),
      ids: Effect.sync(() =>
        [...server.notes.values()].filter(({ trashed }) => trashed !== true).map(({ id }) => external(id))
      ),
      edit: (id) => Effect.sync(() => server.edit(idOf(id), { text: "edited" })),
      remove: (id) =>
        Effect.sync(() =>
          remove === "trashed" ? server.edit(idOf(id), { trashed: true }) : server.notes.delete(idOf(id))
        ),
      fail: (id, failing) =>
        Effect.sync(() => (failing ? server.failing.add(idOf(id)) : server.failing.delete(idOf(id)))),
      failable: Effect.sync(() => external([...server.notes.values()].find(({ apart }) => apart)?.id ?? "")),
      narrowed: { config: { url: server.url, in: "a" }, keeps: (id) => idOf(id).startsWith("a") },
      open: Effect.sync(() => server.open)
    }
  })

describe("the laws of integrations, for a list by cursor whose absences are deletions", () => {
  for (const law of Conformance.laws(scripted(byCursor, "absent"), { without: ["repeat", "expire"] }))
    it.live(law.name, () => law.check)
})

describe("the laws of changes, for a list by cursor whose pages are asked for conditionally", () => {
  const laws = Conformance.laws(scripted(byTag, "absent"), { without: ["repeat", "expire"] }).filter(({ name }) =>
    /stores everything|added later|removes|edit is|crash|force|scope|parts|call/.test(name)
  )
  for (const law of laws) it.live(law.name, () => law.check)
})

describe("the laws of changes, for a list by page number that marks what is deleted", () => {
  const laws = Conformance.laws(scripted(byPage, "trashed")).filter(({ name }) =>
    /removes|edit is|crash after/.test(name)
  )
  for (const law of laws) it.live(law.name, () => law.check)
})

describe("a REST source", () => {
  it.live("is asked only for pages that changed; once one has, all are read, so that an absence is seen", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      server.tags = true
      for (let index = 0; index < 25; index++) server.add()
      const store = yield* Harness.makeStore
      const process = yield* Harness.start({
        integration: byTag,
        credentials: { key: "k3y" },
        store,
        watch: Harness.watcher()
      })
      yield* process.connect({ url: server.url })
      /** Runs one sync, and returns the statuses of its responses and the number of deleted contents. */
      const sync = Effect.gen(function* () {
        server.statuses.length = 0
        const { counts, status } = yield* process.sync()
        return { status, statuses: [...server.statuses], listed: counts.listed, deleted: counts.deleted }
      })
      const lists = (statuses: ReadonlyArray<number>) => statuses.slice(0, 3)
      assert.deepStrictEqual(lists((yield* sync).statuses), [200, 200, 200])
      const idle = { status: "succeeded", statuses: [304, 304, 304], listed: 0, deleted: 0 }
      assert.deepStrictEqual(yield* sync, idle)
      server.notes.delete("b-00019")
      const { deleted, statuses } = yield* sync
      // The third page has changed: it is read first, and then all pages.
      assert.deepStrictEqual([statuses, deleted], [[304, 304, 200, 200, 200, 200], 1])
      assert.deepStrictEqual(yield* sync, { ...idle, statuses: idle.statuses })
      server.notes.set("a-00002", { id: "a-00002", version: 0.5, text: "", apart: false })
      // While an item can't be read, its page is requested again.
      yield* sync
      const unread = yield* sync
      assert.deepStrictEqual([unread.status, unread.deleted], ["partial", 0])
    }).pipe(Effect.scoped)
  )

  it.live("covers nothing while one of its items can't be read, and says which list has it", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.makeWith(25)
      const whole = yield* list(byCursor, server.url)
      assert.deepStrictEqual(whole.at(-1)?.covers, [{ prefix: "notes/" }])
      server.notes.set("a-00002", { id: "a-00002", version: 0.5, text: "", apart: false })
      const pages = yield* list(byCursor, server.url)
      assert.deepStrictEqual(pages.at(-1)?.covers, [])
      assert.deepStrictEqual(
        pages.flatMap(({ problems = [] }) => problems),
        // The problem names the field, without its value.
        [{ place: "notes", message: "an item of v1/notes does not fit its description: version does not fit" }]
      )
    })
  )

  it.live(
    "is asked for changes since the previous listing, by the server's clock, with an overlap for late changes",
    () =>
      Effect.gen(function* () {
        const server = yield* NotesServer.make
        server.add()
        // A server whose clock differs much from this machine's.
        server.answer = (_request, response) => {
          response.setHeader("date", "Tue, 02 Jan 2024 03:04:05 GMT")
          return false
        }
        const pages = yield* list(bySince, server.url)
        const checkpoint = pages.at(-1)?.checkpoint
        assert.isDefined(checkpoint)
        yield* list(bySince, server.url, Option.some(checkpoint ?? null))
        assert.deepStrictEqual(server.log, ["/v1/notes", "/v1/notes?since=2024-01-02T02%3A59%3A05.000Z"])
      })
  )

  // RFC 9110, 6.6.1: a server without a clock sends no `Date`.
  it.live("that does not tell the time is listed in full each time: this machine's clock may be ahead of it", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.makeWith(15)
      server.answer = (request, response) => {
        response.sendDate = request.url?.includes("cursor") === true
        return false
      }
      const pages = yield* list(bySince, server.url)
      yield* list(bySince, server.url, Option.fromUndefinedOr(pages.at(-1)?.checkpoint))
      // The second page has a date, but items that changed while the first page was being read may be older.
      assert.deepStrictEqual(server.log[2], "/v1/notes")
    })
  )

  it.live("whose clock was ahead, and is right again, is listed in full", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      server.add()
      let ahead = 6 * 3_600_000
      server.answer = (_request, response) => {
        response.setHeader("date", new Date(Date.now() + ahead).toUTCString())
        return false
      }
      const pages = yield* list(bySince, server.url)
      const place = Option.fromUndefinedOr(pages.at(-1)?.checkpoint)
      // Within the overlap, like the clocks of several servers behind one name.
      ahead -= 4 * 60_000
      yield* list(bySince, server.url, place)
      ahead = 0
      const reason = yield* reasonOf(list(bySince, server.url, place))
      assert.deepStrictEqual([reason?._tag, reason?.message.includes("went back")], ["CheckpointExpired", true])
    })
  )

  it.live("whose answer would take seconds to read is refused before it is parsed", () =>
    Effect.gen(function* () {
      const named = (count: number) => Array.from({ length: count }, (_, index) => `"n${index}":[0,{}]`).join()
      const server = yield* NotesServer.make
      for (const [results, why] of [
        ["[".repeat(500_000) + "]".repeat(500_000), "it may nest at most 100 deep"],
        [`[${"1,".repeat(500_000)}1]`, "it may have at most 200,000 values"],
        [`[{${named(10_001)}}]`, "one object may have at most 10,000 names"]
      ] as const) {
        server.answer = (_request, response) => {
          response.end(`{"results":${results}}`)
          return true
        }
        const reason = yield* reasonOf(list(byCursor, server.url))
        assert.deepStrictEqual(
          reason,
          new Idem.Malformed({ message: `an answer of ${new URL(server.url).host} is too complex: ${why}` })
        )
      }
    })
  )

  it.live("that has forgotten the cursor of an interrupted listing is listed in full", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.makeWith(25)
      const [first] = yield* list(byCursor, server.url)
      server.answer = (request, response) => {
        const isRefused = request.url?.includes("cursor=") === true
        if (isRefused) response.writeHead(400).end("{}")
        return isRefused
      }
      const place = Option.fromUndefinedOr(first?.checkpoint)
      assert.strictEqual((yield* reasonOf(list(byCursor, server.url, place)))?._tag, "CheckpointExpired")
      assert.strictEqual((yield* reasonOf(list(byCursor, server.url)))?._tag, "Malformed")
    })
  )

  it.live("that refuses is told apart by its answer, and no error says more than its host", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      const cases: ReadonlyArray<readonly [number, Record<string, string>, string, number?]> = [
        [401, {}, "Unauthorized"],
        [403, {}, "Forbidden"],
        [403, { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30" }, "RateLimited", 30],
        [403, { "x-ratelimit-remaining": "7", "x-ratelimit-reset": "30" }, "Forbidden"],
        [404, {}, "Gone"],
        [410, {}, "Gone"],
        [422, {}, "Malformed"],
        [429, {}, "RateLimited"],
        [429, { "retry-after": "7", "ratelimit-reset": "90" }, "RateLimited", 7],
        [429, { ratelimit: '"default";r=0;t=12' }, "RateLimited", 12],
        [500, {}, "Transient"],
        [503, {}, "Transient"],
        [503, { "retry-after": "5" }, "RateLimited", 5],
        [200, {}, "Malformed"]
      ]
      for (const [status, headers, tag, seconds] of cases) {
        server.answer = (_request, response) => {
          response.writeHead(status, headers).end("no JSON")
          return true
        }
        const reason = yield* reasonOf(list(byCursor, server.url))
        assert.strictEqual(reason?._tag, tag, `${status} ${JSON.stringify(headers)}`)
        const asked = reason?._tag === "RateLimited" ? reason.retryAfter : undefined
        assert.strictEqual(asked && Duration.toSeconds(asked), seconds, `${status} ${JSON.stringify(headers)}`)
        assert.notInclude(reason?.message, "notes")
      }
      server.answer = (request) => request.destroy() !== undefined
      assert.strictEqual((yield* reasonOf(list(byCursor, server.url)))?._tag, "Transient")
    })
  )

  it.live("that redirects to another server does not get its credentials sent there", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      const other = yield* NotesServer.make
      server.answer = (_request, response) => {
        response.writeHead(302, { location: `${other.url}/v1/notes` }).end()
        return true
      }
      assert.strictEqual((yield* reasonOf(list(byCursor, server.url)))?._tag, "Forbidden")
      assert.deepStrictEqual(other.log, [])
    })
  )

  it.live("is not led to another resource by an id, nor to another item", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.make
      const [id, other] = [server.add(), server.add()]
      const session = yield* open(byCursor, server.url)
      for (const externalId of ["notes/..", "notes/.", "notes/", "other/1", "notes/a?x=/../1"]) {
        assert.strictEqual((yield* reasonOf(session.download({ externalId })))?._tag, "Gone", externalId)
      }
      assert.deepStrictEqual(server.log, ["/v1/notes/a%3Fx%3D%2F..%2F1"])
      server.answer = (_request, response) => {
        response.end(JSON.stringify(server.notes.get(other)))
        return true
      }
      assert.strictEqual((yield* reasonOf(session.download({ externalId: external(id) })))?._tag, "Gone")
    }).pipe(Effect.scoped)
  )
})
