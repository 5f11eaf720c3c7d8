/** The laws of bodies, and of the ids that a connection knows. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../src/contract/ContentExistenceChecker.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { checkerOf } from "../support/Checker.ts"
import { bytesOf, deleteStaged, item, page, running, Time } from "./scenario.ts"

/** Reads all bytes of a stream. */
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

    it.effect("a copy has the body of the stored or deleted content with its key, in its connection", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        yield* run.commit({ items: [item("a", { bodyKey: "key" }), item("b"), item("c", { bodyKey: "another" })] })
        yield* run.commit({ page: page({ deleted: ["a"] }) })
        yield* deleteStaged(run.fence)
        const sources = yield* store.copySources(run.id, ["key", "other"])
        assert.deepStrictEqual([...sources.keys()], ["key"])
        const found = sources.get("key")
        assert.strictEqual(found?.title, "a title")
        if (found === undefined) return
        const copy = { ...found, externalId: "copy", revision: undefined, metadata: { from: "me" } }
        yield* run.commit({ items: [copy] })
        const row = Option.getOrThrow(yield* store.content(run.id, "copy"))
        assert.deepStrictEqual([row.size, row.metadata], [bytesOf("body of a").length, { from: "me" }])
        const other = yield* running()
        assert.strictEqual((yield* store.copySources(other.id, ["key"])).size, 0)
        const absent = { ...copy, externalId: "none", body: { ...copy.body, hash: new Uint8Array(32) } }
        const failure = yield* Effect.flip(run.commit({ items: [absent] }))
        assert.strictEqual(failure._tag, "StoreError")
      })
    )

    it.effect("a body that nothing names is collected once nobody has touched it for long, and no other", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        const hashOf = (externalId: string) =>
          Effect.map(store.content(id, externalId), (row) => Option.getOrThrow(row).hash ?? "")
        const read = (hash: string) => Effect.exit(Stream.runCollect(store.body(hash)))
        const large = yield* store.writeBlob(Stream.succeed(bytesOf("a large body, nobody's")))
        yield* commit({
          items: [item("kept"), item("changed", { text: "as it was" }), item("back", { text: "twice" })]
        })
        const [kept, changed, back] = yield* Effect.all([hashOf("kept"), hashOf("changed"), hashOf("back")])
        yield* commit({ items: [item("changed", { text: "as it is" }), item("back", { text: "once" })] })
        yield* Time.use((time) => time.pass(Duration.hours(12)))
        assert.strictEqual(yield* store.collectBodies(Duration.days(1)), 0)
        yield* Time.use((time) => time.pass(Duration.days(2)))
        // This commit finds the body again, so the body must survive, in whichever order bodies are checked.
        yield* commit({ items: [item("other", { text: "twice" })] })
        yield* store.collectBodies(Duration.days(1))
        assert.strictEqual((yield* read(kept))._tag, "Success")
        assert.strictEqual((yield* read(back))._tag, "Success")
        assert.strictEqual((yield* read(changed))._tag, "Failure")
        assert.strictEqual((yield* read(Buffer.from(large.hash).toString("hex")))._tag, "Failure")
      })
    )
  })
}
