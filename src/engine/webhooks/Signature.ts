/**
 * Signs the messages of a webhook with its secret, as Standard Webhooks specifies
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md): HMAC-SHA256 of id, time
 * and body, with a key of 24 to 64 bytes, written as `whsec_` and base64.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as DateTime from "effect/DateTime"
import * as Mac from "effect/crypto/Mac"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { UsageError } from "../Engine.ts"
import { Vault, type VaultError, webhookContext } from "../secrets/Vault.ts"
import type { WebhookId } from "../model/Webhook.ts"

const prefix = "whsec_"
const shortest = 24
const longest = 64
const generated = 32

/** The current secret, and the previous one, which also signs until `until`, so that receivers have time to switch. */
const Secrets = Schema.Struct({
  current: Schema.RedactedFromValue(Schema.String),
  previous: Schema.NullOr(
    Schema.Struct({ secret: Schema.RedactedFromValue(Schema.String), until: Schema.DateTimeUtcFromString })
  )
})
export type Secrets = typeof Secrets.Type

const encode = Schema.encodeEffect(Secrets)
const decode = Schema.decodeUnknownEffect(Secrets)

export const seal = Effect.fnUntraced(function* (webhookId: WebhookId, secrets: Secrets) {
  const vault = yield* Vault
  return yield* vault.seal(yield* Effect.orDie(encode(secrets)), webhookContext(webhookId))
})

export const unseal = Effect.fnUntraced(function* (
  webhookId: WebhookId,
  sealed: Uint8Array
): Effect.fn.Return<Secrets, VaultError, Vault> {
  const vault = yield* Vault
  // Only `seal` writes these values, so a failed decoding is a defect.
  return yield* Effect.orDie(decode(yield* vault.unseal(sealed, webhookContext(webhookId))))
})

export const generate: Effect.Effect<Redacted.Redacted> = SecureRandom.SecureRandom.use((random) =>
  Effect.map(random.randomBytes(generated), (bytes) => Redacted.make(`${prefix}${Base64.encode(bytes)}`))
).pipe(Effect.provide(SecureRandom.layerWebCrypto))

const keyBytes = (secret: Redacted.Redacted): Result.Result<Uint8Array, undefined> => {
  const text = Redacted.value(secret)
  const bytes = text.startsWith(prefix) ? Base64.decode(text.slice(prefix.length)) : Result.fail(undefined)
  return Result.filterOrFail(
    Result.mapError(bytes, () => undefined),
    ({ length }) => length >= shortest && length <= longest,
    () => undefined
  )
}

/** Fails if the secret does not have this form. The message does not repeat the secret. */
export const check = (secret: Redacted.Redacted): Effect.Effect<Redacted.Redacted, UsageError> =>
  Result.isSuccess(keyBytes(secret))
    ? Effect.succeed(secret)
    : Effect.fail(
        new UsageError({
          message: `secret: it must be ${prefix} and ${shortest} to ${longest} bytes as base64, or left out`
        })
      )

const sign = Effect.fnUntraced(function* (secret: Redacted.Redacted, content: Uint8Array) {
  const mac = yield* Mac.Mac
  const bytes = yield* Effect.orDie(Effect.fromResult(keyBytes(secret)))
  const key = yield* Effect.orDie(Mac.key(Mac.hmacSha256, bytes))
  return `v1,${Base64.encode(yield* Effect.orDie(mac.sign(key, content)))}`
}, Effect.provide(NodeCrypto.layerMac))

/** Returns the three signature headers of a message that is sent now. */
export const headers = Effect.fnUntraced(function* (secrets: Secrets, messageId: string, body: string) {
  const now = yield* DateTime.now
  const timestamp = String(Math.floor(now.epochMilliseconds / 1000))
  const content = new TextEncoder().encode(`${messageId}.${timestamp}.${body}`)
  const { current, previous } = secrets
  const signing = previous !== null && DateTime.isLessThan(now, previous.until) ? [current, previous.secret] : [current]
  const signatures = yield* Effect.forEach(signing, (secret) => sign(secret, content))
  return {
    "webhook-id": messageId,
    "webhook-timestamp": timestamp,
    "webhook-signature": signatures.join(" ")
  }
})
