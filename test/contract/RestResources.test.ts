/** REST sources with several resources: one pass lists them all, and continues where it was interrupted. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Idem from "@idem-sync/idem/contract"
import * as NotesServer from "../support/NotesServer.ts"
import { cursor, described, list, reasonOf } from "./RestNotes.ts"

/** Lists the notes of each folder as a resource of its own, with these changes to its description. */
const source = (folders: Readonly<Record<string, object>>) =>
  Idem.rest({
    domain: "notes",
    config: Schema.Struct({ url: Schema.String }),
    scope: [],
    address: ["url"],
    quota: () => ({ unitsPerMinute: 1_000_000_000 }),
    baseUrl: ({ url }) => url,
    auth: { type: "header", name: "X-Api-Key" },
    resources: () =>
      Object.fromEntries(
        Object.entries(folders).map(([folder, more]) => [
          folder,
          Idem.restResource({ ...described, query: { in: folder }, paging: cursor, ...more })
        ])
      )
  })
const changes = { since: (time: DateTime.Utc) => ({ since: DateTime.formatIso(time) }) }
const both = source({ a: changes, b: changes })

/** Returns the folder, the cursor and whether there is a time in each request for a page. */
const requests = (log: ReadonlyArray<string>) =>
  log.map((path) => {
    const { searchParams } = new URL(path, "http://localhost")
    return [searchParams.get("in"), searchParams.get("cursor"), searchParams.has("since")]
  })

describe("a REST source with several resources", () => {
  it.live("lists each from its last listing on, and after an interruption none that was listed to its end", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.makeWith(30)
      const pages = yield* list(both, server.url)
      const ids = pages.flatMap(({ listed }) => listed.map(({ externalId }) => externalId))
      assert.sameMembers(
        ids,
        [...server.notes.keys()].map((id) => `${id.slice(0, 1)}/${id}`)
      )
      // Each folder has a page of 10 notes and one of 5.
      assert.strictEqual(pages.length, 4)

      server.log.length = 0
      const rest = yield* list(both, server.url, Option.some(pages[1]?.checkpoint ?? null))
      assert.deepStrictEqual(requests(server.log), [
        ["b", null, false],
        ["b", "b-00019", false]
      ])
      assert.deepStrictEqual(
        rest.map(({ listed }) => listed.length),
        [10, 5]
      )

      server.log.length = 0
      yield* list(both, server.url, Option.some(rest.at(-1)?.checkpoint ?? null))
      assert.deepStrictEqual(
        requests(server.log).filter(([, after]) => after === null),
        [
          ["a", null, true],
          ["b", null, true]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.live("is listed in full if the resource no longer exists that an interrupted listing was at", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.makeWith(30)
      const pages = yield* list(both, server.url)
      const reason = yield* reasonOf(
        list(source({ a: changes }), server.url, Option.some(pages[1]?.checkpoint ?? null))
      )
      assert.strictEqual(reason?._tag, "CheckpointExpired")
    }).pipe(Effect.scoped)
  )

  it.live("covers a resource in the pass of all of them, though absence from the others says nothing", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.makeWith(30)
      const pages = yield* list(source({ a: {}, b: { absentIsDeleted: true } }), server.url)
      assert.strictEqual(new Set(pages.map(({ listing }) => listing)).size, 1)
      assert.deepStrictEqual(
        pages.map(({ covers, complete }) => [covers, complete]),
        [
          [[], false],
          [[], false],
          [[], false],
          [[{ prefix: "b/" }], true]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.live("lists neither items that the description leaves out nor deleted ones, which it reports", () =>
    Effect.gen(function* () {
      const server = yield* NotesServer.makeWith(6)
      server.edit("a-00002", { trashed: true })
      const described = { includes: ({ id }: { readonly id: string }) => id !== "a-00004" && id !== "b-00003" }
      const pages = yield* list(source({ a: described, b: described }), server.url)
      assert.deepStrictEqual(
        pages.flatMap(({ listed }) => listed.map(({ externalId }) => externalId)),
        ["a/a-00000", "b/b-00001", "b/b-00005"]
      )
      assert.deepStrictEqual(
        pages.flatMap(({ deleted }) => deleted),
        ["a/a-00002"]
      )
    }).pipe(Effect.scoped)
  )
})
