/** The laws of bodies, and of what a connection knows. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { checkerOf } from "../support/Checker.ts"
import { bytesOf, item, running, Time } from "./scenario.ts"

/** A stream's bytes, all of them. */
const collect = <E, R>(stream: Stream.Stream<Uint8Array, E, R>) =>
  Effect.map(Stream.runCollect(stream), (chunks) => new Uint8Array(Buffer.concat(Array.from(chunks))))

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: the checker and bodies`, (it) => {
    it.effect("the checker of a connection knows what that connection knows, and nothing of another's", () =>
      Effect.gen(function* () {
        const one = yield* running()
        const other = yield* running()
        yield* one.commit({ items: [item("a")] })
        yield* other.commit({ items: [item("b")] })
        const existing = yield* ContentExistenceChecker.use((checker) => checker.existing(["a", "b"])).pipe(
          Effect.provide(checkerOf(one.id))
        )
        assert.deepStrictEqual(existing, new Set(["a"]))
      })
    )

    it.effect("ids that can't be stored are not known, and no error", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ items: [item("\uFFFD"), item("a")] })
        assert.deepStrictEqual(yield* store.existing(id, ["\0", "\ud800", "a"]), new Set(["a"]))
        assert.deepStrictEqual(yield* store.existing(id, []), new Set())
        assert.deepStrictEqual(yield* store.revisions(id, ["\0", "\ud800"]), new Map())
        assert.isTrue(Option.isNone(yield* store.content(id, "\0")))
        assert.strictEqual(yield* store.redrive(id, ["\0"]), 0)
      })
    )

    it.effect("a body is given back byte for byte, large ones from the blob store", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        const every = Uint8Array.from({ length: 256 }, (_, n) => n)
        const large = new Uint8Array(5_000_000).map((_, n) => (n * 7 + (n >> 8)) & 255)
        const blob = yield* store.writeBlob(Stream.make(large.subarray(0, 3_000_000), large.subarray(3_000_000)))
        assert.strictEqual(blob.size, large.byteLength)
        yield* commit({
          items: [
            item("every", { bytes: every }),
            item("empty", { bytes: new Uint8Array() }),
            { ...item("large"), body: { _tag: "Blob", hash: blob.hash, size: blob.size } }
          ]
        })
        const bodyOf = Effect.fnUntraced(function* (externalId: string) {
          const found = Option.getOrThrow(yield* store.content(id, externalId))
          return { size: found.size, bytes: yield* collect(store.body(found.hash ?? "")) }
        })
        assert.deepStrictEqual(yield* bodyOf("every"), { size: 256, bytes: every })
        assert.deepStrictEqual(yield* bodyOf("empty"), { size: 0, bytes: new Uint8Array() })
        const read = yield* bodyOf("large")
        assert.strictEqual(read.size, large.byteLength)
        assert.isTrue(Buffer.from(read.bytes).equals(Buffer.from(large)))
        const partOf = Effect.fnUntraced(function* (externalId: string, start: number, end: number) {
          const found = Option.getOrThrow(yield* store.content(id, externalId))
          return yield* collect(store.body(found.hash ?? "", { start, end }))
        })
        assert.deepStrictEqual(yield* partOf("every", 10, 20), every.subarray(10, 20))
        assert.deepStrictEqual(yield* partOf("every", 250, 300), every.subarray(250))
        assert.deepStrictEqual(yield* partOf("every", 256, 300), new Uint8Array())
        assert.deepStrictEqual(yield* partOf("empty", 0, 1), new Uint8Array())
        const middle = yield* partOf("large", 1_048_570, 2_097_160)
        assert.isTrue(Buffer.from(middle).equals(Buffer.from(large.subarray(1_048_570, 2_097_160))))
        assert.strictEqual((yield* Effect.flip(collect(store.body("00")))) instanceof Error, true)
        assert.strictEqual((yield* Effect.flip(collect(store.body("not hex"))))._tag, "StoreError")
      })
    )

    it.effect("a blob whose stream fails is not there, and the failure is the stream's", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const broken = Stream.concat(Stream.make(bytesOf("half")), Stream.fail("broken" as const))
        assert.strictEqual(yield* Effect.flip(store.writeBlob(broken)), "broken")
      })
    )
  })
}
