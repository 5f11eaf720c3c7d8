/**
 * The access token of credentials that can be refreshed. A token is used until shortly before it expires. Refreshes are
 * single-flight: one fiber at a time refreshes, and `refreshCredentials` serializes the processes. A new token is used
 * only once it is stored, because the provider may have replaced the refresh token with it.
 */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Semaphore from "effect/Semaphore"
import type { RefreshCredentials } from "./Integration.ts"
import { IntegrationError, Unauthorized } from "./IntegrationError.ts"

/** The token that each request carries. */
export interface AccessToken {
  readonly token: Effect.Effect<Redacted.Redacted, IntegrationError>
  /**
   * Returns another token after the source refused this one: the token that was stored meanwhile, or a refreshed one.
   * Fails with `error` if the credentials cannot be refreshed.
   */
  readonly replace: (
    refused: Redacted.Redacted,
    error: IntegrationError
  ) => Effect.Effect<Redacted.Redacted, IntegrationError>
}

/** Makes a request with the access token. If the source refuses the token, makes the request once more with another. */
export const withToken = <A, R>(
  { replace, token }: AccessToken,
  request: (token: Redacted.Redacted) => Effect.Effect<A, IntegrationError, R>
): Effect.Effect<A, IntegrationError, R> =>
  Effect.flatMap(token, (first) =>
    Effect.catchIf(
      request(first),
      ({ reason }) => reason._tag === "Unauthorized",
      (error) => Effect.flatMap(replace(first, error), request)
    )
  )

/** The access token that the credentials hold. Without `expiresAt`, the token is used until the source refuses it. */
export interface StoredToken {
  readonly token: Redacted.Redacted | undefined
  readonly expiresAt?: DateTime.Utc | undefined
}

/**
 * Manages the access token of these credentials. `margin` is how long before its expiry a token is replaced: a request
 * that waits for quota arrives later than it was made. `refresh` returns undefined for credentials that cannot be
 * refreshed.
 */
export const make = <Credentials>(options: {
  readonly credentials: Credentials
  readonly refreshCredentials: RefreshCredentials<Credentials>
  readonly margin: Duration.Input
  readonly tokenOf: (credentials: Credentials) => StoredToken
  readonly refresh: (credentials: Credentials) => Effect.Effect<Credentials, IntegrationError> | undefined
}): AccessToken => {
  let current = options.credentials
  const lock = Semaphore.makeUnsafe(1)

  /** The token of these credentials, unless it is about to expire. */
  const usable = (credentials: Credentials) =>
    Effect.map(DateTime.now, (now) => {
      const { expiresAt, token } = options.tokenOf(credentials)
      const isFresh =
        expiresAt === undefined || DateTime.isLessThan(DateTime.addDuration(now, options.margin), expiresAt)
      return isFresh ? token : undefined
    })

  /** A token other than `refused`: the current one, the one that is stored by now, or a refreshed one. */
  const renewed = (refused: Redacted.Redacted | undefined) =>
    Effect.gen(function* () {
      const isOther = (token: Redacted.Redacted | undefined): token is Redacted.Redacted =>
        token !== undefined && (refused === undefined || Redacted.value(token) !== Redacted.value(refused))
      const token = yield* usable(current)
      if (isOther(token)) return token
      current = yield* options.refreshCredentials(
        Effect.fnUntraced(function* (stored) {
          if (isOther(yield* usable(stored))) return stored
          // A person may have stored a token that cannot be refreshed: use that token as it is.
          return yield* options.refresh(stored) ?? Effect.succeed(stored)
        })
      )
      const next = options.tokenOf(current).token
      if (next !== undefined) return next
      const message = "the credentials hold no access token: give new ones, or sign in"
      return yield* new IntegrationError({ reason: new Unauthorized({ message }) })
    }).pipe(lock.withPermit)

  return {
    token: renewed(undefined),
    replace: (refused, error) =>
      Effect.suspend(() => (options.refresh(current) === undefined ? Effect.fail(error) : renewed(refused)))
  }
}
