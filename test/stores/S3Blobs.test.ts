/**
 * Blobs in a bucket, with the laws of all blob stores, and with a bucket that refuses requests, is slow, breaks
 * connections or lists late.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { BlobStore } from "../../src/stores/Blobs.ts"
import * as S3Blobs from "../../src/stores/blobs/S3Blobs.ts"
import * as S3Client from "../../src/stores/blobs/S3Client.ts"
import * as S3Servers from "../support/S3Servers.ts"
import { suite, Unfinished } from "./lawsOfBlobs.ts"

const clientOf = (running: S3Servers.Running) => {
  const env = S3Servers.settings(running)
  return S3Client.make("IDEM_BLOB_URL", env.IDEM_BLOB_URL).pipe(S3Servers.configured(env))
}

/** The unfinished writes are the objects below `unfinished/`, and the uploads that were not completed. */
const layerOf = (running: S3Servers.Running, partSize?: number) =>
  Layer.unwrap(
    Effect.map(clientOf(running), (client) =>
      Layer.merge(
        S3Blobs.layer(client, partSize),
        Layer.succeed(Unfinished, {
          count: client
            .text({ method: "GET", key: "", query: { "list-type": "2", prefix: `${client.prefix}unfinished/` } })
            .pipe(
              Effect.map(({ text }) => S3Client.elements(text, "Contents").length + running.proxy.uploads.size),
              Effect.orDie
            ),
          age: Effect.acquireRelease(
            Effect.sync(() => void (running.proxy.ahead = Duration.toMillis("25 hours"))),
            () => Effect.sync(() => void (running.proxy.ahead = 0))
          )
        })
      )
    )
  )

suite("S3 blobs of emulate", Layer.unwrap(Effect.map(S3Servers.servers.emulate, (running) => layerOf(running))))
suite(
  "S3 blobs of s3rver, in parts",
  Layer.unwrap(Effect.map(S3Servers.servers.s3rver, (running) => layerOf(running, 1_000_000)))
)

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const body = Buffer.alloc(250_000).map((_, n) => (n * 31 + (n >> 9)) & 255)
const isPart =
  (method: string, query: string) =>
  (request: { readonly method?: string | undefined; readonly url?: string | undefined }) =>
    request.method === method && (request.url ?? "").includes(query)

const read = (hash: Uint8Array) =>
  BlobStore.use((blobs) => Effect.map(Stream.runCollect(blobs.read(hex(hash))), (chunks) => Buffer.concat(chunks)))

