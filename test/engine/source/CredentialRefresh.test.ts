import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import { Engine } from "../../../src/engine/Engine.ts"
import { Integrations } from "../../../src/engine/source/Integrations.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import * as OpenSource from "../../../src/engine/source/OpenSource.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import type { Store } from "../../../src/engine/Store.ts"
import { fromContext, layer as wholeStoreLayer, WholeStore } from "../../../src/testing/WholeStore.ts"
import * as SyncEngine from "../../../src/engine/sync/SyncEngine.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import { integration } from "../../../src/integrations/Gmail.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Database from "../../support/Postgres.ts"

const key = Redacted.make<Uint8Array>(randomBytes(32))

/** Builds two processes: separate engines over one store. */
const processes = Effect.fnUntraced(function* (layer: Layer.Layer<Store, unknown>) {
  const store = wholeStoreLayer(fromContext(yield* Layer.build(Layer.orDie(layer))))
  const process = Layer.provideMerge(
    SyncEngine.layer,
    Layer.mergeAll(
      store,
      Quotas.layerMemory,
      Layer.effect(Vault.Vault, Vault.make(key)),
      Integrations.layer({ gmail: Effect.succeed(integration) })
    )
  )
  return yield* Effect.all([Layer.build(Layer.fresh(process)), Layer.build(Layer.fresh(process))])
})

/** A connection whose access token has expired, at a server that replaces refresh tokens. */
const scene = Effect.gen(function* () {
  const server = yield* GmailServer.make()
  server.rotate = true
  server.grant("first")
  server.expiresIn = 1
  const engine = yield* Engine
  const { connection } = yield* engine.connect({
    domain: "gmail",
    name: "me",
    config: { rootUrl: server.url },
    credentials: { clientId: "client", clientSecret: "s3cret", refreshToken: "first" },
    every: undefined
  })
  server.expiresIn = 3600
  server.seen.length = 0
  return { server, connection, refreshes: () => server.seen.filter(({ method }) => method === "oauth2.token").length }
})

/** Reads the account as a run, a dry run or a change of the connection does, with a connection that was read before. */
const ask = (connection: Connection) =>
  Effect.gen(function* () {
    const source = yield* OpenSource.decode(connection)
    const session = yield* OpenSource.open({ connection, ...source }, yield* RunMeter.make())
    return yield* session.account
  }).pipe(Effect.scoped)

/** Runs `change` while the refresh that `asking` needs waits for its answer. */
const duringRefresh = Effect.fnUntraced(function* <E, E2>(
  server: GmailServer.Server,
  asking: Effect.Effect<unknown, E>,
  change: Effect.Effect<unknown, E2>
) {
  const refreshing = yield* Deferred.make<void>()
  server.before("oauth2.token", () => Deferred.doneUnsafe(refreshing, Effect.void))
  server.holds = ({ method }) => method === "oauth2.token"
  const asked = yield* Effect.forkChild(asking)
  yield* Deferred.await(refreshing)
  yield* change
  server.release()
  yield* Fiber.join(asked)
})

const stored = Effect.fnUntraced(function* (connection: Connection) {
  const store = yield* WholeStore
  const vault = yield* Vault.Vault
  const { credentials } = Option.getOrThrow(yield* store.connection(connection.id))
  const json = yield* vault.unseal(credentials ?? new Uint8Array(), Vault.credentialsContext(connection))
  return json as Schema.JsonObject
})

