import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import { Engine, type Progress } from "../../../src/engine/Engine.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { moving } from "../../support/Moving.ts"
import { bytes } from "../../support/MemorySource.ts"
import { ids, poll, sync, withConnection } from "../../support/TestEngine.ts"

describe("a sync", () => {
  it.effect("stores everything once, and a second one does nothing", () =>
    withConnection(function* (source, connection) {
      source.addMany(45)
      const first = yield* sync(connection)
      assert.strictEqual(first.status, "succeeded")
      assert.deepInclude(first.counts, { listed: 45, stored: 45, existing: 0, downloads: 45, checkerQueries: 5 })
      assert.deepStrictEqual(yield* ids(connection), [...source.items.keys()].toSorted())

      const calls = source.calls.length
      const second = yield* sync(connection)
      assert.deepInclude(second.counts, { listed: 0, stored: 0, downloads: 0, apiCalls: 1, checkerQueries: 0 })
      assert.deepStrictEqual(source.calls.slice(calls), ["changes"])
      assert.strictEqual(source.open, 0)
    })
  )

  it.effect("reports progress that never goes back, and ends with what it did", () =>
    withConnection(
      function* (source, connection) {
        source.addMany(50)
        source.answer = (method) => (method.startsWith("download") ? Effect.sleep("500 millis") : Effect.void)
        const reports: Array<Progress> = []
        const onProgress = (progress: Progress) => Effect.sync(() => reports.push(progress))
        const engine = yield* Engine
        const options = { spec: "", wait: true, onProgress }
        const { counts } = yield* moving(engine.sync(connection, SyncTask.poll, options), "100 millis")
        for (const key of ["listed", "stored", "downloads", "apiCalls"] as const) {
          const seen = reports.map((report) => report.counts[key])
          assert.deepStrictEqual(
            seen,
            seen.toSorted((a, b) => a - b),
            key
          )
          assert.isAbove(new Set(seen).size, 3, key)
          assert.strictEqual(seen.at(-1), counts[key], key)
        }
        assert.strictEqual(reports.at(-1)?.remaining, 0)
      },
      { batchItems: 10 }
    )
  )

  it.effect("fetches an id that the listing repeats once, and counts each occurrence", () =>
    withConnection(function* (source, connection) {
      source.addMany(30)
      source.repeats = true
      const { counts } = yield* sync(connection)
      assert.deepInclude(counts, { listed: 32, stored: 30, existing: 2, downloads: 30 })
    })
  )

  it.effect("takes what was added, patched and deleted since", () =>
    withConnection(function* (source, connection) {
      source.addMany(20)
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
    })
  )

  it.effect("sees an edit by its revision, and stores it as updated", () =>
    withConnection(function* (source, connection) {
      source.by = "revision"
      source.add("a", { revision: "1" })
      source.add("b", { revision: "1" })
      yield* sync(connection)
      source.add("a", { revision: "2", body: bytes("edited") })
      source.add("b", { revision: "2" })
      const { counts } = yield* sync(connection)
      assert.deepInclude(counts, { listed: 2, updated: 1, unchanged: 1, stored: 0 })
      const again = yield* sync(connection)
      assert.deepInclude(again.counts, { listed: 0, downloads: 0 })
    })
  )

  it.effect("keeps the revision that came with the bytes, not the one that was listed", () =>
    withConnection(function* (source, connection) {
      source.by = "revision"
      source.add("a", { revision: "r1", downloaded: "r2" })
      yield* sync(connection)
      const store = yield* WholeStore
      assert.deepStrictEqual(yield* store.revisions(connection.id, ["a"]), new Map([["a", Option.some("r2")]]))
      source.add("a", { revision: "r2" })
      assert.deepInclude((yield* sync(connection)).counts, { listed: 1, existing: 1, downloads: 0 })
    })
  )

  it.effect("keeps the revision of what a forced download finds unchanged, so that no listing downloads it again", () =>
    withConnection(function* (source, connection) {
      source.by = "revision"
      source.add("a", { revision: "1" })
      source.add("b", { revision: "1" })
      yield* sync(connection)
      // The forced download finds the change of `b`, but does not know its revision.
      source.add("b", { revision: "2", body: bytes("edited") })
      const forced = yield* sync(connection, { forceIds: ["a", "b"] })
      assert.deepInclude(forced.counts, { forced: 2, unchanged: 1, updated: 1 })
      source.expiredBefore = source.log.length + 1
      const { counts } = yield* sync(connection)
      assert.deepInclude(counts, { listed: 2, existing: 1, unchanged: 1, downloads: 1 })
    })
  )

  it.effect("takes an id that changes twice in one slice twice, in order, and ends with its last revision", () =>
    withConnection(function* (source, connection) {
      source.by = "revision"
      source.pageSize = 1
      source.add("a", { revision: "1" })
      yield* sync(connection)
      // Each request for changes returns one more edit.
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
    })
  )

  it.effect("does not delete what the source took away and gave back in the same slice", () =>
    withConnection(function* (source, connection) {
      source.pageSize = 1
      source.addMany(5)
      yield* sync(connection)
      const item = source.items.get("m000002")
      source.remove("m000002")
      source.add("m000002", item)
      // The source's log still reports the deletion, like a feed of events.
      source.tellsAll = true
      const { counts } = yield* sync(connection)
      assert.deepInclude(counts, { deleted: 0, deletionsHeld: 0 })
      assert.strictEqual((yield* ids(connection)).length, 5)
    })
  )

  it.effect("keeps an unusable id from stopping anything, and says so", () =>
    withConnection(function* (source, connection) {
      source.add("good")
      source.add("bad\0id")
      source.add("x".repeat(1025))
      const result = yield* sync(connection)
      assert.strictEqual(result.status, "partial")
      assert.deepInclude(result.counts, { listed: 3, stored: 1, failed: 2 })
      assert.strictEqual(result.problems.length, 2)
    })
  )
})

