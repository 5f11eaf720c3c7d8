import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import { runs } from "../../support/Property.ts"

const newKey = () => randomBytes(32)
const vaultOf = (key: Uint8Array) => Vault.make(Redacted.make(key))
const withEnv = (env: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(ConfigProvider.fromEnv({ env: { ...env } }))
const secretLayer = (key: string) => Vault.layer.pipe(Layer.provide(withEnv({ IDEM_SECRET_KEY: key })))

/** Seals with one vault and opens with the other. Fails unless both have the same key. */
const share = (one: Vault.Vault["Service"], other: Vault.Vault["Service"]) =>
  Effect.flatMap(one.seal("x", "test"), (sealed) => other.unseal(sealed, "test"))

describe("Vault", () => {
  it.effect.prop(
    "opens what it sealed, whatever the secret and its context",
    [Schema.Json, Schema.String],
    ([secret, context]) =>
      Effect.gen(function* () {
        const vault = yield* vaultOf(newKey())
        const opened = yield* vault.unseal(yield* vault.seal(secret, context), context)
        // JSON has no negative zero.
        assert.deepStrictEqual(JSON.stringify(opened), JSON.stringify(secret))
      }),
    runs()
  )

  it.effect.prop(
    "refuses another context",
    [Schema.String, Schema.String],
    ([one, other]) =>
      Effect.gen(function* () {
        const vault = yield* vaultOf(newKey())
        const sealed = yield* vault.seal({ token: "t" }, one)
        const error = yield* Effect.flip(vault.unseal(sealed, `${one}${other}!`))
        assert.match(error.message, /changed, or belong to something else/)
      }),
    runs()
  )

  it.effect("refuses the bytes with any one bit changed", () =>
    Effect.gen(function* () {
      const vault = yield* vaultOf(newKey())
      const sealed = yield* vault.seal({ token: "s3cret-token" }, "gmail")
      for (let byte = 0; byte < sealed.length; byte++) {
        const changed = sealed.slice()
        changed[byte] = (changed[byte] ?? 0) ^ (1 << (byte % 8))
        const error = yield* Effect.flip(vault.unseal(changed, "gmail"))
        assert.strictEqual(error._tag, "VaultError")
        assert.notInclude(error.message, "s3cret")
      }
    })
  )

  it.effect("refuses the bytes cut short, wherever they are cut", () =>
    Effect.gen(function* () {
      const vault = yield* vaultOf(newKey())
      const sealed = yield* vault.seal({ token: "t" }, "gmail")
      for (let length = 0; length < sealed.length; length++) {
        yield* Effect.flip(vault.unseal(sealed.subarray(0, length), "gmail"))
      }
    })
  )

  it.effect("says when another key sealed the bytes", () =>
    Effect.gen(function* () {
      const sealed = yield* (yield* vaultOf(newKey())).seal({ token: "t" }, "gmail")
      const error = yield* Effect.flip((yield* vaultOf(newKey())).unseal(sealed, "gmail"))
      assert.match(error.message, /sealed with another key \([0-9a-f]{16}\).*IDEM_SECRET_KEY/)
    })
  )

  it.effect("seals the same secret differently each time, and shows nothing of it", () =>
    Effect.gen(function* () {
      const vault = yield* vaultOf(newKey())
      const secret = { token: "xoxb-very-secret" }
      const sealed = yield* Effect.forEach([1, 2, 3], () => vault.seal(secret, "slack"))
      assert.strictEqual(new Set(sealed.map((bytes) => Buffer.from(bytes).toString("hex"))).size, 3)
      for (const bytes of sealed) assert.notInclude(Buffer.from(bytes).toString("latin1"), "secret")
    })
  )

  it.effect("takes one key as hex, as base64 and as base64url", () =>
    Effect.gen(function* () {
      const key = newKey()
      const vault = yield* vaultOf(key)
      for (const encoding of ["hex", "base64", "base64url"] as const) {
        const text = ` ${key.toString(encoding)}\n`
        const other = yield* Vault.Vault.pipe(Effect.provide(secretLayer(text)))
        assert.strictEqual(yield* share(vault, other), "x")
      }
    })
  )

  it.effect("refuses a wrong key without showing it, and says how to make one", () =>
    Effect.gen(function* () {
      for (const key of ["hunter2", "0".repeat(63), Buffer.alloc(31, 7).toString("base64"), "ä".repeat(32)]) {
        const error = yield* Effect.flip(Effect.provide(Vault.Vault, secretLayer(key)))
        assert.match(error.message, /IDEM_SECRET_KEY is not 32 bytes.*openssl rand -base64 32/)
        assert.notInclude(error.message, key)
      }
    })
  )

  it.effect("refuses to do without a key where none is set", () =>
    Effect.gen(function* () {
      for (const env of [{}, { IDEM_SECRET_KEY: "" }]) {
        const error = yield* Effect.flip(Effect.provide(Vault.Vault, Vault.layer.pipe(Layer.provide(withEnv(env)))))
        assert.match(error.message, /IDEM_SECRET_KEY.*is not set.*openssl rand -base64 32/)
      }
    })
  )
})

describe("Vault with a key file", () => {
  const keyFile = Effect.map(
    Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
    (folder) => `${folder}/secret.key`
  )
  const open = (path: string, env: Readonly<Record<string, string>> = {}) =>
    Effect.provide(Vault.Vault, Vault.layerKeyFile(path).pipe(Layer.provide(withEnv(env))), { local: true })

  it.effect("makes a key that only its owner can read, and goes on with it", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* keyFile
      const first = yield* open(path)
      assert.strictEqual((yield* fs.stat(path)).mode & 0o777, 0o600)
      assert.strictEqual(yield* share(first, yield* open(path)), "x")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("makes one key however many ask for it at once, and leaves no drafts", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* keyFile
      const vaults = yield* Effect.forEach(Array.from({ length: 20 }), () => open(path), { concurrency: "unbounded" })
      const [first] = vaults
      assert.isDefined(first)
      for (const vault of vaults) assert.strictEqual(yield* share(first, vault), "x")
      assert.deepStrictEqual(yield* fs.readDirectory(path.replace("/secret.key", "")), ["secret.key"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("lets IDEM_SECRET_KEY win, and then makes no file", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* keyFile
      const key = newKey()
      const vault = yield* open(path, { IDEM_SECRET_KEY: key.toString("hex") })
      assert.strictEqual(yield* share(yield* vaultOf(key), vault), "x")
      assert.isFalse(yield* fs.exists(path))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("refuses a file that holds no key, and leaves it as it is", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* keyFile
      yield* fs.writeFileString(path, "not a key")
      const error = yield* Effect.flip(open(path))
      assert.include(error.message, path)
      assert.notInclude(error.message, "not a key")
      assert.strictEqual(yield* fs.readFileString(path), "not a key")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("says where it could not make a key", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(open("/nowhere/at/all/secret.key"))
      assert.match(error.message, /\/nowhere\/at\/all\/secret\.key can't be made/)
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
