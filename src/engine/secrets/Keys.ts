/**
 * The keys that secrets are sealed with: the current key seals and opens, former keys only open.
 *
 * The keys come from `IDEM_SECRET_KEY` and `IDEM_SECRET_KEY_OLD` (former keys, separated by commas), or from files
 * beside the data: `secret.key`, and `secret.key.old` while `idem rekey` replaces it.
 */
import * as Config from "effect/Config"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Hex from "effect/encoding/Hex"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { basename, dirname, join } from "node:path"
import { explainPlatform } from "../SystemErrors.ts"

/**
 * The sealed bytes can't be opened (no key of this process fits, or they were changed), or this process has no usable
 * key.
 */
export class VaultError extends Schema.TaggedError<VaultError>()("VaultError", {
  message: Schema.String,
  /** The name of the setting that is wrong, if a setting is the cause. */
  setting: Schema.optionalKey(Schema.String)
}) {}

/** A key of 32 bytes, redacted so that it is never printed. */
export type VaultKey = Redacted.Redacted<Uint8Array>

export interface Keyring {
  readonly current: VaultKey
  readonly former: ReadonlyArray<VaultKey>
}

const keyLength = 32

const howToMake = "make one with `openssl rand -base64 32`, and keep a copy: without it the credentials can't be read"

const sameKey = (one: VaultKey, other: VaultKey): boolean =>
  Hex.encode(Redacted.value(one)) === Hex.encode(Redacted.value(other))

/** Decodes a key of 32 bytes from base64 (either alphabet) or hex. No error contains the text. */
const parse = (text: string, name: string): Effect.Effect<VaultKey, VaultError> => {
  const trimmed = text.trim()
  const decoders = [Hex.decode, Base64.decode, Base64Url.decode]
  const bytes = decoders.flatMap((decode) => Result.getOrElse(Result.map(decode(trimmed), Array.of), () => []))
  const key = bytes.find((bytes) => bytes.length === keyLength)
  return key === undefined
    ? Effect.fail(new VaultError({ setting: name, message: `${name} is not 32 bytes as base64 or hex: ${howToMake}` }))
    : Effect.succeed(Redacted.make(key, { label: "VaultKey" }))
}

/** Reads the text of a setting; empty if it is not set. */
const setting = (name: string) =>
  Config.option(Config.Redacted(name)).pipe(
    Effect.map(Option.match({ onNone: () => "", onSome: (text) => Redacted.value(text).trim() })),
    Effect.mapError((error) => new VaultError({ message: `${name} can't be read: ${error.message}` }))
  )

/** The key of `IDEM_SECRET_KEY`; undefined if it is not set or empty. */
const currentOfConfig = Effect.gen(function* () {
  const text = yield* setting("IDEM_SECRET_KEY")
  return text === "" ? undefined : yield* parse(text, "IDEM_SECRET_KEY")
})

const formerOfConfig = Effect.gen(function* () {
  const texts = (yield* setting("IDEM_SECRET_KEY_OLD")).split(",").filter((text) => text.trim() !== "")
  return yield* Effect.forEach(texts, (text) => parse(text, "IDEM_SECRET_KEY_OLD"))
})

/** The keys of `IDEM_SECRET_KEY` and `IDEM_SECRET_KEY_OLD`. Fails if `IDEM_SECRET_KEY` is not set. */
export const ofConfig: Effect.Effect<Keyring, VaultError> = Effect.gen(function* () {
  const current = yield* currentOfConfig
  if (current === undefined) {
    return yield* new VaultError({
      setting: "IDEM_SECRET_KEY",
      message: `IDEM_SECRET_KEY, the key that the credentials are sealed with, is not set: ${howToMake}`
    })
  }
  return { current, former: yield* formerOfConfig }
})

const failed = (what: string) => (error: PlatformError.PlatformError) =>
  new VaultError({ message: `${what}: ${explainPlatform(error)}` })

const ignoring =
  (tag: PlatformError.PlatformError["reason"]["_tag"]) =>
  (effect: Effect.Effect<void, PlatformError.PlatformError>): Effect.Effect<void, PlatformError.PlatformError> =>
    Effect.catchIf(
      effect,
      (error) => error.reason._tag === tag,
      () => Effect.void
    )

/**
 * Writes a new random key to `path` (mode 0600), atomically, unless the file exists. If two processes do so at the same
 * time, the first key is kept.
 */
