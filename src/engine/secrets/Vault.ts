/**
 * Seals credentials and other secrets before a store sees them.
 *
 * Sealed bytes are the format (1 byte, now 1), the id of the key (8 bytes), a fresh nonce (12 bytes), and the
 * AES-256-GCM ciphertext of the secret's JSON with its tag (16 bytes). The format, the id and the context are the
 * additional data.
 */
import * as Context from "effect/Context"
import * as Aead from "effect/crypto/Aead"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { WebhookId } from "../model/Webhook.ts"
import * as Keys from "./Keys.ts"
import { VaultError, type VaultKey } from "./Keys.ts"

export { VaultError, type VaultKey }

export class Vault extends Context.Service<
  Vault,
  {
    /**
     * Seals with the current key. `unseal` needs the same `context`, which names the purpose. Fails if there is no key.
     */
    readonly seal: (secret: Schema.Json, context: string) => Effect.Effect<Uint8Array, VaultError>
    /** Unseals with the current key or a former one. */
    readonly unseal: (sealed: Uint8Array, context: string) => Effect.Effect<Schema.Json, VaultError>
    /** The ids of the keys (see `keyIdOf`). Fails if there is no current key. */
    readonly keys: Effect.Effect<{ readonly current: string; readonly former: ReadonlyArray<string> }, VaultError>
  }
>()("idem/engine/secrets/Vault") {}

/** The context of sealed credentials. It binds them to the account, so that they cannot be moved to another row. */
export const credentialsContext = (of: { readonly domain: string; readonly account: string }): string =>
  `credentials of ${of.domain} ${of.account}`

/** The context of a pending sign-in, by the hash of its state. */
export const signInContext = (stateHash: string): string => `sign-in ${stateHash}`

/** The context of a webhook's sealed secrets. */
export const webhookContext = (webhookId: WebhookId): string => `webhook ${webhookId}`

const format = 1
const keyIdLength = 8
const nonceLength = 12
const headLength = 1 + keyIdLength
const overhead = headLength + nonceLength + 16

const Secret = Schema.fromJsonString(Schema.Json)

/** Returns the id of the key that sealed these bytes: the first 8 bytes of the key's SHA-256, in hex. */
export const keyIdOf = (sealed: Uint8Array): string => Hex.encode(sealed.subarray(1, headLength))

const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

const layerCrypto = Layer.merge(Aead.layerWebCrypto, Digest.layerWebCrypto).pipe(
  Layer.provideMerge(SecureRandom.layerWebCrypto)
)

/**
 * Makes a vault of the keys that `load` returns. `load` is called for every seal and for every unknown key, because key
 * files may be replaced while this process runs.
 */