const suite = (name: string, layer: Layer.Layer<Store, unknown>) => {
  describe(`refreshing beside each other, over ${name}`, () => {
    it.live("two processes that refresh at once make one refresh, and both go on", () =>
      Effect.gen(function* () {
        const [one, other] = yield* processes(layer)
        const { connection, refreshes, server } = yield* Effect.provideContext(scene, one)
        const [first, second] = yield* Effect.all(
          [one, other, one, other].map((process) => Effect.provideContext(ask(connection), process)),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(first, "me@example.com")
        assert.strictEqual(second, "me@example.com")
        assert.strictEqual(refreshes(), 1)
        // Much later, both still have the grant: the stored refresh token is the one that the server issued last.
        server.expireAccessTokens()
        for (const process of [other, one]) yield* Effect.provideContext(ask(connection), process)
        assert.strictEqual(refreshes(), 2)
      }).pipe(Effect.scoped)
    )

    it.live("a dry run, a sync and a change of the connection may all refresh", () =>
      Effect.gen(function* () {
        const [one, other] = yield* processes(layer)
        const { connection, refreshes } = yield* Effect.provideContext(scene, one)
        const task = { force: false, forceIds: [], dryRun: false }
        const all = [
          Effect.provideContext(
            Engine.use((engine) => engine.sync(connection, task, { spec: "", wait: true })),
            one
          ),
          Effect.provideContext(
            Engine.use((engine) => engine.sync(connection, { ...task, dryRun: true }, { spec: "", wait: true })),
            other
          )
        ]
        const change = Engine.use((engine) =>
          engine.connect({
            domain: "gmail",
            name: "me",
            config: undefined,
            credentials: undefined,
            every: undefined
          })
        )
        const [results] = yield* Effect.all(
          [Effect.all(all, { concurrency: "unbounded" }), Effect.provideContext(change, other)],
          { concurrency: "unbounded" }
        )
        // The change took a new fence: the sync may have begun again, or ended as superseded, but must not fail because
        // of its grant.
        for (const { error } of results) assert.notStrictEqual(error?.reason, "Unauthorized", error?.message)
        assert.strictEqual(refreshes(), 1)
        const { refreshToken } = yield* Effect.provideContext(stored(connection), one)
        assert.notStrictEqual(refreshToken, "first")
      }).pipe(Effect.scoped)
    )

    it.live("what was opened before a connection moved takes none of its new credentials to the old address", () =>
      Effect.gen(function* () {
        const [one] = yield* processes(layer)
        const { connection, server } = yield* Effect.provideContext(scene, one)
        server.expireAccessTokens()
        const elsewhere = yield* GmailServer.make()
        elsewhere.grant("second")
        const move = Engine.use((engine) =>
          engine.connect({
            domain: "gmail",
            name: "me",
            config: { rootUrl: elsewhere.url },
            credentials: { clientId: "client", clientSecret: "another s3cret", refreshToken: "second" },
            every: undefined
          })
        )
        yield* Effect.provideContext(move, one)
        server.seen.length = 0
        const error = yield* Effect.flip(Effect.provideContext(ask(connection), one))
        assert.match(error.message, /was changed meanwhile/)
        assert.notInclude(
          server.seen.map(({ method }) => method),
          "oauth2.token"
        )
      }).pipe(Effect.scoped)
    )

    it.live("credentials that are forgotten before or during a refresh stay forgotten", () =>
      Effect.gen(function* () {
        const [one, other] = yield* processes(layer)
        const { connection, refreshes, server } = yield* Effect.provideContext(scene, one)
        const disconnect = Effect.provideContext(
          Effect.flatMap(WholeStore, (store) => store.disconnect(connection.id, false)),
          other
        )
        yield* duringRefresh(server, Effect.provideContext(ask(connection), one), disconnect)
        const store = yield* Effect.provideContext(WholeStore, one)
        assert.isNull(Option.getOrThrow(yield* store.connection(connection.id)).credentials)
        assert.strictEqual(refreshes(), 1)
        server.expireAccessTokens()
        const error = yield* Effect.flip(Effect.provideContext(ask(connection), one))
        assert.deepInclude(error, { message: "the connection's credentials were forgotten" })
        assert.strictEqual(refreshes(), 1)
      }).pipe(Effect.scoped)
    )

    it.live("credentials that a person gives while a refresh is under way stay", () =>
      Effect.gen(function* () {
        const [one, other] = yield* processes(layer)
        const { connection, server } = yield* Effect.provideContext(scene, one)
        server.grant("by a person")
        const change = Engine.use((engine) =>
          engine.connect({
            domain: "gmail",
            name: "me",
            config: undefined,
            credentials: { accessToken: "token" },
            every: undefined
          })
        )
        yield* duringRefresh(server, Effect.provideContext(ask(connection), one), Effect.provideContext(change, other))
        const { accessToken } = yield* Effect.provideContext(stored(connection), one)
        assert.strictEqual(accessToken, "token")
      }).pipe(Effect.scoped)
    )
  })
}

suite("Memory", Memory.layer)
suite("Postgres", Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provide(Database.layer)))
