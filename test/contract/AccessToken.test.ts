/** The access token of credentials: when it is used, when it is refreshed, and by whom. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import * as AccessToken from "../../src/contract/AccessToken.ts"
import { Forbidden, IntegrationError, Unauthorized } from "../../src/contract/IntegrationError.ts"

interface Credentials {
  readonly token?: string | undefined
  readonly expiresAt?: DateTime.Utc | undefined
  /** False for credentials that can't be refreshed. */
  readonly lasts?: boolean
}

const refused = new IntegrationError({ reason: new Unauthorized({ message: "refused" }) })

/** Credentials of this process, beside the stored ones that every process refreshes. */
const makeTokens = (credentials: Credentials, stored: Credentials = credentials) => {
  const store = { stored, asked: 0, refreshes: 0 }
  const access = AccessToken.make<Credentials>({
    credentials,
    margin: "1 minute",
    refreshCredentials: (refresh) =>
      Effect.tap(
        Effect.andThen(
          Effect.yieldNow,
          Effect.suspend(() => {
            store.asked += 1
            return refresh(store.stored)
          })
        ),
        (next) => Effect.sync(() => void (store.stored = next))
      ),
    tokenOf: ({ expiresAt, token }) => ({ token: token === undefined ? undefined : Redacted.make(token), expiresAt }),
    refresh: ({ lasts }) =>
      lasts === true ? undefined : Effect.sync(() => ({ token: `new ${++store.refreshes}` }) satisfies Credentials)
  })
  return { store, token: Effect.map(access.token, Redacted.value), access }
}

const inSeconds = (seconds: number) => Effect.map(DateTime.now, (now) => DateTime.add(now, { seconds }))

describe("an access token", () => {
  it.effect("is used until the margin before its end, and then a new one is", () =>
    Effect.gen(function* () {
      const { token } = makeTokens({ token: "first", expiresAt: yield* inSeconds(120) })
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* token, "first")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* token, "new 1")
      // The new token has no end.
      yield* TestClock.adjust("365 days")
      assert.strictEqual(yield* token, "new 1")
    })
  )

  it.effect("is refreshed once for all requests that wait for it", () =>
    Effect.gen(function* () {
      const { access, store, token } = makeTokens({})
      assert.deepStrictEqual(yield* Effect.all([token, token, token], { concurrency: "unbounded" }), [
        "new 1",
        "new 1",
        "new 1"
      ])
      const replaced = access.replace(Redacted.make("new 1"), refused).pipe(Effect.map(Redacted.value))
      assert.deepStrictEqual(yield* Effect.all([replaced, replaced], { concurrency: "unbounded" }), ["new 2", "new 2"])
      assert.deepInclude(store, { asked: 2, refreshes: 2 })
    })
  )

  it.effect("that another process has stored is used in place of a refused one, unless it ends too", () =>
    Effect.gen(function* () {
      const replacement = (stored: Credentials) => {
        const { access, store } = makeTokens({ token: "first" }, stored)
        return Effect.map(access.replace(Redacted.make("first"), refused), (next) => [
          Redacted.value(next),
          store.refreshes
        ])
      }
      assert.deepStrictEqual(yield* replacement({ token: "second" }), ["second", 0])
      assert.deepStrictEqual(yield* replacement({ token: "second", expiresAt: yield* inSeconds(61) }), ["second", 0])
      assert.deepStrictEqual(yield* replacement({ token: "second", expiresAt: yield* inSeconds(60) }), ["new 1", 1])
      assert.deepStrictEqual(yield* replacement({ token: "first" }), ["new 1", 1])
      assert.deepStrictEqual(yield* replacement({}), ["new 1", 1])
      // A person has stored a token that can't be refreshed.
      assert.deepStrictEqual(yield* replacement({ token: "second", lasts: true }), ["second", 0])
      assert.deepStrictEqual(yield* replacement({ token: "first", lasts: true }), ["first", 0])
    })
  )

  it.effect("that can't be refreshed is given up with the source's error, or with advice if there is none", () =>
    Effect.gen(function* () {
      const { access, store } = makeTokens({ token: "first", lasts: true })
      assert.strictEqual(yield* Effect.flip(access.replace(Redacted.make("first"), refused)), refused)
      assert.strictEqual(store.refreshes, 0)
      const { reason } = yield* Effect.flip(makeTokens({ lasts: true }).token)
      const message = "the credentials hold no access token: give new ones, or sign in"
      assert.deepStrictEqual(reason, new Unauthorized({ message }))
    })
  )
})

describe("a request with an access token", () => {
  it.effect("is made once more with another token if the source refuses the first, and no third time", () =>
    Effect.gen(function* () {
      const { access } = makeTokens({ token: "first" })
      const used: Array<string> = []
      const request = (error: IntegrationError) =>
        Effect.flip(
          AccessToken.withToken(access, (token) => {
            used.push(Redacted.value(token))
            return Effect.fail(error)
          })
        )
      assert.strictEqual(yield* request(refused), refused)
      assert.deepStrictEqual(used, ["first", "new 1"])
      const forbidden = new IntegrationError({ reason: new Forbidden({ message: "not yours" }) })
      assert.strictEqual(yield* request(forbidden), forbidden)
      assert.deepStrictEqual(used, ["first", "new 1", "new 1"])
    })
  )
})
