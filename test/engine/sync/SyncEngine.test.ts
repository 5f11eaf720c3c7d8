import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Announced } from "../../../src/contract/Content.ts"
import {
  Forbidden,
  IntegrationError,
  Malformed,
  RateLimited,
  TooLarge,
  Transient,
  Unauthorized,
  Unsettled
} from "../../../src/contract/IntegrationError.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { pausedByPerson } from "../../../src/engine/model/Connection.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { WholeStore, replaceMethods } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { moving, until } from "../../support/Moving.ts"
import { failing, bytes, fault, MemorySource, only } from "../../support/MemorySource.ts"
import { connect, faulty, ids, layer, poll, shared, sync } from "../../support/TestEngine.ts"

describe("a sync", () => {
  it.effect("stores everything once, and a second one does nothing", () => {
    const source = new MemorySource()
    source.addMany(45)
    return Effect.gen(function* () {
      const connection = yield* connect()
      const first = yield* sync(connection)
      assert.strictEqual(first.status, "succeeded")
      assert.deepInclude(first.counts, { listed: 45, stored: 45, existing: 0, downloads: 45, checkerQueries: 5 })
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()].toSorted())

      const calls = source.calls.length
      const second = yield* sync(connection)
      assert.deepInclude(second.counts, { listed: 0, stored: 0, downloads: 0, apiCalls: 1, checkerQueries: 0 })
      assert.deepStrictEqual(source.calls.slice(calls), ["changes"])
      assert.strictEqual(source.open, 0)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("fetches an id that the listing repeats once, and counts each occurrence", () => {
    const source = new MemorySource()
    source.addMany(30)
    source.repeats = true
    return Effect.gen(function* () {
      const { counts } = yield* sync(yield* connect())
      assert.deepInclude(counts, { listed: 32, stored: 30, existing: 2, downloads: 30 })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("takes what was added, patched and deleted since", () => {
    const source = new MemorySource()
    source.addMany(20)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.addMany(3)
      source.remove("m000004")
      source.patch("m000005", { label: "seen" })
      const { counts } = yield* sync(connection)
      assert.deepInclude(counts, { listed: 3, stored: 3, deleted: 1, patched: 1, deletionsHeld: 0, downloads: 3 })
      const store = yield* WholeStore
      const patched = yield* store.content(connection.id, "m000005")
      assert.deepStrictEqual(Option.getOrThrow(patched).metadata, { label: "seen" })
      assert.deepStrictEqual(yield* ids(connection, "deleted"), ["m000004"])
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("sees an edit by its revision, and stores it as updated", () => {
    const source = new MemorySource()
    source.by = "revision"
    source.add("a", { revision: "1" })
    source.add("b", { revision: "1" })
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.add("a", { revision: "2", body: bytes("edited") })
      source.add("b", { revision: "2" })
      const { counts } = yield* sync(connection)
      assert.deepInclude(counts, { listed: 2, updated: 1, unchanged: 1, stored: 0 })
      const again = yield* sync(connection)
      assert.deepInclude(again.counts, { listed: 0, downloads: 0 })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("keeps the revision that came with the bytes, not the one that was listed", () => {
    const source = new MemorySource()
    source.by = "revision"
    source.add("a", { revision: "r1", downloaded: "r2" })
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      const store = yield* WholeStore
      assert.deepStrictEqual(yield* store.revisions(connection.id, ["a"]), new Map([["a", Option.some("r2")]]))
      source.add("a", { revision: "r2" })
      assert.deepInclude((yield* sync(connection)).counts, { listed: 1, existing: 1, downloads: 0 })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("takes an id that changes twice in one slice twice, in order, and ends with its last revision", () => {
    const source = new MemorySource()
    source.by = "revision"
    source.pageSize = 1
    source.add("a", { revision: "1" })
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      // Each time it is asked what changed, there is one more edit.
      let revision = 2
      source.add("a", { revision: "2", body: bytes("edit 2") })
      source.answer = (method) =>
        Effect.sync(() => {
          if (method !== "changes" || revision === 4) return
          revision += 1
          source.add("a", { revision: String(revision), body: bytes(`edit ${revision}`) })
        })
      const { counts } = yield* moving(sync(connection))
      assert.deepInclude(counts, { listed: 3, downloads: 2, existing: 1 })
      const store = yield* WholeStore
      const row = Option.getOrThrow(yield* store.content(connection.id, "a"))
      assert.strictEqual(row.revision, "4")
      assert.strictEqual(Buffer.concat(yield* Stream.runCollect(store.body(row.hash ?? ""))).toString(), "edit 4")
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("does not delete what the source took away and gave back in the same slice", () => {
    const source = new MemorySource()
    source.pageSize = 1
    source.addMany(5)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      const item = source.items.get("m000002")
      source.remove("m000002")
      source.add("m000002", item)
      // The source's log still tells the deletion, as a feed of events does.
      source.tellsAll = true
      const { counts } = yield* sync(connection)
      assert.deepInclude(counts, { deleted: 0, deletionsHeld: 0 })
      assert.strictEqual((yield* ids(connection)).length, 5)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("keeps an unusable id from stopping anything, and says so", () => {
    const source = new MemorySource()
    source.add("good")
    source.add("bad\0id")
    source.add("x".repeat(1025))
    return Effect.gen(function* () {
      const result = yield* sync(yield* connect())
      assert.strictEqual(result.status, "partial")
      assert.deepInclude(result.counts, { listed: 3, stored: 1, failed: 2 })
      assert.strictEqual(result.problems.length, 2)
    }).pipe(Effect.provide(layer(source)))
  })
})

describe("force", () => {
  it.effect("downloads all again and asks the checker nothing", () => {
    const source = new MemorySource()
    source.addMany(25)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      const { counts, status } = yield* sync(connection, { force: true })
      assert.strictEqual(status, "succeeded")
      assert.deepInclude(counts, { listed: 25, unchanged: 25, existing: 0, downloads: 25, checkerQueries: 0 })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("by ids alone downloads those and lists nothing", () => {
    const source = new MemorySource()
    source.addMany(12)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.items.set("m000003", { body: bytes("other") })
      const calls = source.calls.length
      source.items.delete("m000005")
      const { counts, problems, status } = yield* sync(connection, {
        forceIds: ["m000003", "m000004", "m000005", "nowhere"]
      })
      assert.strictEqual(status, "partial")
      assert.deepStrictEqual(problems.map(({ message, place }) => [place, message]).toSorted(), [
        ["m000005", "not found at the source"],
        ["nowhere", "not found at the source"]
      ])
      // An id that was never stored leaves no row.
      const there = yield* WholeStore
      assert.isTrue(Option.isNone(yield* there.content(connection.id, "nowhere")))
      assert.deepInclude(counts, { forced: 4, updated: 1, unchanged: 1, gone: 2, listed: 0, checkerQueries: 0 })
      assert.deepStrictEqual(source.calls.slice(calls).toSorted(), [
        "download m000003",
        "download m000004",
        "download m000005",
        "download nowhere"
      ])
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("and windowed tasks leave the live checkpoint alone", () => {
    const source = new MemorySource()
    const day = (text: string) => DateTime.makeUnsafe(`${text}T00:00:00Z`)
    source.add("old", { at: day("2026-01-01") })
    source.add("new", { at: day("2026-06-01") })
    return Effect.gen(function* () {
      const connection = yield* connect()
      const windowed = yield* sync(connection, { window: { since: day("2026-03-01") } })
      assert.deepInclude(windowed.counts, { listed: 1, stored: 1 })
      const store = yield* WholeStore
      const after = Option.getOrThrow(yield* store.connection(connection.id))
      assert.isTrue(Option.isNone(after.checkpoint))
      const live = yield* sync(connection)
      assert.deepInclude(live.counts, { listed: 2, existing: 1, stored: 1 })
    }).pipe(Effect.provide(layer(source)))
  })
})

describe("an item that fails", () => {
  it.effect("goes to the ledger, blocks nothing, and comes back", () => {
    const source = new MemorySource()
    source.addMany(15)
    source.answer = failing("m000007")
    return Effect.gen(function* () {
      const connection = yield* connect()
      const first = yield* sync(connection)
      assert.strictEqual(first.status, "partial")
      assert.deepInclude(first.counts, { stored: 14, failed: 1 })
      const store = yield* WholeStore
      const [row] = yield* store.ledger(connection.id, { limit: 10 })
      assert.deepInclude(row, { externalId: "m000007", state: "failed", reason: "Malformed", attempts: 1 })

      source.answer = () => Effect.void
      const second = yield* sync(connection)
      assert.strictEqual(second.status, "succeeded")
      assert.deepInclude(second.counts, { retried: 1, stored: 1, listed: 0 })
      assert.deepStrictEqual(yield* store.ledger(connection.id, { limit: 10 }), [])
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("is dead after its last attempt, and a person can redrive it", () => {
    const source = new MemorySource()
    source.add("a")
    source.answer = only("download a", fault(new Forbidden({ message: "not ours" })))
    return Effect.gen(function* () {
      const connection = yield* connect()
      for (let attempt = 1; attempt <= 8; attempt += 1) {
        assert.strictEqual((yield* sync(connection)).counts.failed, 1, `attempt ${attempt}`)
      }
      assert.deepStrictEqual(yield* ids(connection, "dead"), ["a"])
      assert.deepInclude((yield* sync(connection)).counts, { retried: 0, failed: 0, downloads: 0 })

      source.answer = () => Effect.void
      const engine = yield* Engine
      const retried = yield* engine.retry(connection, ["a"])
      assert.deepInclude(retried.counts, { retried: 1, stored: 1 })
      const unknown = yield* Effect.flip(engine.retry(connection, ["zzz"]))
      assert.include(unknown.message, "zzz")
    }).pipe(Effect.provide(layer(source)))
  })

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
      // Bodies are read one at a time: the first two before anything was held, the third after the share was used up.
      assert.deepStrictEqual(held, [0, 0, 11])
    }).pipe(Effect.provide(layer(source, { store, limits: { inlineBytes: 100, concurrency: 1 } })))
  })

  it.effect("whose whole body was given at once is checked as well", () => {
    const source = new MemorySource()
    source.add("a", { body: bytes("abc"), announced: { size: 4 } })
    return Effect.gen(function* () {
      assert.strictEqual((yield* sync(yield* connect())).counts.failed, 1)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("that is too large is dead at once", () => {
    const source = new MemorySource()
    source.add("a")
    source.add("endless", { body: Stream.forever(Stream.succeed(new Uint8Array(1024))) })
    source.answer = only("download a", fault(new TooLarge({ message: "a movie" })))
    return Effect.gen(function* () {
      const connection = yield* connect()
      assert.strictEqual((yield* sync(connection)).counts.failed, 2)
      assert.deepStrictEqual(yield* ids(connection, "dead"), ["a", "endless"])
    }).pipe(Effect.provide(layer(source, { limits: { bodyBytes: 100_000, inlineBytes: 10_000 } })))
  })

  it.effect("since it still changes is deferred at no attempt, and taken at the next poll", () => {
    const source = new MemorySource()
    source.add("a")
    source.answer = only("download a", fault(new Unsettled({ message: "still growing" })))
    return Effect.gen(function* () {
      const connection = yield* connect()
      const first = yield* sync(connection)
      assert.strictEqual(first.status, "succeeded")
      assert.deepInclude(first.counts, { deferred: 1, failed: 0 })
      source.answer = () => Effect.void
      assert.deepInclude((yield* sync(connection)).counts, { retried: 1, stored: 1 })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("that hangs holds up no other item, and its page's checkpoint waits for it", () => {
    const source = new MemorySource()
    source.addMany(60)
    source.answer = only("download m000003", Effect.never)
    return Effect.gen(function* () {
      const connection = yield* connect()
      const running = yield* Effect.forkChild(sync(connection))
      yield* until(Effect.map(ids(connection), (there) => there.length === 59))
      const store = yield* WholeStore
      const row = Effect.map(store.connection(connection.id), Option.getOrThrow)
      assert.isTrue(Option.isNone((yield* row).checkpoint))
      // In the end it is given up, as the deadline of its call says.
      const { counts } = yield* moving(Fiber.join(running), "5 seconds")
      assert.deepInclude(counts, { stored: 59, failed: 1 })
      assert.isTrue(Option.isSome((yield* row).checkpoint))
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("with most of the others has the run given up, with what is stored kept", () => {
    const source = new MemorySource()
    source.pageSize = 50
    source.addMany(400)
    source.answer = (method) =>
      method.startsWith("download") && source.downloaded.length >= 20
        ? fault(new Malformed({ message: "a new format" }))
        : Effect.void
    return Effect.gen(function* () {
      const connection = yield* connect()
      const result = yield* sync(connection)
      assert.strictEqual(result.error?.reason, "TooManyFailures")
      assert.strictEqual(result.counts.stored, 20)
      assert.isBelow(result.counts.failed, 100)
      source.answer = () => Effect.void
      assert.strictEqual((yield* sync(connection)).status, "succeeded")
      assert.strictEqual((yield* ids(connection)).length, 400)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("whose body stops is failed, not waited for without end", () => {
    const source = new MemorySource()
    source.add("a", { body: Stream.concat(Stream.succeed(bytes("begun")), Stream.never) })
    return Effect.gen(function* () {
      const connection = yield* connect()
      const result = yield* moving(sync(connection))
      assert.deepInclude(result.counts, { failed: 1 })
    }).pipe(Effect.provide(layer(source)))
  })
})

describe("a source that refuses", () => {
  it.effect("for a lost grant pauses the connection, and connecting again resumes it", () => {
    const source = new MemorySource()
    source.addMany(3)
    source.answer = only("list", fault(new Unauthorized({ message: "the grant was revoked" })))
    return Effect.gen(function* () {
      const connection = yield* connect()
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "failed")
      assert.deepStrictEqual(result.error, { reason: "Unauthorized", message: "the grant was revoked" })
      const store = yield* WholeStore
      const paused = Option.getOrThrow(yield* store.connection(connection.id))
      assert.include(paused.paused ?? "", "the grant was revoked")
      source.answer = () => Effect.void
      assert.isNull((yield* connect()).paused)
      assert.strictEqual((yield* sync(connection)).counts.stored, 3)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("has its pause lifted by a sync that works; a person's pause stays", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      const connection = yield* connect()
      const store = yield* WholeStore
      const paused = Effect.map(store.connection(connection.id), (row) => Option.getOrThrow(row).paused)
      yield* store.setPaused(connection.id, pausedByPerson)
      assert.strictEqual((yield* sync(connection)).counts.stored, 3)
      assert.strictEqual(yield* paused, pausedByPerson)
      yield* store.setPaused(connection.id, "the grant was revoked")
      yield* sync(connection)
      assert.isNull(yield* paused)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("for quota costs no item an attempt: the sync waits as long as asked and goes on", () => {
    const source = new MemorySource()
    source.addMany(30)
    let refusals = 0
    source.answer = (method) => {
      if (method !== "download m000012" || refusals >= 3) return Effect.void
      refusals += 1
      return fault(new RateLimited({ message: "slow down" }))
    }
    return Effect.gen(function* () {
      const connection = yield* connect()
      const result = yield* moving(sync(connection))
      assert.strictEqual(result.status, "succeeded")
      assert.deepInclude(result.counts, { failed: 0 })
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()].toSorted())
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("by our own quota ends the slice, not the sync: nothing is deferred, and nothing is fetched twice", () => {
    const source = new MemorySource()
    source.pageSize = 50
    source.addMany(400)
    return Effect.gen(function* () {
      // Two units a second: a slice of a minute gets through about a page and a half.
      const connection = yield* connect({ config: { quota: { unitsPerMinute: 120 } } })
      const result = yield* moving(sync(connection))
      assert.strictEqual(result.status, "succeeded")
      assert.deepInclude(result.counts, { stored: 400, deferred: 0, retried: 0, downloads: 400 })
      const store = yield* WholeStore
      assert.isAbove((yield* store.runs(connection.id, 100)).length, 2)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("for a long time ends the sync, with what is left deferred", () => {
    const source = new MemorySource()
    source.addMany(30)
    source.answer = only(
      "download m000012",
      fault(new RateLimited({ message: "come back tomorrow", retryAfter: Duration.hours(8) }))
    )
    return Effect.gen(function* () {
      const connection = yield* connect()
      const result = yield* moving(sync(connection))
      assert.strictEqual(result.error?.reason, "RateLimited")
      assert.isAbove(result.counts.deferred, 0)
      assert.strictEqual(result.counts.failed, 0)
      const store = yield* WholeStore
      const after = Option.getOrThrow(yield* store.connection(connection.id))
      assert.isNull(after.paused)
      const wait = DateTime.distance(yield* DateTime.now, after.nextPollAt)
      assert.isAbove(Duration.toHours(wait), 7)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("for a long time ends a task of its own, which only the same command continues", () => {
    const source = new MemorySource()
    source.addMany(3)
    source.answer = only("list", fault(new RateLimited({ message: "tomorrow", retryAfter: Duration.hours(8) })))
    return Effect.gen(function* () {
      const connection = yield* connect()
      const live = yield* moving(sync(connection))
      assert.include(live.error?.message ?? "", "comes with a later poll")
      const { error } = yield* moving(sync(connection, { force: true }))
      assert.notInclude(error?.message ?? "", "poll")
      assert.include(error?.message ?? "", "the same command continues within 1d")
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("for a century is asked again after a day, and the connection says until when", () => {
    const source = new MemorySource()
    source.addMany(3)
    const asked = new RateLimited({ message: "slow down", retryAfter: Duration.seconds(9_999_999_999) })
    source.answer = only("download m000001", fault(asked))
    return Effect.gen(function* () {
      const connection = yield* connect()
      const result = yield* moving(sync(connection))
      assert.include(result.error?.message ?? "", "asks to wait 1d")
      const store = yield* WholeStore
      const after = Option.getOrThrow(yield* store.connection(connection.id))
      const wait = DateTime.distance(yield* DateTime.now, after.nextPollAt)
      assert.isAtMost(Duration.toHours(wait), 24)
      assert.isAbove(Duration.toHours(wait), 23)
      assert.deepStrictEqual(after.askedWaitUntil, after.nextPollAt)

      source.answer = () => Effect.void
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* moving(sync(connection))).error, null)
      assert.isNull(Option.getOrThrow(yield* store.connection(connection.id)).askedWaitUntil)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("is said of the connection, also where a task of its own or an earlier run was asked", () => {
    const source = new MemorySource()
    source.addMany(3)
    const asked = new RateLimited({ message: "slow down", retryAfter: Duration.hours(2) })
    return Effect.gen(function* () {
      const store = yield* WholeStore
      const connection = yield* connect()
      const other = yield* connect({ name: "other" })
      const hoursAsked = Effect.gen(function* () {
        const { askedWaitUntil } = Option.getOrThrow(yield* store.connection(connection.id))
        return askedWaitUntil === null ? null : Duration.toHours(DateTime.distance(yield* DateTime.now, askedWaitUntil))
      })
      source.answer = only("list", fault(asked))
      const { status } = yield* moving(sync(connection, { force: true }))
      assert.strictEqual(status, "failed")
      assert.closeTo((yield* hoursAsked) ?? 0, 2, 0.1)
      // A connection that nobody told, of the same account: the wait comes from the shared budget.
      assert.strictEqual((yield* poll(other)).next._tag, "Wait")
      const { askedWaitUntil, lastCheckedAt } = Option.getOrThrow(yield* store.connection(other.id))
      assert.isNotNull(askedWaitUntil)
      assert.isNull(lastCheckedAt)
      source.answer = () => Effect.void
      yield* TestClock.adjust("2 hours")
      yield* poll(connection)
      assert.isNull(yield* hoursAsked)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("by the stream of a body is bounded too", () => {
    const source = new MemorySource()
    const asked = new RateLimited({ message: "slow down", retryAfter: Duration.infinity })
    source.add("a", { body: Stream.fail(new IntegrationError({ reason: asked })) })
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* moving(sync(connection))
      const after = Option.getOrThrow(yield* (yield* WholeStore).connection(connection.id))
      assert.isAtMost(Duration.toHours(DateTime.distance(yield* DateTime.now, after.nextPollAt)), 24)
    }).pipe(Effect.provide(layer(source)))
  })

  for (const [name, reason] of [
    ["is down", new Transient({ message: "503" })],
    ["refuses the account", new Forbidden({ message: "suspended", ofAccount: true })]
  ] as const) {
    it.effect(`that ${name} costs no item an attempt, and fails the run`, () => {
      const source = new MemorySource()
      source.addMany(40)
      source.answer = (method) =>
        method.startsWith("download") && source.downloaded.length >= 10 ? fault(reason) : Effect.void
      return Effect.gen(function* () {
        const connection = yield* connect()
        const result = yield* moving(sync(connection))
        assert.strictEqual(result.status, "failed")
        assert.strictEqual(result.error?.reason, reason._tag)
        assert.deepInclude(result.counts, { failed: 0 })
        const store = yield* WholeStore
        const ledger = yield* store.ledger(connection.id, { limit: 100 })
        assert.isTrue(ledger.every((row) => row.state === "deferred" && row.attempts === 0))

        source.answer = () => Effect.void
        assert.strictEqual((yield* sync(connection)).status, "succeeded")
        assert.strictEqual((yield* ids(connection)).length, 40)
      }).pipe(Effect.provide(layer(source)))
    })
  }

  it.effect("one item with a fault that passes is asked again at once", () => {
    const source = new MemorySource()
    source.add("a")
    let faults = 2
    source.answer = () => {
      faults -= 1
      return faults >= 0 ? fault(new Transient({ message: "reset" })) : Effect.void
    }
    return Effect.gen(function* () {
      const connection = yield* moving(connect())
      const result = yield* moving(sync(connection))
      assert.deepInclude(result.counts, { stored: 1, failed: 0 })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("the whole listing fails the run, and reads as no deletion", () => {
    const source = new MemorySource()
    source.addMany(5)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.answer = only("changes", fault(new Forbidden({ message: "no access" })))
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "failed")
      assert.strictEqual((yield* ids(connection)).length, 5)
    }).pipe(Effect.provide(layer(source)))
  })
})

describe("a checkpoint", () => {
  it.effect("that the source has forgotten means a full listing that downloads only what is missing", () => {
    const source = new MemorySource()
    source.addMany(30)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.addMany(2)
      source.remove("m000001")
      source.expiredBefore = source.log.length
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "succeeded")
      assert.deepInclude(result.counts, { listed: 31, existing: 29, stored: 2, downloads: 2, deleted: 1 })
      assert.include(result.notes.join(), "listing in full")
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("of another scope means a full listing that deletes nothing, then or later", () => {
    const source = new MemorySource()
    source.addMany(10, "a/")
    source.addMany(10, "b/")
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      yield* connect({ config: { folder: "a/" } })
      const result = yield* sync(connection)
      assert.deepInclude(result.counts, { listed: 10, existing: 10, deleted: 0, deletionsHeld: 0 })
      assert.include(result.notes.join(), "deleting nothing")
      source.expiredBefore = source.log.length + 1
      yield* Effect.sync(() => source.remove("a/000003"))
      source.expiredBefore = source.log.length
      const later = yield* sync(connection)
      assert.deepInclude(later.counts, { deleted: 1 })
      assert.strictEqual((yield* ids(connection)).length, 19)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("stays where a change of config does not touch the scope", () => {
    const source = new MemorySource()
    source.addMany(10)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      yield* connect({ config: { note: "only a note" } })
      assert.deepInclude((yield* sync(connection)).counts, { listed: 0, apiCalls: 1 })
    }).pipe(Effect.provide(layer(source)))
  })
})

describe("deletions", () => {
  it.effect("of more than the threshold are held until a person approves", () => {
    const source = new MemorySource()
    source.addMany(300)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      for (const id of [...source.items.keys()].slice(0, 150)) source.remove(id)
      const held = yield* sync(connection)
      assert.deepInclude(held.counts, { deleted: 0, deletionsHeld: 150 })
      const store = yield* WholeStore
      assert.strictEqual((yield* ids(connection)).length, 300)
      const { token } = yield* store.deletions(connection.id, { which: "held", limit: 1 })
      assert.strictEqual(yield* store.approveDeletions(connection.id, { token }), 150)
      assert.strictEqual((yield* ids(connection)).length, 150)
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("are taken back when the content comes again", () => {
    const source = new MemorySource()
    source.addMany(10)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.remove("m000002")
      yield* sync(connection)
      source.add("m000002")
      assert.deepInclude((yield* sync(connection)).counts, { stored: 1 })
      assert.strictEqual((yield* ids(connection)).length, 10)
    }).pipe(Effect.provide(layer(source)))
  })
})

describe("a run that ends in the middle", () => {
  const killed = (task: { readonly force: boolean }) => {
    const source = new MemorySource()
    source.pageSize = 50
    source.addMany(200)
    return Effect.gen(function* () {
      const store = yield* shared
      const gate = yield* Deferred.make<void>()
      if (task.force) {
        yield* Effect.gen(function* () {
          yield* sync(yield* connect())
        }).pipe(Effect.provide(layer(source, { store })))
      }
      const before = source.downloaded.length
      let commits = 0
      const crashing = faulty(store, (method) => {
        commits += method === "commit" ? 1 : 0
        return commits > 7 ? Effect.andThen(Deferred.succeed(gate, undefined), Effect.never) : Effect.void
      })
      const connection = yield* connect().pipe(Effect.provide(layer(source, { store })))
      const limits = { batchItems: 10, groupItems: 15, concurrency: 4 }
      const fiber = yield* sync(connection, task).pipe(
        Effect.provide(layer(source, { store: crashing, limits })),
        Effect.forkDetach
      )
      yield* Deferred.await(gate)
      // The process is gone: nothing of it runs on, and its lease is still there. It is not waited for, since it is
      // dead.
      const held = Option.getOrThrow(
        yield* Effect.flatMap(WholeStore, (one) => one.connection(connection.id)).pipe(Effect.provide(store))
      )
      assert.isNotNull(held.lease)
      yield* TestClock.adjust("1 minute")
      const result = yield* sync(connection, task).pipe(Effect.provide(layer(source, { store, limits })))
      assert.strictEqual(result.status, "succeeded")
      const again = source.downloaded.length - before - 200
      assert.isAtMost(again, 2 * limits.groupItems + limits.concurrency + 16, "two batches and what was in flight")
      const there = yield* ids(connection).pipe(Effect.provide(store))
      assert.deepStrictEqual(there, [...source.items.keys()].toSorted())
      fiber.interruptUnsafe()
    }).pipe(Effect.scoped)
  }

  it.effect("is taken up by the next, which loses and repeats no more than two batches", () => killed({ force: false }))
  it.effect("is taken up where it was when it was forced, too", () => killed({ force: true }))

  it.effect("ended by one of two commands that asked for it says the same to both", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      const connection = yield* connect()
      const asked = yield* Deferred.make<void>()
      const answered = yield* Deferred.make<void>()
      source.answer = (method) =>
        method === "download m000001"
          ? fault(new Malformed({ message: "no" }))
          : method === "download m000002"
            ? Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(answered))
            : Effect.void
      const first = yield* Effect.forkChild(sync(connection, { force: true }))
      yield* Deferred.await(asked)
      const second = yield* Effect.forkChild(sync(connection, { force: true }))
      yield* TestClock.adjust("1 second")
      yield* Deferred.succeed(answered, undefined)
      const one = yield* moving(Fiber.join(first))
      const other = yield* moving(Fiber.join(second))
      assert.deepInclude(one, { status: "partial" })
      assert.strictEqual(one.counts.failed, 1)
      const said = ({ counts, run, status, task }: typeof one) => ({ counts, run, status, task })
      assert.deepStrictEqual(said(other), said(one))
    }).pipe(Effect.provide(layer(source)))
  })
})

describe("a forced sync whose task's end can't be written", () => {
  it.effect("fails, so that the same command continues the task and a later one downloads all again", () => {
    const source = new MemorySource()
    source.addMany(3)
    return Effect.gen(function* () {
      const store = yield* shared
      const away = new StoreError({ message: "writing the end of a task: the connection was lost", cause: "reset" })
      const failing = replaceMethods((real) => ({ ...real, finishTask: () => Effect.fail(away) }))
      const over = layer(source, { store: Layer.provide(failing, store) })
      const connection = yield* connect().pipe(Effect.provide(over))
      const first = yield* sync(connection, { force: true }).pipe(Effect.provide(over))
      assert.deepInclude(first, { status: "failed", error: { reason: "StoreError", message: away.message } })
      assert.strictEqual(source.downloaded.length, 3)
      const again = () => sync(connection, { force: true }).pipe(Effect.provide(layer(source, { store })))
      const second = yield* again()
      assert.deepInclude(second, { status: "succeeded", task: first.task })
      assert.strictEqual(source.downloaded.length, 3)
      const third = yield* again()
      assert.notStrictEqual(third.task, first.task)
      assert.strictEqual(source.downloaded.length, 6)
    }).pipe(Effect.scoped)
  })
})

describe("a dry run", () => {
  it.effect("says how many deletions would be held, and the run then holds as many", () => {
    const source = new MemorySource()
    source.addMany(300)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      for (const id of [...source.items.keys()].slice(0, 150)) source.remove(id)
      const { planned } = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(planned, { download: 0, delete: 150, patch: 0, held: 150 })
      assert.deepInclude((yield* sync(connection)).counts, { deleted: 0, deletionsHeld: 150 })
      const later = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(later.planned, { download: 0, delete: 0, patch: 0, held: 150 })
      const few = [...source.items.keys()].slice(0, 3)
      for (const id of few) source.remove(id)
      const again = yield* sync(connection, { dryRun: true })
      assert.deepStrictEqual(again.planned, { download: 0, delete: 3, patch: 0, held: 153 })
    }).pipe(Effect.provide(layer(source)))
  })

  it.effect("says what would be done and leaves the store as it was", () => {
    const source = new MemorySource()
    source.addMany(12)
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.addMany(2)
      source.remove("m000001")
      source.patch("m000002", { label: "x" })
      const store = yield* WholeStore
      const before = yield* store.connection(connection.id)
      const result = yield* sync(connection, { dryRun: true })
      assert.strictEqual(result.status, "planned")
      assert.isNull(result.run)
      assert.deepStrictEqual(result.planned, { download: 2, delete: 1, patch: 1, held: 0 })
      assert.deepStrictEqual(yield* store.connection(connection.id), before)
      assert.strictEqual((yield* ids(connection)).length, 12)
    }).pipe(Effect.provide(layer(source)))
  })
})