const makeFile = Effect.fnUntraced(function* (path: string) {
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
    ignoring("AlreadyExists"),
    Effect.ensuring(Effect.ignore(fs.remove(draft, { force: true }))),
    Effect.mapError(failed(`the key file ${path} can't be made`))
  )
}, Effect.provide(SecureRandom.layerWebCrypto))

const readFile = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(path).pipe(
    Effect.asSome,
    Effect.catchIf(
      (error) => error.reason._tag === "NotFound",
      () => Effect.succeedNone
    ),
    Effect.mapError(failed(`the key file ${path} can't be read`))
  )
  return Option.isNone(text) ? undefined : yield* parse(text.value, path)
})

/** Without this sync, a crash of the machine could lose the creation or renaming of a file. */
const syncFolder = (path: string) =>
  FileSystem.FileSystem.use((fs) =>
    Effect.scoped(Effect.flatMap(fs.open(dirname(path)), (folder) => folder.sync)).pipe(
      Effect.mapError(failed(`the folder of ${path} can't be written to the disk`))
    )
  )

/** Removes the draft key files of killed processes. Nothing was sealed with these keys. */
const clearDrafts = Effect.fnUntraced(
  function* (path: string) {
    const fs = yield* FileSystem.FileSystem
    const isDraft = (name: string) => name.startsWith(`${basename(path)}.`) && /\.[0-9a-f]{12}$/.test(name)
    const names = (yield* fs.readDirectory(dirname(path))).filter(isDraft)
    yield* Effect.forEach(names, (name) => fs.remove(join(dirname(path), name), { force: true }), { discard: true })
  },
  Effect.mapError(failed("the temporary file of a key can't be removed"))
)

const oldPath = (path: string) => `${path}.old`

/**
 * Returns the key of `IDEM_SECRET_KEY` if it is set; then the keys of the files are former keys. Otherwise returns the
 * key of the file, which is created if it does not exist.
 */
export const ofFiles = Effect.fnUntraced(function* (path: string) {
  const given = yield* currentOfConfig
  if (given === undefined && (yield* readFile(path)) === undefined) yield* makeFile(path)
  // Read in this order, because `rotate` writes the old key's file before it replaces the current one.
  const filed = yield* readFile(path)
  const old = yield* readFile(oldPath(path))
  const current = given ?? filed
  if (current === undefined) return yield* new VaultError({ message: `the key file ${path} was removed meanwhile` })
  const former = [...(yield* formerOfConfig), filed, old].filter((key) => key !== undefined)
  return { current, former: former.filter((key) => !sameKey(key, current)) } satisfies Keyring
})

/**
 * Writes a new key to `path`, and keeps the previous key beside it. Continues an unfinished rotation instead of making
 * another key. After a crash at any point, every key that may have sealed something is in a file.
 */
export const rotateFile = Effect.fnUntraced(function* (path: string) {
  // If `IDEM_SECRET_KEY` is set, the person who sets it replaces the key.
  if ((yield* currentOfConfig) !== undefined) return
  const fs = yield* FileSystem.FileSystem
  const next = `${path}.new`
  const current = yield* readFile(path)
  const old = yield* readFile(oldPath(path))
  const isUnderWay = current !== undefined && old !== undefined && !sameKey(current, old)
  if (!isUnderWay) {
    yield* clearDrafts(path)
    yield* makeFile(next)
    yield* fs
      .link(path, oldPath(path))
      .pipe(
        ignoring("AlreadyExists"),
        Effect.andThen(fs.rename(next, path)),
        ignoring("NotFound"),
        Effect.mapError(failed(`the key file ${path} can't be replaced`))
      )
  }
  yield* syncFolder(path)
})

/**
 * Renames the files of former keys to `secret.key.<id>`, and returns their paths: older backups need them. Call this
 * only when nothing can be sealed with these keys any more.
 */
export const endRotation = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const given = yield* currentOfConfig
  const filed = yield* readFile(path)
  const isOther = given !== undefined && filed !== undefined && !sameKey(given, filed)
  const kept: Array<string> = []
  for (const each of [oldPath(path), ...(isOther ? [path] : [])]) {
    const key = yield* readFile(each)
    if (key === undefined) continue
    const to = `${path}.${createHash("sha256").update(Redacted.value(key)).digest("hex").slice(0, 16)}`
    yield* fs.rename(each, to).pipe(Effect.mapError(failed(`${each}, the former key, can't be renamed`)))
    kept.push(to)
  }
  yield* fs
    .remove(`${path}.new`, { force: true })
    .pipe(Effect.mapError(failed("the file of a key that is not used can't be removed")))
  yield* syncFolder(path)
  return kept
})
