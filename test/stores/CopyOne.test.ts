/** Copying a single connection, not the whole database. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { assertSame, copy, everything, lived, sides } from "./copyFixture.ts"
import { running } from "./scenario.ts"

it.layer(Layer.empty, { excludeTestServices: true })("copying one connection", (it) => {
  it.effect("one connection comes with those that it made and with its webhooks, and nothing else does", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      const { maker, member, other } = yield* Effect.provideContext(
        Effect.all({ maker: lived, member: running(), other: lived }),
        source.context
      )
      yield* source.sql`UPDATE connection SET member_of = ${maker.id}, member_id = 'ann' WHERE id = ${member.id}`
      yield* source.sql`INSERT INTO webhook (id, name, url, connection_id, secret) VALUES
        (gen_random_uuid(), 'its own', 'https://example.com/1', ${maker.id}, '\\x01'),
        (gen_random_uuid(), 'of the other', 'https://example.com/2', ${other.id}, '\\x02'),
        (gen_random_uuid(), 'of all', 'https://example.com/3', NULL, '\\x03')`
      yield* source.sql`INSERT INTO read_token (name, hash) VALUES ('token', '\\x01')`
      const { copied, tokens, webhooks } = yield* copy(source, target, {}, maker.name)
      assert.sameMembers(
        copied.map(({ name }) => name),
        [maker.name, member.name]
      )
      assert.deepStrictEqual([webhooks.map(({ name }) => name), tokens], [["its own"], []])
      const ids = yield* target.sql<{ id: string }>`SELECT id::text AS id FROM connection
        UNION SELECT connection_id::text FROM content UNION SELECT connection_id::text FROM run`
      assert.sameMembers(
        ids.map(({ id }) => id),
        [maker.id, member.id]
      )
      // The other connection is copied next, and then the copy is complete.
      yield* copy(source, target, {}, other.name)
      assertSame(yield* everything(target.sql), yield* everything(source.sql))
    }).pipe(Effect.scoped)
  )

  it.effect(
    "the connections that a connection made are copied before it, because a poll in the target would make them again",
    () =>
      Effect.gen(function* () {
        const { source, target } = yield* sides
        const { maker, member } = yield* Effect.provideContext(
          Effect.all({ maker: running(), member: running() }),
          source.context
        )
        yield* source.sql`UPDATE connection SET name = 'a maker' WHERE id = ${maker.id}`
        yield* source.sql`UPDATE connection SET name = 'member', member_of = ${maker.id}, member_id = 'ann'
        WHERE id = ${member.id}`
        const { copied } = yield* copy(source, target)
        assert.deepStrictEqual(
          copied.map(({ name }) => name),
          ["member", "a maker"]
        )
      }).pipe(Effect.scoped)
  )

  it.effect("a connection that is not there, or that stays with the one that made it, is not copied", () =>
    Effect.gen(function* () {
      const { source, target } = yield* sides
      const { maker, member } = yield* Effect.provideContext(
        Effect.all({ maker: running(), member: running() }),
        source.context
      )
      yield* source.sql`UPDATE connection SET member_of = ${maker.id}, member_id = 'ann' WHERE id = ${member.id}`
      const unknown = yield* Effect.flip(copy(source, target, {}, "nobody"))
      assert.deepStrictEqual(
        [unknown._tag, unknown.message],
        ["UnknownConnection", 'there is no connection "nobody" to copy']
      )
      const refused = yield* Effect.flip(copy(source, target, {}, member.name))
      assert.include(refused.message, `was created by "${maker.name}"`)
      assert.deepStrictEqual(yield* target.store.connections, [])
    }).pipe(Effect.scoped)
  )
})
