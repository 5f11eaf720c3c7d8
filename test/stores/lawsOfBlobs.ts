/** The laws of blob stores, which `BlobLocation` must pass too. */
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { BlobStore } from "../../src/stores/Blobs.ts"
import { bytesOf, sha256 } from "./scenario.ts"
import { runs } from "../support/Property.ts"

/** The unfinished writes of a store. */
export class Unfinished extends Context.Service<
  Unfinished,
  { readonly count: Effect.Effect<number>; readonly age: Effect.Effect<void, never, Scope.Scope> }
>()("test/stores/Unfinished") {}

/** Bytes that differ from chunk to chunk: 3 MB, the most that a law writes. */
const pattern = new Uint8Array(3_145_728).map((_, n) => (n * 31 + (n >> 9)) & 255)

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

const read = Effect.fnUntraced(function* (hash: string) {
  const store = yield* BlobStore
  return Buffer.concat(yield* Stream.runCollect(store.read(hash)))
})

/**
 * The laws of a blob store. `Unfinished` lists the store's unfinished writes, and makes them a day older, at least
 * until the scope closes.
 */
export const suite = <E>(name: string, layer: Layer.Layer<BlobStore | Unfinished, E>) =>
  // Files have the machine's times, so the test clock can't be used.
  it.layer(layer, { excludeTestServices: true })(name, (it) => {
    it.effect.prop(
      "what was written is read, byte for byte, under the hash of it all",
      [Schema.Array(Schema.Uint8Array)],
      ([chunks]) =>
        Effect.gen(function* () {
          const store = yield* BlobStore
          const whole = new Uint8Array(Buffer.concat(chunks))
          const written = yield* store.write(Stream.fromIterable(chunks))
          assert.deepStrictEqual(written, { hash: sha256(whole), size: whole.byteLength })
          assert.isTrue((yield* read(hex(written.hash))).equals(whole))
        }),
      runs(20)
    )

    it.effect("chunks of every size come out whole", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        // Pieces that are smaller than a chunk, as large as one, and larger.
        for (const [size, cut] of [
          [1_048_575, 10_007],
          [1_048_576, 10_007],
          [2_097_152, 1_048_576],
          [1_048_577, 700_001],
          [3_145_728, 3_145_728]
        ] as const) {
          const whole = pattern.subarray(0, size)
          const pieces = Stream.paginate(0, (at) =>
            Effect.succeed([
              [whole.subarray(at, at + cut)],
              at + cut < size ? Option.some(at + cut) : Option.none()
            ] as const)
          )
          const written = yield* store.write(pieces)
          assert.strictEqual(written.size, size)
          assert.isTrue((yield* read(hex(written.hash))).equals(whole))
        }
        assert.strictEqual(yield* Unfinished.use((unfinished) => unfinished.count), 0)
      })
    )

    it.effect("any range of a blob is those bytes and no others", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        const whole = pattern.subarray(0, 2_500_000)
        const { hash } = yield* store.write(Stream.make(whole))
        const size = whole.length
        const chunk = 1_048_576
        const ranges: ReadonlyArray<readonly [what: string, start: number, end: number]> = [
          ["the first byte", 0, 1],
          ["the last byte", size - 1, size],
          ["the last byte of a chunk", chunk - 1, chunk],
          ["the first byte of a chunk", chunk, chunk + 1],
          ["across a border of chunks", chunk - 1, chunk + 1],
          ["one whole chunk", chunk, 2 * chunk],
          ["the middle, over three chunks", 700_000, 2_300_000],
          ["all of it", 0, size],
          ["to beyond the end", size - 10, size + 1000],
          ["all of it and more", 0, 4 * chunk],
          ["nothing, at the start", 0, 0],
          ["nothing, in the middle", chunk, chunk],
          ["nothing, at the end", size, size],
          ["from the end on", size, size + 1],
          ["far beyond the end", 10 * size, 11 * size]
        ]
        for (const [what, start, end] of ranges) {
          const bytes = Buffer.concat(yield* Stream.runCollect(store.read(hex(hash), { start, end })))
          assert.strictEqual(bytes.length, Math.max(0, Math.min(end, size) - start), what)
          assert.isTrue(bytes.equals(whole.subarray(start, end)), what)
        }
        assert.strictEqual(
          (yield* Effect.flip(Stream.runDrain(store.read("00".repeat(32), { start: 0, end: 1 }))))._tag,
          "StoreError"
        )
      })
    )

    it.effect.prop(
      "ranges that follow each other give the whole",
      [Schema.Array(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 1_200_000 }))))],
      ([cuts]) =>
        Effect.gen(function* () {
          const store = yield* BlobStore
          const whole = pattern.subarray(0, 1_200_000)
          const { hash } = yield* store.write(Stream.make(whole))
          const edges = [0, ...cuts.toSorted((a, b) => a - b), whole.length]
          const parts = yield* Effect.forEach(edges.slice(1), (end, index) =>
            Stream.runCollect(store.read(hex(hash), { start: edges[index] ?? 0, end }))
          )
          assert.isTrue(Buffer.concat(parts.flat()).equals(whole))
        }),
      runs(5)
    )

    it.effect("the same bytes are kept once", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        yield* Effect.all(
          Array.from({ length: 8 }, () => store.write(Stream.make(bytesOf("the same")))),
          { concurrency: "unbounded" }
        )
        const blobs = yield* Stream.runCollect(store.list)
        const same = blobs.filter((blob) => blob.hash === hex(sha256(bytesOf("the same"))))
        assert.deepStrictEqual(
          same.map((blob) => blob.size),
          [8]
        )
        assert.strictEqual(yield* Unfinished.use((unfinished) => unfinished.count), 0)
      })
    )

    it.effect("a stream that fails, or is interrupted, leaves nothing to read and nothing lying about", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        const half = new Uint8Array(2_000_000).fill(7)
        const failing = Stream.concat(Stream.make(half), Stream.fail("broken" as const))
        assert.strictEqual(yield* Effect.flip(store.write(failing)), "broken")
        const reached = yield* Deferred.make<void>()
        const hanging = Stream.concat(
          Stream.make(half),
          Stream.fromEffect(Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
        )
        const fiber = yield* Effect.forkChild(store.write(hanging))
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual((yield* Effect.flip(read(hex(sha256(half)))))._tag, "StoreError")
        assert.strictEqual(yield* Unfinished.use((unfinished) => unfinished.count), 0)
      })
    )

    it.effect("what was touched lately is not removed, what was not is", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        const { hash } = yield* store.write(Stream.make(bytesOf("to be removed")))
        assert.isFalse(yield* store.remove(hex(hash), Duration.hours(1)))
        assert.strictEqual((yield* read(hex(hash))).toString(), "to be removed")
        assert.isTrue(yield* store.remove(hex(hash), Duration.zero))
        assert.isFalse(yield* store.remove(hex(hash), Duration.zero))
        assert.strictEqual((yield* Effect.flip(read(hex(hash))))._tag, "StoreError")
      })
    )

    it.effect("what is not a hash names nothing", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        for (const hash of ["", "..", "../../etc/passwd", "zz", "00", "a".repeat(64)]) {
          assert.strictEqual((yield* Effect.flip(read(hash)))._tag, "StoreError")
          assert.isFalse(yield* store.remove(hash, Duration.zero))
        }
      })
    )

    it.effect("a sweep removes unfinished writes that are a day old, and no others", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        const { age, count } = yield* Unfinished
        const { hash } = yield* store.write(Stream.make(bytesOf("finished")))
        const reached = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const hanging = Stream.concat(
          Stream.make(new Uint8Array(2_000_000)),
          Stream.drain(Stream.fromEffect(Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go))))
        )
        const fiber = yield* Effect.forkChild(store.write(hanging))
        yield* Deferred.await(reached)
        const before = yield* count
        yield* store.sweep
        assert.strictEqual(yield* count, before)
        yield* age
        yield* store.sweep
        assert.strictEqual(yield* count, 0)
        assert.strictEqual((yield* read(hex(hash))).toString(), "finished")
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.await(fiber)
      })
    )
  })