describe.concurrent("a bucket", () => {
  const law = (name: string, work: (proxy: S3Servers.S3Proxy) => Effect.Effect<void, unknown, BlobStore>) =>
    it.live(name, () =>
      Effect.gen(function* () {
        const running = yield* S3Servers.servers.s3rver
        yield* Effect.provide(work(running.proxy), layerOf(running, 100_000))
        assert.strictEqual(running.proxy.unmet, 0)
      }).pipe(Effect.scoped)
    )

  const steps: ReadonlyArray<readonly [string, (request: object) => boolean]> = [
    ["the begin of an upload", isPart("POST", "?uploads")],
    ["a part", isPart("PUT", "partNumber=2")],
    ["the end of an upload", isPart("POST", "?uploadId")],
    ["the copy to the hash", (request) => isPart("PUT", "")(request) && !isPart("PUT", "uploadId")(request)],
    ["the removal of the upload", isPart("DELETE", "unfinished")]
  ]
  for (const fault of ["SlowDown", "reset"] as const) {
    for (const [what, when] of steps) {
      law(`that meets ${what} with ${fault} gets the whole body all the same`, (proxy) =>
        Effect.gen(function* () {
          proxy.fault(fault, when, 2)
          const { hash } = yield* BlobStore.use((blobs) => blobs.write(Stream.make(body)))
          assert.isTrue((yield* read(hash)).equals(body))
        })
      )
    }
  }

  law("that no longer has the upload when it is removed has the body", (proxy) =>
    Effect.gen(function* () {
      proxy.fault("gone", isPart("DELETE", "unfinished"))
      const { hash } = yield* BlobStore.use((blobs) => blobs.write(Stream.make(body)))
      assert.isTrue((yield* read(hash)).equals(body))
    })
  )

  law("that has removed an upload before the sweep does has its other uploads removed", (proxy) =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      const reached = yield* Deferred.make<void>()
      const hanging = Stream.concat(
        Stream.make(body),
        Stream.drain(Stream.fromEffect(Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)))
      )
      yield* Effect.forkScoped(blobs.write(hanging))
      yield* Deferred.await(reached)
      proxy.uploads.set("removed-meanwhile", { key: "some/where/unfinished/0000-000000000000", at: 0 })
      proxy.ahead = Duration.toMillis("25 hours")
      proxy.fault("gone", isPart("DELETE", "removed-meanwhile"))
      proxy.fault("gone", isPart("DELETE", "uploadId"))
      yield* blobs.sweep
    }).pipe(Effect.scoped)
  )

  law("whose answer to the end of an upload is lost has the body", (proxy) =>
    Effect.gen(function* () {
      proxy.fault("lost answer", isPart("POST", "?uploadId"))
      const { hash } = yield* BlobStore.use((blobs) => blobs.write(Stream.make(body)))
      assert.isTrue((yield* read(hash)).equals(body))
    })
  )

  law("that breaks off again and again while a body is read gives each byte once", (proxy) =>
    Effect.gen(function* () {
      const { hash } = yield* BlobStore.use((blobs) => blobs.write(Stream.make(body)))
      proxy.fault("midway", isPart("GET", ""), 5)
      assert.isTrue((yield* read(hash)).equals(body))
      proxy.fault("midway", isPart("GET", ""), 2)
      const part = yield* BlobStore.use((blobs) => Stream.runCollect(blobs.read(hex(hash), { start: 7, end: 200_001 })))
      assert.isTrue(Buffer.concat(part).equals(body.subarray(7, 200_001)))
    })
  )

  law("that refuses for good fails the write, and leaves nothing", (proxy) =>
    Effect.gen(function* () {
      proxy.fault("SlowDown", isPart("PUT", "partNumber=2"), 8)
      const error = yield* Effect.flip(BlobStore.use((blobs) => blobs.write(Stream.make(body))))
      assert.match(
        error.message,
        /^storing a large body: s3:\/\/idem-blobs\/some\/where\/ can't be used: it limits the rate of requests$/
      )
      assert.strictEqual(proxy.uploads.size, 0)
    })
  )

  law("that is slow, gets and gives whole bodies", (proxy) =>
    Effect.gen(function* () {
      proxy.latency = 50
      const { hash } = yield* BlobStore.use((blobs) => blobs.write(Stream.make(body)))
      assert.isTrue((yield* read(hash)).equals(body))
    })
  )

  law("that lists late removes nothing twice, and keeps what it does not list", (proxy) =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      const [gone, kept] = [
        yield* blobs.write(Stream.make(Buffer.from("gone"))),
        yield* blobs.write(Stream.make(Buffer.from("kept")))
      ]
      let late = ""
      proxy.listed = (xml) => (late = xml)
      yield* Stream.runDrain(blobs.list)
      assert.include(late, hex(gone.hash))
      assert.isTrue(yield* blobs.remove(hex(gone.hash), Duration.zero))
      // Lists the keys that the bucket had a moment ago.
      proxy.listed = () =>
        late.replace(new RegExp(`<Contents>(?:(?!</Contents>)[^])*${hex(kept.hash)}[^]*?</Contents>`), "")
      const listed = yield* Stream.runCollect(blobs.list)
      assert.deepStrictEqual(
        listed.map(({ hash }) => hash),
        [hex(gone.hash)]
      )
      assert.isFalse(yield* blobs.remove(hex(gone.hash), Duration.zero))
      assert.strictEqual((yield* read(kept.hash)).toString(), "kept")
    })
  )
})
