/** The laws of the API about contents and their changes. */
import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ApiClient, body } from "../../src/http/client/ApiClient.ts"
import { Scripted, wait, at, connected, quiet, eventually, ended, submit, query, type Law } from "./ApiFixture.ts"

const textOf = <E>(bytes: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(bytes), (chunks) => Buffer.concat(Array.from(chunks)).toString())

export const lawsOfContents = (law: Law): void => {
  law("what is stored is listed page by page, and a cursor is good for its own list only", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { ids, name } = yield* quiet(5)
      const first = yield* api.contents.list({ ...at(name), query: { ...query, limit: 2 } })
      const rest = yield* api.contents.list({ ...at(name), query: { ...query, after: first.next ?? "" } })
      assert.deepStrictEqual(
        [...first.contents, ...rest.contents].map((row) => row.externalId),
        ids
      )
      assert.isNull(rest.next)
      const full = yield* api.contents.listInFull({
        ...at(name),
        query: { ...query, text: "TITLE OF", limit: 1 }
      })
      const row = yield* api.contents.get({ ...at(name), query: { externalId: ids[0] ?? "" } })
      assert.deepStrictEqual({ ...full.contents[0], failure: null }, { ...row })
      const refused = (ref: string, after: string) =>
        Effect.map(Effect.flip(api.contents.list({ ...at(ref), query: { ...query, after } })), (error) =>
          error._tag === "CursorProblem" ? error.reason : error._tag
        )
      assert.strictEqual(yield* refused(name, "no cursor"), "malformed")
      assert.strictEqual(yield* refused((yield* connected()).name, first.next ?? ""), "foreign")
      const now = yield* DateTime.now
      const empty = yield* Effect.flip(api.contents.list({ ...at(name), query: { ...query, since: now, until: now } }))
      assert.strictEqual(empty._tag, "UsageProblem")
    })
  )

  law("a list says who wrote each content and where, by name", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { source } = yield* Scripted
      const { name } = yield* quiet(1)
      source.add("users/U1")
      source.add("channels/C1")
      source.add("C1/1.1", { metadata: { user: "U1", channel: "C1" } })
      yield* ended(name, yield* submit(name, { forceIds: ["C1/1.1", "channels/C1", "users/U1"] }))
      const author = { from: "title of users/U1", in: "title of channels/C1" }
      const named = { ...author, names: { U1: author.from, C1: author.in } }
      const nobody = { from: null, in: null, names: {} }
      const { contents } = yield* api.contents.list({ ...at(name), query })
      const full = yield* api.contents.listInFull({ ...at(name), query })
      for (const rows of [contents, full.contents]) {
        assert.deepStrictEqual(
          rows.map((row) => ({ from: row.from, in: row.in, names: row.names })),
          [named, nobody, nobody, nobody]
        )
      }
      const one = yield* api.contents.get({ ...at(name), query: { externalId: "C1/1.1" } })
      assert.deepStrictEqual({ from: one.from, in: one.in, names: one.names }, named)
    })
  )

  law("a content is read by its id, and its body whole or in parts", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { ids, name } = yield* quiet(1)
      const id = ids[0] ?? ""
      const content = yield* api.contents.get({ ...at(name), query: { externalId: id } })
      assert.deepStrictEqual(
        [content.externalId, content.title, content.state, content.mediaType, content.failure],
        [id, `title of ${id}`, "stored", "text/plain", null]
      )
      const text = `body of ${id}`
      const { bytes, hash, size } = yield* body(name, id)
      assert.deepStrictEqual([size, hash], [text.length, content.hash])
      assert.strictEqual(yield* textOf(bytes), text)
      const part = Effect.fnUntraced(function* (start: number, end: number) {
        const { headers, status, stream } = yield* api.contents.body({
          ...at(name),
          query: { externalId: id },
          headers: { range: `bytes=${start}-${end - 1}` },
          responseMode: "response-only"
        })
        assert.deepStrictEqual([status, headers["content-type"]], [206, "text/plain"])
        return yield* textOf(stream)
      })
      assert.strictEqual(yield* part(5, 7), text.slice(5, 7))
      assert.strictEqual(yield* part(0, text.length), text)
      const absent: ReadonlyArray<
        Effect.Effect<unknown, { readonly _tag: string; readonly message: string }, ApiClient>
      > = [api.contents.get({ ...at(name), query: { externalId: "absent" } }), body(name, "absent")]
      for (const ask of absent) {
        const error = yield* Effect.flip(ask)
        assert.deepStrictEqual([error._tag, "what" in error && error.what], ["NotFoundProblem", "content"])
        assert.include(error.message, "absent")
      }
    })
  )

  law("changes are told in order, to whoever waits too, and a cursor is good for its own list only", () =>
    Effect.gen(function* () {
      const api = yield* ApiClient
      const { source } = yield* Scripted
      const { folder, id, ids, name } = yield* quiet(2)
      const changes = (after?: string) =>
        api.contents.changes({
          query: { connection: name, limit: 100, wait, ...(after === undefined ? {} : { after }) }
        })
      const first = yield* eventually(changes(), (page) => page.changes.length === 2)
      assert.deepStrictEqual(
        first.changes.map(({ change, connection, content }) => [change, connection, content.externalId]),
        ids.map((each) => ["stored", id, each])
      )
      source.add(`${folder}new`)
      const [next] = yield* Effect.all([changes(first.next), submit(name)], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        next.changes.map(({ content }) => content.externalId),
        [`${folder}new`]
      )
      const refused = (after: string, connection?: string) =>
        Effect.map(
          Effect.flip(
            api.contents.changes({
              query: { after, limit: 1, wait: 0, ...(connection === undefined ? {} : { connection }) }
            })
          ),
          (error) => (error._tag === "CursorProblem" ? error.reason : error._tag)
        )
      assert.strictEqual(yield* refused("no cursor"), "malformed")
      assert.strictEqual(yield* refused(first.next, (yield* connected()).name), "foreign")
    })
  )
}