const fromKeys = Effect.fnUntraced(function* (load: Effect.Effect<Keys.Keyring, VaultError>) {
  const aead = yield* Aead.Aead
  const digest = yield* Digest.Digest
  const random = yield* SecureRandom.SecureRandom

  const read = Effect.fnUntraced(function* (secretKey: VaultKey) {
    const bytes = Redacted.value(secretKey)
    const key = yield* Effect.orDie(Aead.key(Aead.aes256Gcm, bytes))
    const id = Hex.encode((yield* digest.digest(Digest.sha256, bytes)).subarray(0, keyIdLength))
    return { id, key }
  })
  type Key = Effect.Success<ReturnType<typeof read>>
  const known = new Map<string, Key>()
  const loaded = Effect.gen(function* () {
    const { current, former } = yield* load
    const keys = yield* Effect.forEach([current, ...former], read)
    for (const key of keys) known.set(key.id, key)
    return { current: keys[0], former: keys.slice(1) }
  }).pipe(
    Effect.flatMap(({ current, former }) =>
      current === undefined
        ? Effect.fail(new VaultError({ message: "there is no key" }))
        : Effect.succeed({ current, former })
    )
  )

  const head = (keyId: string) => concat(Uint8Array.of(format), Buffer.from(keyId, "hex"))
  const additional = (keyId: string, context: string) => concat(head(keyId), new TextEncoder().encode(context))

  const keyOf = Effect.fnUntraced(function* (id: string) {
    const found = known.get(id)
    if (found !== undefined) return found.key
    const { current } = yield* loaded
    const key = known.get(id)
    if (key !== undefined) return key.key
    return yield* new VaultError({
      message: `the credentials are sealed with another key (${id}) than the present one (${current.id}): set IDEM_SECRET_KEY to the former, or connect again`
    })
  })

  return Vault.of({
    keys: Effect.map(loaded, ({ current, former }) => ({ current: current.id, former: former.map(({ id }) => id) })),
    seal: Effect.fnUntraced(function* (secret, context) {
      const { current } = yield* loaded
      const nonce = yield* random.randomBytes(nonceLength)
      const plain = new TextEncoder().encode(yield* Effect.orDie(Schema.encodeEffect(Secret)(secret)))
      const sealed = yield* Effect.orDie(
        aead.encrypt(current.key, plain, { nonce, aad: additional(current.id, context) })
      )
      return concat(head(current.id), nonce, sealed)
    }),
    unseal: Effect.fnUntraced(function* (sealed, context) {
      if (sealed.length < overhead) {
        return yield* new VaultError({ message: "the sealed credentials were cut short or damaged: connect again" })
      }
      if (sealed[0] !== format) {
        return yield* new VaultError({
          message: `the credentials are sealed in format ${sealed[0]}, which this version of Idem does not know`
        })
      }
      const sealedWith = keyIdOf(sealed)
      const key = yield* keyOf(sealedWith)
      const nonce = sealed.subarray(headLength, headLength + nonceLength)
      const plain = yield* aead
        .decrypt(key, sealed.subarray(headLength + nonceLength), { nonce, aad: additional(sealedWith, context) })
        .pipe(
          Effect.mapError(
            () =>
              new VaultError({
                message: "the sealed credentials were changed, or belong to something else: connect again"
              })
          )
        )
      // The tag proves that `seal` made these bytes, so a secret that does not decode is a defect.
      return yield* Effect.orDie(Schema.decodeUnknownEffect(Secret)(new TextDecoder().decode(plain)))
    })
  })
}, Effect.provide(layerCrypto))

/** Makes a vault of a current key and of former keys. */
export const make = (current: VaultKey, former: ReadonlyArray<VaultKey> = []) =>
  fromKeys(Effect.succeed({ current, former }))

/** Makes a vault, and fails at once if there is no usable key. */
const checked = (load: Effect.Effect<Keys.Keyring, VaultError>) => Effect.tap(fromKeys(load), (vault) => vault.keys)

/** Uses the keys of `IDEM_SECRET_KEY` and `IDEM_SECRET_KEY_OLD`. Fails if `IDEM_SECRET_KEY` is not set or not a key. */
export const layer: Layer.Layer<Vault, VaultError> = Layer.effect(
  Vault,
  Effect.flatMap(Effect.result(Keys.ofConfig), (keys) => checked(Effect.fromResult(keys)))
)

/**
 * The same as `layer`, but fails only when something is sealed or unsealed. Commands that need no secret work without a
 * key.
 */
export const layerLazy: Layer.Layer<Vault> = Layer.effect(
  Vault,
  Effect.flatMap(Effect.result(Keys.ofConfig), (keys) => fromKeys(Effect.fromResult(keys)))
)

/**
 * Uses the key of `IDEM_SECRET_KEY` if it is set; otherwise the key of the file, which is created if it does not exist.
 */
export const layerKeyFile = (path: string): Layer.Layer<Vault, VaultError, FileSystem.FileSystem> =>
  Layer.effect(
    Vault,
    Effect.gen(function* () {
      const context = yield* Effect.context<FileSystem.FileSystem>()
      return yield* checked(Effect.provideContext(Keys.ofFiles(path), context))
    })
  )
