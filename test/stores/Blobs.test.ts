import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { BlobStore, layerMemory } from "../../src/stores/Blobs.ts"
import * as Folder from "../../src/stores/blobs/Folder.ts"
import * as Postgres from "../../src/stores/blobs/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import { bytesOf, sha256 } from "./scenario.ts"

/** What a store keeps that is not under a hash: unfinished writes. */
class Unfinished extends Context.Service<
  Unfinished,
  { readonly count: Effect.Effect<number>; readonly age: Effect.Effect<void> }
>()("test/stores/Unfinished") {}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

const read = Effect.fnUntraced(function* (hash: string) {
  const store = yield* BlobStore
  return Buffer.concat(yield* Stream.runCollect(store.read(hash)))
})

const suite = <E>(name: string, layer: Layer.Layer<BlobStore | Unfinished, E>) =>
  // Files have the machine's times.
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
      { arbitrary: { runs: 20 } }
    )

    it.effect("chunks of every size come out whole", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        for (const size of [1_048_575, 1_048_576, 1_048_577, 3_145_728]) {
          const whole = new Uint8Array(size).map((_, n) => (n * 31 + (n >> 9)) & 255)
          for (const cut of [1000, 700_001, size]) {
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
        }
        assert.strictEqual(yield* Unfinished.use((unfinished) => unfinished.count), 0)
      })
    )

    it.effect("any range of a blob is those bytes and no others", () =>
      Effect.gen(function* () {
        const store = yield* BlobStore
        const whole = new Uint8Array(2_500_000).map((_, n) => (n * 31 + (n >> 9)) & 255)
        const { hash } = yield* store.write(Stream.make(whole))
        const edges = [0, 1, 1_048_575, 1_048_576, 1_048_577, 2_097_152, 2_499_999, 2_500_000, 2_500_001]
        for (const start of edges) {
          for (const end of edges.filter((edge) => edge >= start)) {
            const bytes = Buffer.concat(yield* Stream.runCollect(store.read(hex(hash), { start, end })))
            assert.isTrue(bytes.equals(whole.subarray(start, end)), `${start} to ${end}`)
          }
        }
        assert.strictEqual(
          (yield* Effect.flip(Stream.runDrain(store.read("00".repeat(32), { start: 0, end: 1 }))))._tag,
          "StoreError"
        )
      })
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

suite(
  "Memory blobs",
  Layer.merge(layerMemory, Layer.succeed(Unfinished, { count: Effect.succeed(0), age: Effect.void }))
)

const inPostgres = Layer.effect(
  Unfinished,
  SqlClient.SqlClient.use((sql) =>
    Effect.succeed({
      count: Effect.map(
        Effect.orDie(sql<{ readonly n: number }>`SELECT ((SELECT count(*) FROM blob_upload)
          + (SELECT count(DISTINCT upload) FROM blob_chunk WHERE upload NOT IN (SELECT upload FROM blob)))::float8 AS n`),
        ([row]) => row?.n ?? 0
      ),
      age: Effect.asVoid(Effect.orDie(sql`UPDATE blob_upload SET started_at = started_at - interval '25 hours'`))
    })
  )
)

suite("Postgres blobs", Layer.merge(Postgres.layer, inPostgres).pipe(Layer.provide(Database.layer)))

const inFolder = Layer.unwrap(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = yield* fs.makeTempDirectoryScoped()
    const unfinished = path.join(folder, "unfinished")
    const files = Effect.map(fs.readDirectory(unfinished), (names) => names.map((name) => path.join(unfinished, name)))
    const yesterday = Date.now() / 1000 - 25 * 3600
    return Layer.merge(
      Folder.layer(folder),
      Layer.succeed(Unfinished, {
        count: Effect.orDie(Effect.map(files, (all) => all.length)),
        age: Effect.orDie(
          Effect.flatMap(files, (all) =>
            Effect.forEach(all, (file) => fs.utimes(file, yesterday, yesterday), { discard: true })
          )
        )
      })
    )
  })
).pipe(Layer.provide(NodeServices.layer))

suite("Folder blobs", inFolder)
