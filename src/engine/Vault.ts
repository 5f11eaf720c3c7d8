/**
 * Seals credentials before a store sees them.
 *
 * Sealed bytes are: the format (1 byte, now 1), the key's id (8 bytes), a fresh nonce (12 bytes), and what AES-256-GCM
 * made of the secret's JSON, with its tag (16 bytes). The first two and the context are its additional data.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Aead from "effect/crypto/Aead"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Hex from "effect/encoding/Hex"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** Sealed bytes that this key can't open: another key sealed them, or they were changed. Or there is no usable key. */
export class VaultError extends Schema.TaggedError<VaultError>()("VaultError", { message: Schema.String }) {}

export class Vault extends Context.Service<
  Vault,
  {
    /** AES-256-GCM with a fresh nonce; `context` (the purpose) must be given again to unseal. */
    readonly seal: (secret: Schema.Json, context: string) => Effect.Effect<Uint8Array>
    readonly unseal: (sealed: Uint8Array, context: string) => Effect.Effect<Schema.Json, VaultError>
  }
>()("idem/engine/Vault") {}

/** 32 bytes, as their own type so that nothing prints them. */
export type VaultKey = Redacted.Redacted<Uint8Array>

const format = 1
const keyLength = 32
const keyIdLength = 8
const nonceLength = 12
const headLength = 1 + keyIdLength
const overhead = headLength + nonceLength + 16

const Secret = Schema.fromJsonString(Schema.Json)
const howToMake = "make one with `openssl rand -base64 32`, and keep a copy: without it the credentials can't be read"

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

/** A vault of one key. */
export const make = Effect.fnUntraced(function* (secretKey: VaultKey) {
  const aead = yield* Aead.Aead
  const digest = yield* Digest.Digest
  const random = yield* SecureRandom.SecureRandom
  const bytes = Redacted.value(secretKey)
  const key = yield* Effect.orDie(Aead.key(Aead.aes256Gcm, bytes))
  const keyId = (yield* digest.digest(Digest.sha256, bytes)).subarray(0, keyIdLength)
  const head = concat(Uint8Array.of(format), keyId)
  const additional = (context: string) => concat(head, new TextEncoder().encode(context))

  return Vault.of({
    seal: Effect.fnUntraced(function* (secret, context) {
      const nonce = yield* random.randomBytes(nonceLength)
      const plain = new TextEncoder().encode(yield* Effect.orDie(Schema.encodeEffect(Secret)(secret)))
      const sealed = yield* Effect.orDie(aead.encrypt(key, plain, { nonce, aad: additional(context) }))
      return concat(head, nonce, sealed)
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
      const sealedWith = Hex.encode(sealed.subarray(1, headLength))
      if (sealedWith !== Hex.encode(keyId)) {
        return yield* new VaultError({
          message: `the credentials are sealed with another key (${sealedWith}) than the present one (${Hex.encode(keyId)}): set IDEM_SECRET_KEY to the former, or connect again`
        })
      }
      const nonce = sealed.subarray(headLength, headLength + nonceLength)
      const plain = yield* aead
        .decrypt(key, sealed.subarray(headLength + nonceLength), { nonce, aad: additional(context) })
        .pipe(
          Effect.mapError(
            () =>
              new VaultError({
                message: "the sealed credentials were changed, or belong to something else: connect again"
              })
          )
        )
      // The tag has proven that these are the bytes that `seal` was given.
      return yield* Effect.orDie(Schema.decodeUnknownEffect(Secret)(new TextDecoder().decode(plain)))
    })
  })
}, Effect.provide(layerCrypto))

/** Reads a key of 32 bytes as base64 (of either alphabet) or hex. The text is in no error. */
const parseKey = (text: Redacted.Redacted, name: string): Effect.Effect<VaultKey, VaultError> => {
  const trimmed = Redacted.value(text).trim()
  const decoders = [Hex.decode, Base64.decode, Base64Url.decode]
  const bytes = decoders.flatMap((decode) => Result.getOrElse(Result.map(decode(trimmed), Array.of), () => []))
  const key = bytes.find((bytes) => bytes.length === keyLength)
  return key === undefined
    ? Effect.fail(new VaultError({ message: `${name} is not 32 bytes as base64 or hex: ${howToMake}` }))
    : Effect.succeed(Redacted.make(key, { label: "VaultKey" }))
}

/** None where `IDEM_SECRET_KEY` is not set, or empty. */
const keyFromConfig = Effect.gen(function* () {
  const text = yield* Config.option(Config.Redacted("IDEM_SECRET_KEY"))
  if (Option.isNone(text) || Redacted.value(text.value).trim() === "") return Option.none<VaultKey>()
  return Option.some(yield* parseKey(text.value, "IDEM_SECRET_KEY"))
})

/** The key of `IDEM_SECRET_KEY`, without which it refuses. */
export const layer: Layer.Layer<Vault, VaultError | Config.ConfigError> = Layer.effect(
  Vault,
  Effect.gen(function* () {
    const key = yield* keyFromConfig
    if (Option.isNone(key)) {
      return yield* new VaultError({
        message: `IDEM_SECRET_KEY, the key that the credentials are sealed with, is not set: ${howToMake}`
      })
    }
    return yield* make(key.value)
  })
)

const failed = (what: string) => (error: PlatformError.PlatformError) =>
  new VaultError({ message: `${what}: ${error.reason._tag}` })

/**
 * Puts a new random key at `path`, mode 0600, whole or not at all, unless there is one: of two processes that do so at
 * once, the first one's key stays.
 */
const makeKeyFile = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const random = yield* SecureRandom.SecureRandom
  const draft = `${path}.${Hex.encode(yield* random.randomBytes(6))}`
  const write = Effect.gen(function* () {
    const file = yield* fs.open(draft, { flag: "wx", mode: 0o600 })
    yield* file.writeAll(new TextEncoder().encode(`${Base64.encode(yield* random.randomBytes(keyLength))}\n`))
    yield* file.sync
  })
  yield* Effect.scoped(write).pipe(
    Effect.andThen(fs.link(draft, path)),
    Effect.catchIf(
      (error) => error.reason._tag === "AlreadyExists",
      () => Effect.void
    ),
    Effect.ensuring(Effect.ignore(fs.remove(draft, { force: true }))),
    Effect.mapError(failed(`the key file ${path} can't be made`))
  )
}, Effect.provide(SecureRandom.layerWebCrypto))

const keyFromFile = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const read = fs.readFileString(path).pipe(Effect.map((text) => Redacted.make(text)))
  const text = yield* read.pipe(
    Effect.catchIf(
      (error) => error.reason._tag === "NotFound",
      () => Effect.flatMap(makeKeyFile(path), () => read)
    ),
    Effect.catchTag("PlatformError", (error) => Effect.fail(failed(`the key file ${path} can't be read`)(error)))
  )
  return yield* parseKey(text, path)
})

/** The key of `IDEM_SECRET_KEY` where that is set; else that of the file, which is made if it is not there. */
export const layerKeyFile = (
  path: string
): Layer.Layer<Vault, VaultError | Config.ConfigError, FileSystem.FileSystem> =>
  Layer.effect(
    Vault,
    Effect.gen(function* () {
      const given = yield* keyFromConfig
      return yield* make(Option.isSome(given) ? given.value : yield* keyFromFile(path))
    })
  )
