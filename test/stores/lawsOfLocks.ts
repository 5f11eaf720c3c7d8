/** The laws of `LockStore`. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { Time } from "./scenario.ts"

const ttl = Duration.minutes(30)
const newName = () => `lock ${randomUUID()}`

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: locks`, (it) => {
    it.effect("a lock is held by one, kept by it, and free again when it is given back or its time is over", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const lock = newName()
        const take = (holder: string, deadHolder?: string) =>
          Effect.map(store.takeLock(lock, { holder, ttl, deadHolder }), Option.isNone)
        assert.isTrue(yield* take("one"))
        assert.isFalse(yield* take("other"))
        assert.isTrue(yield* take("one"))
        assert.deepStrictEqual(yield* store.takeLock(lock, { holder: "other", ttl }), Option.some("one"))
        assert.isFalse(yield* take("other", "another"))
        assert.isTrue(yield* take("other", "one"))
        assert.isTrue(yield* take("one", "other"))
        yield* store.releaseLock(lock, "other")
        assert.isFalse(yield* take("other"))
        yield* store.releaseLock(lock, "one")
        assert.isTrue(yield* take("other"))
        yield* Time.use((time) => time.pass(Duration.minutes(31)))
        assert.isTrue(yield* take("one"))
        const all = yield* Effect.all(
          Array.from({ length: 20 }, (_, index) => store.takeLock(`${lock} all`, { holder: `holder ${index}`, ttl })),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(all.filter(Option.isNone).length, 1)
      })
    )

    it.effect("a holder extends its lock by taking it again, and loses it late or dead", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const lock = newName()
        const claim = (holder: string, deadHolder?: string) => store.takeLock(lock, { holder, ttl, deadHolder })
        assert.deepStrictEqual(yield* claim("one"), Option.none())
        assert.deepStrictEqual(yield* claim("two"), Option.some("one"))
        yield* Time.use((time) => time.pass(Duration.minutes(20)))
        assert.deepStrictEqual(yield* claim("one"), Option.none())
        yield* Time.use((time) => time.pass(Duration.minutes(20)))
        assert.deepStrictEqual(yield* claim("two"), Option.some("one"))
        assert.deepStrictEqual(yield* claim("two", "one"), Option.none())
        yield* store.releaseLock(lock, "one")
        assert.deepStrictEqual(yield* claim("one"), Option.some("two"))
        yield* Time.use((time) => time.pass(Duration.minutes(40)))
        assert.deepStrictEqual(yield* claim("one"), Option.none())
        yield* store.releaseLock(lock, "one")
        assert.deepStrictEqual(yield* claim("two"), Option.none())
        yield* store.releaseLock(lock, "two")
      })
    )
  })
}