describe("a connection whose stored config no longer fits", () => {
  it.effect("has a row for each run that fails, with the reason", () =>
    withConnection(function* (_, connection) {
      const store = yield* WholeStore
      const changed = Option.getOrThrow(yield* store.updateConnection(connection.id, { config: "of an older version" }))
      const synced = yield* sync(changed)
      assert.deepInclude(synced, { status: "failed" })
      const polled = yield* poll(changed)
      const runs = yield* store.runs(connection.id, 10)
      assert.deepStrictEqual<unknown>(
        runs.map(({ error, id, kind, status }) => ({ id, kind, status, reason: error?.reason })),
        [
          { id: polled.runId, kind: "poll", status: "failed", reason: "Config" },
          { id: synced.run, kind: "sync", status: "failed", reason: "Config" }
        ]
      )
    })
  )
})

describe("force", () => {
  it.effect("downloads all again and asks the checker nothing", () =>
    withConnection(function* (source, connection) {
      source.addMany(25)
      yield* sync(connection)
      const { counts, status } = yield* sync(connection, { force: true })
      assert.strictEqual(status, "succeeded")
      assert.deepInclude(counts, { listed: 25, unchanged: 25, existing: 0, downloads: 25, checkerQueries: 0 })
    })
  )

  it.effect("by ids alone downloads those and lists nothing", () =>
    withConnection(function* (source, connection) {
      source.addMany(12)
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
      // An id that was never stored has no row.
      const there = yield* WholeStore
      assert.isTrue(Option.isNone(yield* there.content(connection.id, "nowhere")))
      assert.deepInclude(counts, { forced: 4, updated: 1, unchanged: 1, gone: 2, listed: 0, checkerQueries: 0 })
      assert.deepStrictEqual(source.calls.slice(calls).toSorted(), [
        "download m000003",
        "download m000004",
        "download m000005",
        "download nowhere"
      ])
    })
  )

  it.effect("and windowed tasks leave the live checkpoint alone", () =>
    withConnection(function* (source, connection) {
      const day = (text: string) => DateTime.makeUnsafe(`${text}T00:00:00Z`)
      source.add("old", { at: day("2026-01-01") })
      source.add("new", { at: day("2026-06-01") })
      const windowed = yield* sync(connection, { window: { since: day("2026-03-01") } })
      assert.deepInclude(windowed.counts, { listed: 1, stored: 1 })
      const store = yield* WholeStore
      const after = Option.getOrThrow(yield* store.connection(connection.id))
      assert.isTrue(Option.isNone(after.checkpoint))
      const live = yield* sync(connection)
      assert.deepInclude(live.counts, { listed: 2, existing: 1, stored: 1 })
    })
  )
})

describe("deletions", () => {
  it.effect("of more than the threshold are held until a person approves", () =>
    withConnection(function* (source, connection) {
      source.addMany(300)
      yield* sync(connection)
      for (const id of [...source.items.keys()].slice(0, 150)) source.remove(id)
      const held = yield* sync(connection)
      assert.deepInclude(held.counts, { deleted: 0, deletionsHeld: 150 })
      const store = yield* WholeStore
      assert.strictEqual((yield* ids(connection)).length, 300)
      const { token } = yield* store.deletions(connection.id, { which: "held", limit: 1 })
      assert.strictEqual(yield* store.approveDeletions(connection.id, { token }), 150)
      assert.strictEqual((yield* ids(connection)).length, 150)
    })
  )

  it.effect("are taken back when the content comes again", () =>
    withConnection(function* (source, connection) {
      source.addMany(10)
      yield* sync(connection)
      source.remove("m000002")
      yield* sync(connection)
      source.add("m000002")
      assert.deepInclude((yield* sync(connection)).counts, { stored: 1 })
      assert.strictEqual((yield* ids(connection)).length, 10)
    })
  )
})
