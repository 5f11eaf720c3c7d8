/**
 * Sessions of browsers. The cookie has the session's expiry, 16 random bytes, and an HMAC-SHA256 over both, with a key
 * that scrypt derives from the token. Only sessions that were signed out are stored: a restart ends no session, a new
 * token ends all of them, and every process of a database accepts the same cookies.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import type { SessionStore } from "../../engine/store/SessionStore.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"

/** How long a session lasts. */
export const duration = Duration.days(7)

const name = "idem-session"

/**
 * Returns the cookie's name. Browsers accept `__Host-` only over https, without a domain, for the whole of this host.
 */
export const cookieName = (secure: boolean): string => (secure ? `__Host-${name}` : name)

/** Compares in constant time. */
export const same = (leftSecret: string, rightSecret: string): boolean =>
  Crypto.timingSafeEqual(
    Crypto.createHash("sha256").update(leftSecret).digest(),
    Crypto.createHash("sha256").update(rightSecret).digest()
  )

// scrypt makes it expensive to guess a weak token from a cookie.
const keyOf = (token: Redacted.Redacted<string>): Effect.Effect<Buffer> =>
  Effect.callback((resume) =>
    Crypto.scrypt(Redacted.value(token), "idem/session/1", 32, (error, key) =>
      resume(error === null ? Effect.succeed(key) : Effect.die(error))
    )
  )

interface Sessions {
  readonly make: Effect.Effect<string>
  readonly isValid: (cookie: string) => Effect.Effect<boolean, StoreError>
  /** Signs the session out in every process of the database: its cookie is no longer accepted. */
  readonly end: (cookie: string) => Effect.Effect<void, StoreError>
}

const hashOf = (cookie: string): string => Crypto.createHash("sha256").update(cookie).digest("hex")

export const make = Effect.fnUntraced(function* (
  token: Redacted.Redacted<string>,
  sessions: SessionStore["Service"]
): Effect.fn.Return<Sessions> {
  const key = yield* keyOf(token)
  const sign = (text: string) => Crypto.createHmac("sha256", key).update(text).digest("base64url")
  /** Returns the milliseconds until this cookie's session expires; 0 for a cookie that was not made with this token. */
  const timeLeft = (cookie: string) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const [, text, until, signature] = /^((\d{1,15})\.[\w-]{22})\.([\w-]{43})$/.exec(cookie) ?? []
      const isOurs = text !== undefined && signature !== undefined && same(signature, sign(text))
      return isOurs ? Math.max(0, Number(until) - now) : 0
    })
  return {
    make: Effect.map(Clock.currentTimeMillis, (now) => {
      const text = `${now + Duration.toMillis(duration)}.${Crypto.randomBytes(16).toString("base64url")}`
      return `${text}.${sign(text)}`
    }),
    isValid: (cookie) =>
      Effect.flatMap(timeLeft(cookie), (left) =>
        left === 0 ? Effect.succeed(false) : Effect.map(sessions.isSessionEnded(hashOf(cookie)), (ended) => !ended)
      ),
    end: (cookie) =>
      Effect.flatMap(timeLeft(cookie), (left) =>
        left === 0 ? Effect.void : sessions.endSession(hashOf(cookie), Duration.millis(left))
      )
  }
})
