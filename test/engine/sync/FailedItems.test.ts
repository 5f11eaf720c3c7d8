import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Announced } from "../../../src/contract/Content.ts"
import { Forbidden, Malformed, RateLimited, TooLarge, Unsettled } from "../../../src/contract/IntegrationError.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { WholeStore, replaceMethods } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { moving, until } from "../../support/Moving.ts"
import { failing, bytes, fault, MemorySource, only } from "../../support/MemorySource.ts"
import { connect, ids, layer, sync, withConnection } from "../../support/TestEngine.ts"

describe("an item that fails", () => {
  it.effect("goes to the ledger, blocks nothing, and comes back", () =>
    withConnection(function* (source, connection) {
      source.addMany(15)
      source.answer = failing("m000007")
      const first = yield* sync(connection)
      assert.strictEqual(first.status, "partial")
      assert.deepInclude(first.counts, { stored: 14, failed: 1 })
      const store = yield* WholeStore
      const [row] = yield* store.ledger(connection.id, { limit: 10 })
      assert.deepInclude(row, { externalId: "m000007", state: "failed", reason: "Malformed", attempts: 1 })

      // A person's sync retries the item before it is due, so the plan lists it.
      source.answer = () => Effect.void
      const plan = yield* sync(connection, { dryRun: true })
      assert.deepInclude(plan.planned, { download: 1 })
      assert.deepInclude(plan.counts, { retried: 1 })
      const second = yield* sync(connection)
      assert.strictEqual(second.status, "succeeded")
      assert.deepInclude(second.counts, { retried: 1, stored: 1, listed: 0 })
      assert.deepStrictEqual(yield* store.ledger(connection.id, { limit: 10 }), [])
    })
  )

  it.effect("is dead after its last attempt, and a person can redrive it", () =>
    withConnection(function* (source, connection) {
      source.add("a")
      source.answer = only("download a", fault(new Forbidden({ message: "not ours" })))
      for (let attempt = 1; attempt <= 8; attempt += 1) {
        assert.strictEqual((yield* sync(connection)).counts.failed, 1, `attempt ${attempt}`)
      }
      assert.deepStrictEqual(yield* ids(connection, "dead"), ["a"])
      assert.deepInclude((yield* sync(connection, { dryRun: true })).planned, { download: 0 })
      assert.deepInclude((yield* sync(connection)).counts, { retried: 0, failed: 0, downloads: 0 })

      source.answer = () => Effect.void
      const engine = yield* Engine
      const retried = yield* engine.retry(connection, ["a"])
      assert.deepInclude(retried.counts, { retried: 1, stored: 1 })
      const unknown = yield* Effect.flip(engine.retry(connection, ["zzz"]))
      assert.include(unknown.message, "zzz")
    })
  )

  const page = new TextEncoder().encode("<!DOCTYPE html><html><body>Sign in</body></html>")
  const announced: ReadonlyArray<readonly [string, Announced, ReadonlyArray<Uint8Array>, string | undefined]> = [
    ["of its announced size", { size: 6 }, [bytes("abc"), bytes("def")], undefined],
    ["cut short", { size: 7 }, [bytes("abc"), bytes("def")], "6 bytes came instead of the announced 7"],
    ["longer than announced", { size: 5 }, [bytes("abc"), bytes("def")], "more bytes came than the announced 5"],
    [
      "that is a login page",
      { mediaType: "image/png" },
      [page],
      "an HTML page came instead of the announced image/png"
    ],
    [
      "that is a login page in pieces",
      { mediaType: "application/pdf" },
      Array.from(page, (byte) => new Uint8Array([byte])),
      "an HTML page"
    ],
    [
      "that is a long login page",
      { mediaType: "image/png", size: 10 },
      [page.slice(0, 3), new Uint8Array([...page.slice(3), ...new Uint8Array(1000)])],
      "an HTML page"
    ],
    [
      "that is JSON",
      { mediaType: "video/mp4" },
      [bytes(' {"ok": false}')],
      "JSON came instead of the announced video/mp4"
    ],
    ["that is HTML by its type", { mediaType: "text/html", size: page.length }, [page], undefined],
    ["of a type whose files are often HTML", { mediaType: "application/vnd.ms-excel" }, [page], undefined],
    ["of no known type", { mediaType: "application/octet-stream" }, [page], undefined],
    ["that is an image", { mediaType: "image/png" }, [new Uint8Array([0x89, 0x50, 0x4e, 0x47])], undefined],
    ["larger than the bound", { size: 1_000_000 }, [bytes("abc")], "more than 500000 bytes"]
  ]
  for (const [name, said, chunks, problem] of announced) {
    for (const inlineBytes of [1000, 1]) {
      it.effect(
        `${name} is ${problem === undefined ? "stored" : "a failure"} (${inlineBytes === 1 ? "streamed" : "held"})`,
        () => {
          const source = new MemorySource()
          source.add("a", { body: Stream.fromIterable(chunks), announced: said })
          return Effect.gen(function* () {
            const connection = yield* connect()
            const { counts } = yield* sync(connection)
            const store = yield* WholeStore
            const rows = yield* store.ledger(connection.id, { limit: 10 })
            assert.deepInclude(counts, problem === undefined ? { stored: 1, failed: 0 } : { stored: 0, failed: 1 })
            if (problem !== undefined) assert.include(rows[0]?.message ?? "", problem)
            assert.deepStrictEqual(yield* ids(connection), problem === undefined ? ["a"] : [])
          }).pipe(Effect.provide(layer(source, { limits: { bodyBytes: 500_000, inlineBytes } })))
        }
      )
    }
  }

  it.effect("that is announced or estimated as large goes to the blob store from its first byte on", () => {
    const source = new MemorySource()
    const chunks = Array.from({ length: 30 }, () => bytes("0123456789"))
    let asked = 0
    const body = Stream.fromIterable(chunks).pipe(
      Stream.rechunk(1),
      Stream.tap(() => Effect.sync(() => void asked++))
    )
    source.add("announced", { body, announced: { size: 300 } })
    source.add("estimated", { body, announced: { estimate: 350 } })
    source.add("unknown", { body })
    const begunAt: Array<number> = []
    const store = replaceMethods((real) => ({
      ...real,
      writeBlob: (given) =>
        Effect.suspend(() => {
          begunAt.push(asked)
          return real.writeBlob(given)
        })
    })).pipe(Layer.provide(Memory.layer))
    return Effect.gen(function* () {
      assert.strictEqual((yield* sync(yield* connect())).counts.stored, 3)
      const held = begunAt.map((at) => at % 30)
      // Bodies are read one at a time: the first two before any bytes were held, the third after the share was used up.
      assert.deepStrictEqual(held, [0, 0, 11])
    }).pipe(Effect.provide(layer(source, { store, limits: { inlineBytes: 100, concurrency: 1 } })))
  })

  it.effect("whose whole body was given at once is checked as well", () =>
    withConnection(function* (source, connection) {
      source.add("a", { body: bytes("abc"), announced: { size: 4 } })
      assert.strictEqual((yield* sync(connection)).counts.failed, 1)
    })
  )

  it.effect("that is too large is dead at once", () =>
    withConnection(
      function* (source, connection) {
        source.add("a")
        source.add("endless", { body: Stream.forever(Stream.succeed(new Uint8Array(1024))) })
        source.answer = only("download a", fault(new TooLarge({ message: "a movie" })))
        assert.strictEqual((yield* sync(connection)).counts.failed, 2)
        assert.deepStrictEqual(yield* ids(connection, "dead"), ["a", "endless"])
      },
      { bodyBytes: 100_000, inlineBytes: 10_000 }
    )
  )

  it.effect("because it still changes is deferred without costing an attempt, and downloaded at the next poll", () =>
    withConnection(function* (source, connection) {
      source.add("a")
      source.answer = only("download a", fault(new Unsettled({ message: "still growing" })))
      const first = yield* sync(connection)
      assert.strictEqual(first.status, "succeeded")
      assert.deepInclude(first.counts, { deferred: 1, failed: 0 })
      source.answer = () => Effect.void
      assert.deepInclude((yield* sync(connection)).counts, { retried: 1, stored: 1 })
    })
  )

  it.effect("that hangs holds up no other item, and its page's checkpoint waits for it", () =>
    withConnection(function* (source, connection) {
      source.addMany(60)
      source.answer = only("download m000003", Effect.never)
      const running = yield* Effect.forkChild(sync(connection))
      yield* until(Effect.map(ids(connection), (there) => there.length === 59))
      const store = yield* WholeStore
      const row = Effect.map(store.connection(connection.id), Option.getOrThrow)
      assert.isTrue(Option.isNone((yield* row).checkpoint))
      // In the end the download is given up after its call's deadline.
      const { counts } = yield* moving(Fiber.join(running), "5 seconds")
      assert.deepInclude(counts, { stored: 59, failed: 1 })
      assert.isTrue(Option.isSome((yield* row).checkpoint))
    })
  )

  it.effect("together with most others ends the run, which keeps what it has stored", () =>
    withConnection(function* (source, connection) {
      source.pageSize = 50
      source.addMany(400)
      source.answer = (method) =>
        method.startsWith("download") && source.downloaded.length >= 20
          ? fault(new Malformed({ message: "a new format" }))
          : Effect.void
      const result = yield* sync(connection)
      assert.strictEqual(result.error?.reason, "TooManyFailures")
      assert.strictEqual(result.counts.stored, 20)
      assert.isBelow(result.counts.failed, 100)
      source.answer = () => Effect.void
      assert.strictEqual((yield* sync(connection)).status, "succeeded")
      assert.strictEqual((yield* ids(connection)).length, 400)
    })
  )

  it.effect("while most others succeed does not end the run, however many fail", () =>
    withConnection(
      function* (source, connection) {
        source.addMany(60)
        source.answer = (method) =>
          /^download .*[05]$/.test(method) ? fault(new Malformed({ message: "cut off" })) : Effect.void
        assert.deepInclude((yield* sync(connection)).counts, { stored: 48, failed: 12 })
      },
      { abortAfter: 5 }
    )
  )

  it.effect("whose body stops is failed, not waited for without end", () =>
    withConnection(function* (source, connection) {
      source.add("a", { body: Stream.concat(Stream.succeed(bytes("begun")), Stream.never) })
      const result = yield* moving(sync(connection))
      assert.deepInclude(result.counts, { failed: 1 })
    })
  )
})

