import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { randomBytes, randomUUID } from "node:crypto"
import { credentialsContext, signInContext } from "../../../src/engine/secrets/Vault.ts"
import type { Store } from "../../../src/engine/Store.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import * as Signature from "../../../src/engine/webhooks/Signature.ts"
import { WebhookId } from "../../../src/engine/model/Webhook.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import * as Database from "../../support/Postgres.ts"
import { newKey, connect, connectMany, open, tokens, rekey } from "./rekeyFixture.ts"

const suite = (name: string, layer: Layer.Layer<Store, unknown>) => {
  describe(`rekeying, over ${name}`, () => {
    it.live("seals everything afresh, and then nothing can be sealed with the former key", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const [old, next] = [newKey(), newKey()]
        const [before, after] = [yield* Vault.make(old), yield* Vault.make(next)]
        const connections = yield* connectMany(130, before)
        const stateHash = randomBytes(32).toString("hex")
        const sealed = yield* before.seal("pending", signInContext(stateHash))
        yield* store.putSignIn({ stateHash, sealed, ttl: Duration.minutes(10), atMost: 10 })
        const done = yield* rekey(yield* Vault.make(next, [old]))
        assert.strictEqual(done.resealed, 131)
        assert.deepStrictEqual(done.locked, [])
        assert.deepStrictEqual(done.retired, [(yield* before.keys).current])
        assert.strictEqual(done.key, (yield* after.keys).current)
        assert.deepStrictEqual(yield* open(after), tokens(connections))
        // A process that has only the former key can't restore it.
        assert.include((yield* Effect.flip(connect("late", before))).message, "rekey")
        const again = yield* rekey(yield* Vault.make(next, [old]))
        assert.strictEqual(again.resealed, 0)
        // Changing back to the former key is possible.
        const back = yield* rekey(yield* Vault.make(old, [next]))
        assert.strictEqual(back.resealed, 131)
        assert.deepStrictEqual(yield* open(before), tokens(connections))
      }).pipe(Effect.provide(layer))
    )

    it.live("beside processes that store secrets with either key all the time", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const [old, next] = [newKey(), newKey()]
        const [before, both] = [yield* Vault.make(old, [next]), yield* Vault.make(next, [old])]
        const connections = yield* connectMany(20, before)
        const refused: Array<StoreError> = []
        const writer = (vault: Vault.Vault["Service"], count: number) =>
          Effect.gen(function* () {
            for (let made = 0; made < count; made += 1) {
              const connection = connections[made % connections.length]
              assert.isDefined(connection)
              const sealed = yield* vault.seal({ token: `token of ${connection.name}` }, credentialsContext(connection))
              yield* store
                .updateConnection(connection.id, { credentials: sealed })
                .pipe(Effect.catchTag("StoreError", (error) => Effect.sync(() => refused.push(error))))
            }
          })
        const [done] = yield* Effect.all([rekey(both), writer(before, 150), writer(both, 150)], {
          concurrency: "unbounded"
        })
        assert.strictEqual(done.retired.length, 1)
        assert.deepStrictEqual(yield* open(yield* Vault.make(next)), tokens(connections))
        for (const error of refused) assert.include(error.message, "rekey")
      }).pipe(Effect.provide(layer))
    )

    it.live("leaves what no key here opens, names it, and goes on with the rest", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const [old, next, lost] = [newKey(), newKey(), newKey()]
        yield* connect("fine", yield* Vault.make(old))
        const locked = yield* connect("locked", yield* Vault.make(lost))
        const damaged = yield* connect("damaged", yield* Vault.make(old))
        const bytes = new Uint8Array(damaged.credentials ?? [])
        bytes[40] = (bytes[40] ?? 0) ^ 1
        yield* store.updateConnection(damaged.id, { credentials: bytes })
        const done = yield* rekey(yield* Vault.make(next, [old]))
        assert.strictEqual(done.resealed, 1)
        assert.deepStrictEqual([...done.locked].toSorted(), ["the connection damaged", "the connection locked"])
        // The former key is kept, because a value that can't be opened is still sealed with it.
        assert.deepStrictEqual(done.retired, [])
        const now = (yield* store.connections).find(({ id }) => id === locked.id)
        assert.deepStrictEqual(now?.credentials, locked.credentials)
      }).pipe(Effect.provide(layer))
    )
  })
}

suite("Memory", Memory.layer)
suite("Postgres", Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provide(Database.layer)))

suite("Memory", Memory.layer)

suite("Postgres", Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provide(Database.layer)))

describe("rekeying webhooks", () => {
  it.live("seals their secrets afresh too, and lets none be stored with the former key", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [old, next] = [newKey(), newKey()]
      const [before, after] = [yield* Vault.make(old), yield* Vault.make(next)]
      const id = WebhookId.make(randomUUID())
      const secrets = { current: Redacted.make("whsec_secret"), previous: null }
      const sealed = yield* Effect.provideService(Signature.seal(id, secrets), Vault.Vault, before)
      const insert = (webhook: string) =>
        sql`INSERT INTO webhook (id, name, url, secret) VALUES (${webhook}, 'w', 'https://example.com', ${sealed})`
      yield* insert(id)
      assert.strictEqual((yield* rekey(yield* Vault.make(next, [old]))).resealed, 1)
      const [row] = yield* sql<{ readonly secret: Uint8Array }>`SELECT secret FROM webhook`
      assert.isDefined(row)
      const opened = yield* Effect.provideService(Signature.unseal(id, row.secret), Vault.Vault, after)
      assert.strictEqual(Redacted.value(opened.current), "whsec_secret")
      assert.match(String((yield* Effect.flip(insert(randomUUID()))).reason.cause), /idem rekey/)
    }).pipe(Effect.provide(Layer.provideMerge(Layer.provide(Postgres.layer, Blobs.layer), Database.layer)))
  )
})
