import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ContentRow } from "../../../src/engine/model/Content.ts"
import * as ContentNames from "../../../src/http/contents/ContentNames.ts"
import { connection, contentRow } from "../../support/HttpServer.ts"

const stored: Readonly<Record<string, Partial<ContentRow>>> = {
  "users/U1": { kind: "user", title: "Alice" },
  "users/U2": { kind: "user", title: "Bob" },
  "channels/C1": { kind: "channel", title: "general", metadata: { name: "general", type: "public_channel" } },
  "channels/D1": { kind: "channel", title: "U2", metadata: { user: "U2", type: "im" } }
}

const byId = (rows: Readonly<Record<string, Partial<ContentRow>>>, externalIds: ReadonlyArray<string>) =>
  Effect.succeed(
    new Map(
      externalIds.flatMap((id) => {
        const found = rows[id]
        return found === undefined ? [] : [[id, contentRow(found)] as const]
      })
    )
  )

/** Returns the names of these contents, and the ids in each look-up query. */
const namesOf = Effect.fnUntraced(function* (rows: ReadonlyArray<Partial<ContentRow>>) {
  const asked: Array<ReadonlyArray<string>> = []
  const contentsById = (_: string, externalIds: ReadonlyArray<string>) => {
    asked.push(externalIds)
    return byId(stored, externalIds)
  }
  const named = yield* ContentNames.find(
    { contentsById },
    connection.id,
    rows.map((row) => contentRow(row))
  )
  return { named, asked }
})

it.effect("a message has the names of its author, its channel and whom it mentions", () =>
  Effect.gen(function* () {
    const title = "<@U2> and <@U9>: see <#C1|old-name> & <https://example.com>"
    const { named } = yield* namesOf([{ title, metadata: { user: "U1", channel: "C1", ts: "1.1" } }])
    assert.deepStrictEqual(named, [{ from: "Alice", in: "general", names: { U1: "Alice", U2: "Bob", C1: "general" } }])
  })
)

it.effect("a direct conversation has the other person's name, by a second query", () =>
  Effect.gen(function* () {
    const { asked, named } = yield* namesOf([{ metadata: { channel: "D1" } }])
    assert.deepStrictEqual(named, [{ from: null, in: "Bob", names: { D1: "Bob" } }])
    assert.deepStrictEqual(asked, [["channels/D1"], ["users/U2"]])
  })
)

it.effect("an unknown author and channel keep their ids, and an email has its sender", () =>
  Effect.gen(function* () {
    const { named } = yield* namesOf([
      { metadata: { user: "U9", channel: "C9" } },
      { metadata: { from: { name: "Ann", address: "ann@example.com" } } },
      { metadata: { from: { name: "", address: "ann@example.com" } } },
      { metadata: { botId: "B1" } },
      { kind: "channel", metadata: { user: "U1", type: "im" } }
    ])
    assert.deepStrictEqual(
      named.map((one) => [one.from, one.in]),
      [
        ["U9", "C9"],
        ["Ann <ann@example.com>", null],
        ["ann@example.com", null],
        ["B1", null],
        [null, null]
      ]
    )
  })
)

it.effect("a page costs one query, other content none, and a title full of mentions 20 look-ups", () =>
  Effect.gen(function* () {
    const page = Array.from({ length: 100 }, () => ({ metadata: { user: "U1", channel: "C1" } }))
    assert.deepStrictEqual((yield* namesOf(page)).asked, [["users/U1", "channels/C1"]])
    assert.deepStrictEqual((yield* namesOf([{ title: "Hello", metadata: { user: "me@example.com" } }])).asked, [])
    const title = Array.from({ length: 100 }, (_, index) => `<@U1000${index}>`).join(" ")
    assert.strictEqual((yield* namesOf([{ title }])).asked[0]?.length, 20)
  })
)

it.effect("a result of a search has the names that its snippet mentions too", () =>
  Effect.gen(function* () {
    const rows: Readonly<Record<string, Partial<ContentRow>>> = {
      ...stored,
      "C1/1.1": { metadata: { user: "U1", channel: "C1" } }
    }
    const contentsById = (_: string, externalIds: ReadonlyArray<string>) => byId(rows, externalIds)
    const result = { externalId: "C1/1.1", kind: "message", title: "Hello", snippet: "ask @U2 or bob@U1 in #C1" }
    const named = yield* ContentNames.ofResults({ contentsById }, connection.id, [result])
    assert.deepStrictEqual(
      [...named.values()],
      [{ from: "Alice", in: "general", names: { U1: "Alice", U2: "Bob", C1: "general" } }]
    )
  })
)
