/** Children of REST resources whose lists have several pages. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ForumServer from "../support/ForumServer.ts"
import { reasonOf } from "./RestNotes.ts"
import { list, type Mode } from "./RestForum.ts"

const parent = encodeURIComponent("t 00004/a")
const modes: ReadonlyArray<Mode> = ["absent", "since"]

/** A forum of four threads, one of which has three pages of replies. */
const forum = Effect.tap(ForumServer.makeWith(16), ({ threads }) => {
  const { replies } = threads.get("t 00004/a") ?? {}
  for (const id of ["r71", "r72", "r73", "r74", "r75", "r76"]) replies?.set(id, { id, text: id })
  return Effect.void
})

describe("children of a REST resource, in a list of several pages", () => {
  for (const mode of modes) {
    it.live(`are listed from the middle on after an interruption, and covered at the end (${mode})`, () =>
      Effect.gen(function* () {
        const server = yield* forum
        const all = server.ids()
        const whole = yield* list(mode, server.url)
        assert.sameMembers(whole.ids, [...all])
        const requests = server.log.length
        const covered = mode === "absent" ? "replies/" : `replies/${parent}/`
        assert.deepStrictEqual(
          whole.covers.filter((prefix) => prefix === covered),
          [covered]
        )
        for (let pages = 1; pages < requests; pages++) {
          const begun = yield* list(mode, server.url, undefined, pages)
          const replies = begun.ids.filter((id) => id.startsWith(`replies/${parent}/`))
          if (replies.length < 8) assert.notInclude(begun.covers, covered, String(pages))
          const before = server.log.length
          const ended = yield* list(mode, server.url, begun.checkpoint)
          assert.sameMembers([...new Set([...begun.ids, ...ended.ids])], [...all], String(pages))
          assert.include([...begun.covers, ...ended.covers], covered, String(pages))
          // The page of threads is read again.
          assert.isAtMost(server.log.length - before, requests - pages + 1, String(pages))
        }
      })
    )
  }

  it.live("are listed from the beginning if the server has forgotten the place of an interrupted listing", () =>
    Effect.gen(function* () {
      const server = yield* forum
      const isSecond = (url: string) => url.startsWith(`/threads/${parent}/replies?cursor=`)
      let begun = yield* list("absent", server.url, undefined, 1)
      for (let pages = 2; !isSecond(server.log.at(-1) ?? ""); pages++) {
        begun = yield* list("absent", server.url, undefined, pages)
      }
      let refusals = 0
      server.answer = (request, response) => {
        if (!isSecond(request.url ?? "") || refusals > 0) return false
        refusals += 1
        response.writeHead(400).end("{}")
        return true
      }
      server.log.length = 0
      const ended = yield* list("absent", server.url, begun.checkpoint)
      assert.strictEqual(refusals, 1)
      assert.deepStrictEqual(ended.problems, [])
      assert.strictEqual(ended.ids.filter((id) => id.startsWith(`replies/${parent}/`)).length, 8)
      assert.deepStrictEqual(ended.covers, ["threads/", "files/", "replies/"])
    })
  )

  for (const mode of modes) {
    it.live(`are not covered, and are listed again, if a later page has one that can't be read (${mode})`, () =>
      Effect.gen(function* () {
        const server = yield* forum
        const broken = server.threads.get("t 00004/a")?.replies
        broken?.set("r76", { id: "r76", text: 76 as never })
        const found = yield* list(mode, server.url)
        assert.deepStrictEqual(found.problems, [`replies/${parent}`])
        assert.notInclude(found.covers, mode === "absent" ? "replies/" : `replies/${parent}/`)
        // The time from which changes are listed does not advance.
        assert.deepStrictEqual(found.checkpoint, Option.some({ since: {} }))
        broken?.set("r76", { id: "r76", text: "r76" })
        const later = yield* list(mode, server.url, found.checkpoint)
        assert.include(later.ids, `replies/${parent}/r76`)
      })
    )
  }

  it.live("end the listing if the server is not available for one of them", () =>
    Effect.gen(function* () {
      const server = yield* forum
      server.answer = (request, response) => {
        const refused = request.url?.startsWith(`/threads/${parent}/replies`) === true
        if (refused) response.writeHead(503).end("{}")
        return refused
      }
      assert.strictEqual((yield* reasonOf(list("absent", server.url)))?._tag, "Transient")
    })
  )
})

describe("children of a REST resource, in their item", () => {
  it.live("are not covered, and are listed again, if one of them can't be read", () =>
    Effect.gen(function* () {
      const server = yield* forum
      const files = server.threads.get("t 00004/a")?.files
      // No file has an empty name.
      files?.set("", "bytes")
      const found = yield* list("since", server.url)
      assert.deepStrictEqual(found.problems, [`files/${parent}`])
      assert.notInclude(found.covers, `files/${parent}/`)
      assert.include(found.covers, `replies/${parent}/`)
      assert.deepStrictEqual(found.checkpoint, Option.some({ since: {} }))
      const whole = yield* list("absent", server.url)
      assert.deepStrictEqual(whole.covers, ["threads/", "replies/"])
    })
  )
})
