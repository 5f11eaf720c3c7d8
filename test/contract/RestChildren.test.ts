/** Children of REST resources: inside their items, and at their own paths. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Conformance from "@idem-sync/idem/testing"
import * as ForumServer from "../support/ForumServer.ts"
import { serve } from "../support/LoopbackServer.ts"
import { forum, list, type Mode, open } from "./RestForum.ts"

const scripted = (mode: Mode) =>
  Effect.map(ForumServer.make, (server): Conformance.ScriptedSource => {
    server.keepsTrash = mode === "since"
    server.size = 20
    return {
      integration: forum(mode),
      config: { url: server.url },
      credentials: { token: "t0ken" },
      usesChecker: true,
      add: (count) => Effect.sync(() => Array.from({ length: count }, () => server.add())),
      ids: Effect.sync(() => server.ids()),
      edit: (id) => Effect.sync(() => server.edit(id)),
      remove: (id) => Effect.sync(() => server.remove(id)),
      fail: (id, failing) => Effect.sync(() => (failing ? server.failing.add(id) : server.failing.delete(id))),
      failable: Effect.sync(() => server.ids().find((id) => id.startsWith("files/")) ?? ""),
      requests: Effect.sync(() => server.log.length),
      open: Effect.sync(() => server.open)
    }
  })

describe.concurrent("the laws of integrations, for threads with files and replies, whose absences are deletions", () => {
  for (const law of Conformance.laws(scripted("absent"), { without: ["repeat", "expire", "narrowed"] }))
    it.live(law.name, () => law.check)
})

describe.concurrent("the laws of changes, for threads that changed since a time, with files and replies", () => {
  const laws = Conformance.laws(scripted("since"), { without: ["repeat", "expire", "narrowed"] }).filter(({ name }) =>
    /stores everything|removes|edit is|crash|forceIds|covers/.test(name)
  )
  for (const law of laws) it.live(law.name, () => law.check)
})

describe("children of a REST resource", () => {
  it.live("cover their list if it was read completely, and everything if all lists were", () =>
    Effect.gen(function* () {
      const server = yield* ForumServer.makeWith(40)
      const whole = yield* list("absent", server.url)
      assert.sameMembers(whole.ids, [...server.ids()])
      assert.deepStrictEqual(whole.covers, ["threads/", "files/", "replies/"])
      const since = yield* list("since", server.url)
      assert.sameMembers(since.ids, [...server.ids()])
      assert.strictEqual(since.covers.length, 20)
      assert.include(since.covers, `replies/${encodeURIComponent("t 00004/a")}/`)
    })
  )

  it.live("of a list that can't be read are a problem of that list, and of nothing else", () =>
    Effect.gen(function* () {
      const server = yield* ForumServer.makeWith(16)
      const parent = encodeURIComponent("t 00004/a")
      const refuse = (status: number, isRefused: boolean) => {
        server.answer = (request, response) => {
          const refused = isRefused && request.url === `/threads/${parent}/replies`
          if (refused) response.writeHead(status).end("{}")
          return refused
        }
      }
      refuse(403, true)
      for (const mode of ["absent", "since"] as const) {
        const found = yield* list(mode, server.url)
        assert.deepStrictEqual(found.problems, [`replies/${parent}`])
        assert.sameMembers(
          found.ids,
          server.ids().filter((id) => !id.startsWith(`replies/${parent}`))
        )
        const covered = mode === "absent" ? ["threads/", "files/"] : found.covers
        assert.deepStrictEqual(found.covers, covered)
        assert.notInclude(found.covers, `replies/${parent}/`)
        assert.isTrue(found.isComplete)
        // An item that could not be read is listed again, although it has not changed since.
        refuse(403, false)
        assert.deepStrictEqual(found.checkpoint, Option.some({ since: {} }))
        const later = yield* list(mode, server.url, found.checkpoint)
        assert.includeMembers([...later.ids], [`replies/${parent}/r5`])
        assert.strictEqual(JSON.stringify(later.checkpoint).includes("threads"), mode === "since")
        refuse(403, true)
      }
      // The thread was deleted while its page was being read.
      refuse(404, true)
      const gone = yield* list("absent", server.url)
      assert.deepStrictEqual([gone.problems, gone.covers], [[], ["threads/", "files/"]])
    })
  )

  it.live("do not cover a list of which one page had an item that can't be read", () =>
    Effect.gen(function* () {
      const server = yield* ForumServer.makeWith(16)
      const parent = encodeURIComponent("t 00004/a")
      server.answer = (request, response) => {
        const { pathname, searchParams } = new URL(request.url ?? "", server.url)
        if (pathname !== `/threads/${parent}/replies`) return false
        const isFirst = searchParams.get("cursor") === null
        const results = isFirst ? [{ id: "r5", text: 5 }] : [{ id: "r6", text: "Reply 6" }]
        response.end(JSON.stringify({ results, next: isFirst ? "second" : null }))
        return true
      }
      const found = yield* list("since", server.url)
      assert.deepStrictEqual(found.problems, [`replies/${parent}`])
      assert.include(found.ids, `replies/${parent}/r6`)
      assert.notInclude(found.covers, `replies/${parent}/`)
      assert.include(found.covers, `files/${parent}/`)
    })
  )

  it.live("continue where a listing was interrupted in the middle of them", () =>
    Effect.gen(function* () {
      const server = yield* ForumServer.makeWith(40)
      const all = server.ids()
      for (let pages = 1; pages < 14; pages++) {
        const begun = yield* list("absent", server.url, Option.none(), pages)
        const before = server.log.length
        const ended = yield* list("absent", server.url, begun.checkpoint)
        assert.sameMembers([...new Set([...begun.ids, ...ended.ids])], [...all], String(pages))
        // 4 pages of threads and 10 lists of replies, one of the pages a second time.
        assert.isAtMost(server.log.length - before, 14 - pages + 1, String(pages))
        assert.deepStrictEqual(ended.covers, ["threads/", "files/", "replies/"])
      }
    })
  )

  // A list by time of change, in which an edit moves an item to the front.
  it.live("of an item that moved before an interruption are not taken for deleted", () =>
    Effect.gen(function* () {
      const server = yield* ForumServer.makeWith(40)
      const begun = yield* list("absent", server.url, Option.none(), 2)
      const [moved] = [...server.threads.values()].slice(-1)
      assert(moved !== undefined)
      server.threads.delete(moved.id)
      server.threads.set("front", { ...moved, id: "front" })
      const ended = yield* list("absent", server.url, begun.checkpoint)
      assert.includeMembers([...ended.ids], ["threads/front"])
      assert.notInclude(ended.ids, "replies/front/r37")
      assert.deepStrictEqual(ended.covers, ["threads/"])
      const next = yield* list("absent", server.url, ended.checkpoint)
      assert.includeMembers([...next.ids], ["replies/front/r37"])
      assert.deepStrictEqual(next.covers, ["threads/", "files/", "replies/"])
    })
  )

  it.live("are downloaded by their ids alone, at a path of their own or through their item", () =>
    Effect.gen(function* () {
      const server = yield* ForumServer.makeWith(8)
      const parent = encodeURIComponent("t 00004/a")
      for (const mode of ["absent", "since"] as const) {
        const session = yield* open(mode, server.url)
        const text = (externalId: string) =>
          Effect.scoped(
            Effect.flatMap(session.download({ externalId }), ({ body }) =>
              body instanceof Uint8Array ? Effect.succeed([body]) : Stream.runCollect(body)
            )
          ).pipe(Effect.map((chunks) => Buffer.concat(chunks).toString()))
        assert.strictEqual(yield* text(`replies/${parent}/r5`), "Reply 5")
        assert.strictEqual(yield* text(`files/${parent}/f7`), "bytes of 7")
        const missing = [`replies/${parent}/r99`, `files/${parent}/..`, `files/%/f7`, "files/f7", "replies/../r5"]
        for (const id of [...missing, `threads/${parent}`]) {
          const error = yield* Effect.flip(text(id))
          assert.strictEqual(error.reason._tag, "Gone", id)
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("have bodies at another server, which gets no credentials", () =>
    Effect.gen(function* () {
      const server = yield* ForumServer.makeWith(4)
      const seen: Array<string | undefined> = []
      const storage = yield* serve(() => ({
        url: "",
        handle: (request, response) => {
          seen.push(request.headers.authorization)
          response.end(new URL(request.url ?? "", "http://x").searchParams.get("bytes"))
        }
      }))
      server.storage = storage.url
      const session = yield* open("absent", server.url)
      const [, , , id = ""] = server.ids()
      const { body } = yield* session.download({ externalId: id })
      assert(!(body instanceof Uint8Array))
      assert.strictEqual(Buffer.concat(yield* Stream.runCollect(body)).toString(), "bytes of 3")
      assert.deepStrictEqual(seen, [undefined])
    }).pipe(Effect.scoped)
  )
})
