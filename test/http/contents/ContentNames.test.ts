import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ContentRow } from "../../../src/engine/model/Content.ts"
import * as ContentNames from "../../../src/http/contents/ContentNames.ts"
import { connection, contentRow } from "../../support/HttpServer.ts"

const stored: Readonly<Record<string, Partial<ContentRow>>> = {
  "users/U1": { kind: "user", title: "Alice" },
  "users/U2": { kind: "user", title: "Bob" },
  "channels/C1": { kind: "channel", title: "general", metadata: { name: "general", type: "public_channel" } },
  "channels/D1": { kind: "channel", title: "U2", metadata: { user: "U2", type: "im" } }
}

/** The names of a content, and the ids that were looked up for them. */
const namesOf = Effect.fnUntraced(function* (row: Partial<ContentRow>) {
  const asked: Array<string> = []
  const content = (_: string, externalId: string) =>
    Effect.sync(() => {
      asked.push(externalId)
      const found = stored[externalId]
      return found === undefined ? Option.none() : Option.some(contentRow(found))
    })
  return { names: yield* ContentNames.find({ content }, connection.id, contentRow(row)), asked }
})

it.effect("a message has the names of its author, its channel and whom it mentions", () =>
  Effect.gen(function* () {
    const title = "<@U2> and <@U9>: see <#C1|old-name> & <https://example.com>"
    const { names } = yield* namesOf({ title, metadata: { user: "U1", channel: "C1", ts: "1.1" } })
    assert.deepStrictEqual(names, { U1: "Alice", U2: "Bob", C1: "general" })
  })
)

it.effect("a direct conversation has the other person's name", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual((yield* namesOf({ metadata: { channel: "D1" } })).names, { D1: "Bob" })
  })
)

it.effect("other content costs no look-up, and a title full of mentions costs 20", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual((yield* namesOf({ title: "Hello", metadata: { user: "me@example.com" } })).asked, [])
    const title = Array.from({ length: 100 }, (_, index) => `<@U1000${index}>`).join(" ")
    assert.strictEqual((yield* namesOf({ title })).asked.length, 20)
  })
)