describe("an id that a person asks for", () => {
  it.effect("and whose download fails goes to the ledger, and is not reported as unknown", () =>
    withConnection(function* (source, connection) {
      source.add("a")
      source.answer = failing("a")
      const { counts, problems } = yield* sync(connection, { forceIds: ["a"] })
      assert.deepInclude(counts, { failed: 1, gone: 0 })
      assert.deepStrictEqual(problems, [])
      assert.deepStrictEqual(yield* ids(connection, "failed"), ["a"])
    })
  )

  it.effect("and that the source no longer has is deleted by the next poll, if it was stored", () =>
    withConnection(function* (source, connection) {
      source.addMany(2)
      yield* sync(connection)
      source.items.delete("m000000")
      assert.strictEqual((yield* sync(connection, { forceIds: ["m000000", "nowhere"] })).counts.gone, 2)
      yield* sync(connection)
      assert.deepStrictEqual(yield* ids(connection, "deleted"), ["m000000"])
    })
  )

  it.effect("and that was deferred is downloaded once the source answers again, and no other is again", () =>
    withConnection(
      function* (source, connection) {
        source.addMany(3)
        yield* sync(connection)
        for (const id of source.items.keys()) source.items.set(id, { body: bytes(`another body of ${id}`) })
        let refusals = 0
        source.answer = (method) => {
          if (method === "download m000000") return fault(new Malformed({ message: "cut off" }))
          if (method !== "download m000001" || refusals > 0) return Effect.void
          refusals += 1
          return fault(new RateLimited({ message: "slow down", retryAfter: Duration.minutes(5) }))
        }
        const { counts } = yield* moving(sync(connection, { forceIds: [...source.items.keys()] }))
        assert.strictEqual(refusals, 1)
        assert.deepInclude(counts, { failed: 1, updated: 2, deferred: 2, downloads: 4 })
      },
      { concurrency: 1 }
    )
  )
})
