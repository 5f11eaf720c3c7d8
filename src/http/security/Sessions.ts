/**
 * Sessions of browsers: a cookie that this server, or another of the same token, made at most 7 days ago. It holds the
 * time of its end and an HMAC-SHA256 over it, under a key that scrypt makes of the token: nothing is stored, a restart
 * ends no session, and another token ends all of them.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"

/** How long a session lasts. */
export const duration = Duration.days(7)

const name = "idem-session"

/** The cookie's name. A browser takes `__Host-` only over https, with no domain, for the whole of this host. */
export const cookieName = (secure: boolean): string => (secure ? `__Host-${name}` : name)

/** True if both are the same, in a time that does not tell where they differ. */
export const same = (left: string, right: string): boolean =>
  Crypto.timingSafeEqual(
    Crypto.createHash("sha256").update(left).digest(),
    Crypto.createHash("sha256").update(right).digest()
  )

// A cookie must not make a guess at a weak token cheap.
const keyOf = (token: Redacted.Redacted<string>): Effect.Effect<Buffer> =>
  Effect.callback((resume) =>
    Crypto.scrypt(Redacted.value(token), "idem/session/1", 32, (error, key) =>
      resume(error === null ? Effect.succeed(key) : Effect.die(error))
    )
  )

export interface Sessions {
  readonly make: Effect.Effect<string>
  readonly isValid: (cookie: string) => Effect.Effect<boolean>
}

export const make = Effect.fnUntraced(function* (token: Redacted.Redacted<string>): Effect.fn.Return<Sessions> {
  const key = yield* keyOf(token)
  const sign = (until: string) => Crypto.createHmac("sha256", key).update(until).digest("base64url")
  return {
    make: Effect.map(Clock.currentTimeMillis, (now) => {
      const until = String(now + Duration.toMillis(duration))
      return `${until}.${sign(until)}`
    }),
    isValid: (cookie) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const [, until, signature] = /^(\d{1,15})\.([\w-]{43})$/.exec(cookie) ?? []
        return until !== undefined && signature !== undefined && same(signature, sign(until)) && now < Number(until)
      })
  }
})
