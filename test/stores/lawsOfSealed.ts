/** The laws of sealed values, of sign-ins in progress, of sessions, and of locks. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomBytes } from "node:crypto"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { connect, take, Time } from "./scenario.ts"

/** Returns bytes in the form of a vault with this key. */
const sealedWith = (keyId: string, text = "secret") =>
  new Uint8Array(Buffer.concat([Buffer.from([1]), Buffer.from(keyId, "hex"), Buffer.from(text)]))

const newKeyId = () => randomBytes(8).toString("hex")
const newState = () => randomBytes(32).toString("hex")

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: what is sealed`, (it) => {
    const pass = (by: Duration.Duration) => Time.use((time) => time.pass(by))

    /** Makes a connection whose credentials are sealed with this key. */
    const connected = Effect.fnUntraced(function* (keyId: string) {
      const store = yield* WholeStore
      const { id } = yield* connect()
      yield* store.updateConnection(id, { credentials: sealedWith(keyId) })
      return id
    })

    it.effect("an ended session is ended for the time that it had left, and no other is", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const [ended, other] = [newState(), newState()]
        assert.isFalse(yield* store.isSessionEnded(ended))
        yield* store.endSession(ended, Duration.days(7))
        yield* store.endSession(ended, Duration.days(7))
        assert.isTrue(yield* store.isSessionEnded(ended))
        assert.isFalse(yield* store.isSessionEnded(other))
        yield* pass(Duration.days(6))
        yield* store.endSession(other, Duration.days(1))
        assert.isTrue(yield* store.isSessionEnded(ended))
        yield* pass(Duration.days(2))
        assert.isFalse(yield* store.isSessionEnded(ended))
      })
    )

    it.effect("the secrets that another key sealed are listed once, page by page, with their owners", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const [old, current] = [newKeyId(), newKeyId()]
        const ids = [yield* connected(old), yield* connected(old), yield* connected(old)]
        const sealedNow = yield* connected(current)
        const state = newState()
        const ttl = Duration.minutes(10)
        yield* store.putSignIn({ stateHash: state, sealed: sealedWith(old), ttl, atMost: 10 })
        const found: Array<string> = []
        let after: { readonly kind: "connection" | "sign-in" | "webhook"; readonly id: string } | undefined
        do {
          const rows = yield* store.sealedByOtherKeys(current, { after, limit: 2 })
          assert.isAtMost(rows.length, 2)
          for (const row of rows) {
            found.push(`${row.kind} ${row.id}`)
            if (row.kind !== "connection" || !ids.some((id) => id === row.id)) continue
            assert.strictEqual(row.subject?.domain, "gmail")
            assert.strictEqual(row.subject?.account, "me@example.com")
            assert.deepStrictEqual(new Uint8Array(row.sealed), sealedWith(old))
          }
          after = rows.at(-1)
        } while (after !== undefined)
        assert.strictEqual(new Set(found).size, found.length)
        for (const id of ids) assert.include(found, `connection ${id}`)
        assert.include(found, `sign-in ${state}`)
        assert.notInclude(found, `connection ${sealedNow}`)
      })
    )

    it.effect(
      "a sealed secret is replaced only if it has not changed since it was read, and a run keeps its fence",
      () =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const [old, current] = [newKeyId(), newKeyId()]
          const id = yield* connected(old)
          const fence = yield* take(id)
          const place = { kind: "connection", id } as const
          assert.isFalse(yield* store.replaceSealed(place, sealedWith(current), sealedWith(current, "wrong")))
          assert.isTrue(yield* store.replaceSealed(place, sealedWith(old), sealedWith(current)))
          assert.isFalse(yield* store.replaceSealed(place, sealedWith(old), sealedWith(current, "late")))
          assert.isFalse(
            yield* store.replaceSealed({ kind: "connection", id: "no id" }, sealedWith(old), sealedWith(old))
          )
          yield* store.renew(fence, Duration.seconds(30))
          const now = Option.getOrThrow(yield* store.connection(id))
          assert.deepStrictEqual(now.credentials, sealedWith(current))
        })
    )

    it.effect("a key that still seals something is not retired, and nothing new can be sealed with a retired key", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const [old, current] = [newKeyId(), newKeyId()]
        const id = yield* connected(old)
        assert.isFalse(yield* store.retireKey(old))
        yield* store.replaceSealed({ kind: "connection", id }, sealedWith(old), sealedWith(current))
        assert.isTrue(yield* store.retireKey(old))
        assert.isTrue(yield* store.retireKey(old))
        const fence = yield* take(id)
        const late = [
          store.saveCredentials(fence, sealedWith(old)),
          store.updateConnection(id, { credentials: sealedWith(old) }),
          store.replaceSealed({ kind: "connection", id }, sealedWith(current), sealedWith(old)),
          store.putSignIn({
            stateHash: newState(),
            sealed: sealedWith(old),
            ttl: Duration.minutes(1),
            atMost: 10
          })
        ]
        for (const one of late) {
          const error = yield* Effect.flip(one)
          assert.strictEqual(error._tag, "StoreError")
          assert.include(error.message, "rekey")
        }
        assert.deepStrictEqual(Option.getOrThrow(yield* store.connection(id)).credentials, sealedWith(current))
        yield* store.saveCredentials(fence, sealedWith(current, "next"))
        yield* store.admitKey(old)
        yield* store.saveCredentials(fence, sealedWith(old))
      })
    )

    it.effect("a sign-in is taken once, not after it expires, and beyond the limit the oldest are dropped", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const put = (stateHash: string, minutes: number, atMost = 100) =>
          store.putSignIn({ stateHash, sealed: sealedWith(newKeyId()), ttl: Duration.minutes(minutes), atMost })
        const [once, late, unknown] = [newState(), newState(), newState()]
        yield* put(once, 10)
        yield* put(late, 1)
        assert.isTrue(Option.isSome(yield* store.takeSignIn(once)))
        assert.isTrue(Option.isNone(yield* store.takeSignIn(once)))
        assert.isTrue(Option.isNone(yield* store.takeSignIn(unknown)))
        yield* pass(Duration.minutes(2))
        assert.isTrue(Option.isNone(yield* store.takeSignIn(late)))
        const many = Array.from({ length: 5 }, newState)
        for (const [index, state] of many.entries()) yield* put(state, 10 + index, 3)
        const left = yield* Effect.filter(many, (state) => Effect.map(store.takeSignIn(state), Option.isSome))
        assert.deepStrictEqual(left, many.slice(2))
      })
    )
  })
}
