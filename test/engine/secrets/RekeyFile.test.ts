import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { randomBytes } from "node:crypto"
import { credentialsContext } from "../../../src/engine/secrets/Vault.ts"
import * as Rekey from "../../../src/engine/secrets/Rekey.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { WholeStore, layer as wholeStoreLayer } from "../../../src/testing/WholeStore.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { newKey, noEnvironment, connect, connectMany, open, tokens, rekey } from "./rekeyFixture.ts"

describe("rekeying with the key in a file", () => {
  const keyFile = Effect.map(
    Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
    (folder) => `${folder}/secret.key`
  )

  const vaultAt = (path: string) =>
    Effect.map(Layer.build(Layer.fresh(Vault.layerKeyFile(path))), (context) => Context.get(context, Vault.Vault))

  const files = (path: string) =>
    FileSystem.FileSystem.use((fs) =>
      Effect.map(fs.readDirectory(path.replace("/secret.key", "")), (all) => all.sort())
    )

  /** The files, except those of former keys, which are kept for backups. */
  const filesButKept = (path: string) =>
    Effect.map(files(path), (all) => all.filter((name) => !/\.[0-9a-f]{16}$/.test(name)))

  const services = Layer.mergeAll(NodeServices.layer, Memory.layer, noEnvironment)

  it.live("makes a new one; a process that runs all the while opens and seals with it", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* keyFile
      const running = yield* vaultAt(path)
      const connections = yield* connectMany(3, running)
      const before = yield* fs.readFileString(path)
      const former = (yield* running.keys).current
      // A draft that was left by a killed process.
      yield* fs.writeFileString(`${path}.new.0123456789ab`, "a key")
      const synced: Array<string> = []
      const watched = FileSystem.FileSystem.of({
        ...fs,
        open: (name, options) =>
          Effect.map(fs.open(name, options), (file) => ({
            ...file,
            writeAll: (bytes) => file.writeAll(bytes),
            sync: Effect.tap(file.sync, () => Effect.sync(() => void synced.push(name)))
          }))
      })
      const done = yield* Effect.provideService(
        Effect.provideService(Rekey.rekey(path), Vault.Vault, yield* vaultAt(path)),
        FileSystem.FileSystem,
        watched
      )
      assert.strictEqual(done.resealed, 3)
      // The folder is synced twice: for the new file before anything is sealed with the new key, and for the former
      // key's file at the end.
      assert.lengthOf(
        synced.filter((name) => path === `${name}/secret.key`),
        2
      )
      assert.deepStrictEqual(done.kept, [`${path}.${former}`])
      assert.strictEqual(yield* fs.readFileString(`${path}.${former}`), before)
      assert.strictEqual((yield* fs.stat(`${path}.${former}`)).mode & 0o777, 0o600)
      assert.deepStrictEqual(yield* files(path), ["secret.key", `secret.key.${former}`])
      assert.notStrictEqual(yield* fs.readFileString(path), before)
      assert.strictEqual((yield* fs.stat(path)).mode & 0o777, 0o600)
      assert.deepStrictEqual(yield* filesButKept(path), ["secret.key"])
      assert.deepStrictEqual(yield* open(running), tokens(connections))
      const sealed = yield* running.seal("later", "test")
      assert.strictEqual(Vault.keyIdOf(sealed), done.key)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("keeps the old key's file as long as anything is left that could not be opened", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const path = yield* keyFile
      const running = yield* vaultAt(path)
      yield* connect("fine", running)
      const damaged = yield* connect("damaged", running)
      const bytes = new Uint8Array(damaged.credentials ?? [])
      bytes[40] = (bytes[40] ?? 0) ^ 1
      yield* store.updateConnection(damaged.id, { credentials: bytes })
      const done = yield* rekey(yield* vaultAt(path), path)
      assert.deepStrictEqual([done.resealed, done.retired], [1, []])
      assert.deepStrictEqual(yield* files(path), ["secret.key", "secret.key.old"])
      // After reconnecting, the credentials are sealed with the new key, and the old key may be removed.
      const { domain, account } = damaged
      const again = yield* (yield* vaultAt(path)).seal("again", credentialsContext({ domain, account }))
      yield* store.updateConnection(damaged.id, { credentials: again })
      yield* rekey(yield* vaultAt(path), path)
      assert.deepStrictEqual(yield* filesButKept(path), ["secret.key"])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("cut short anywhere, it loses nothing, and is finished when it is begun again", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const store = yield* WholeStore
      const path = yield* keyFile
      const connections = yield* connectMany(5, yield* vaultAt(path))
      const stop = new StoreError({ message: "killed", cause: "killed" })
      /** A process that dies before call number `calls` of the store's methods for rekeying. */
      const killedAfter = (calls: number): WholeStore => {
        let left = calls
        const or = <A>(work: Effect.Effect<A, StoreError>) =>
          Effect.suspend(() => ((left -= 1) < 0 ? Effect.fail(stop) : work))
        return {
          ...store,
          admitKey: (id) => or(store.admitKey(id)),
          sealedByOtherKeys: (id, options) => or(store.sealedByOtherKeys(id, options)),
          replaceSealed: (place, now, next) => or(store.replaceSealed(place, now, next)),
          retireKey: (id) => or(store.retireKey(id))
        }
      }
      let finished = false
      for (let calls = 0; !finished; calls += 1) {
        const keys = new Set([(yield* (yield* vaultAt(path)).keys).current])
        const exit = yield* Effect.exit(
          Effect.provide(rekey(yield* vaultAt(path), path), wholeStoreLayer(killedAfter(calls)))
        )
        finished = exit._tag === "Success"
        assert.deepStrictEqual(yield* open(yield* vaultAt(path)), tokens(connections))
        yield* rekey(yield* vaultAt(path), path)
        assert.deepStrictEqual(yield* filesButKept(path), ["secret.key"])
        assert.deepStrictEqual(yield* open(yield* vaultAt(path)), tokens(connections))
        assert.isFalse(keys.has((yield* (yield* vaultAt(path)).keys).current))
      }
      // The state in the middle of changing the files: the new key exists; the old key has both names, or only its own.
      yield* fs.copyFile(path, `${path}.new`)
      yield* fs.writeFileString(`${path}.new`, `${randomBytes(32).toString("base64")}\n`)
      yield* rekey(yield* vaultAt(path), path)
      yield* fs.writeFileString(`${path}.new`, `${randomBytes(32).toString("base64")}\n`)
      yield* fs.link(path, `${path}.old`)
      yield* rekey(yield* vaultAt(path), path)
      assert.deepStrictEqual(yield* filesButKept(path), ["secret.key"])
      assert.deepStrictEqual(yield* open(yield* vaultAt(path)), tokens(connections))
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("several concurrent rekeys use the same new key, and lose nothing", () =>
    Effect.gen(function* () {
      const path = yield* keyFile
      const connections = yield* connectMany(5, yield* vaultAt(path))
      const vaults = yield* Effect.forEach(Array.from({ length: 4 }), () => vaultAt(path))
      yield* Effect.forEach(vaults, (vault) => rekey(vault, path), { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* filesButKept(path), ["secret.key"])
      assert.deepStrictEqual(yield* open(yield* vaultAt(path)), tokens(connections))
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("where IDEM_SECRET_KEY is set everything is sealed with that, and the file is kept under its id", () =>
    Effect.gen(function* () {
      const path = yield* keyFile
      const connections = yield* connectMany(2, yield* vaultAt(path))
      const environment = ConfigProvider.layer(
        ConfigProvider.fromEnv({ env: { IDEM_SECRET_KEY: randomBytes(32).toString("base64") } })
      )
      const given = Effect.gen(function* () {
        const vault = yield* vaultAt(path)
        assert.strictEqual((yield* Effect.provideService(Rekey.rekey(path), Vault.Vault, vault)).resealed, 2)
        assert.deepStrictEqual(yield* filesButKept(path), [])
        assert.deepStrictEqual(yield* open(yield* vaultAt(path)), tokens(connections))
      })
      yield* Effect.provide(given, environment)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.effect("without a file both keys must be given", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(rekey(yield* Vault.make(newKey())))
      assert.match(error.message, /IDEM_SECRET_KEY_OLD/)
    }).pipe(Effect.provide(Memory.layer))
  )
})
