/** Texts whose bodies can't be read temporarily, or are not stored. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as PendingTexts from "../../../src/derive/extract/PendingTexts.ts"
import * as FormatReader from "../../../src/derive/extract/FormatReader.ts"
import * as TextExtractor from "../../../src/derive/extract/TextExtractor.ts"
import * as SearchIndexer from "../../../src/derive/search/SearchIndexer.ts"
import * as FeedFollower from "../../../src/derive/FeedFollower.ts"
import type { Projection } from "../../../src/contract/Projection.ts"
import { absent, BodyStore } from "../../../src/engine/store/BodyStore.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import { bytesOf, item, running } from "../../stores/scenario.ts"
import { awaitVisible } from "../../stores/awaitVisible.ts"
import * as Database from "../../support/Postgres.ts"

const layer = Layer.mergeAll(
  Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer)),
  TextExtractor.layer
)

const projection: Projection = {
  version: 1,
  tables: [],
  readsJson: () => true,
  project: () => ({ rows: [], text: { _tag: "extracted", fileName: "note.txt" } })
}

const rows = (query: string) => SqlClient.SqlClient.use((sql) => sql.unsafe(query))

/** The error of a bucket that refuses requests, or of a folder on a failing disk, without a failure of the database. */
const away = (code: string) => new StoreError({ message: `reading a large body: ${code}`, cause: code })

/** Makes a store of bodies that fails as the test sets it, and a content whose text is pending there. */
const scenario = Effect.fnUntraced(function* (id: string) {
  const bodies = yield* BodyStore
  const fault: { current: StoreError | undefined } = { current: undefined }
  const failing = BodyStore.of({
    ...bodies,
    body: (hash, range) => (fault.current === undefined ? bodies.body(hash, range) : Stream.fail(fault.current))
  })
  const { commit } = yield* running()
  const content = item(id, { mediaType: "text/plain", bytes: bytesOf(JSON.stringify(`the words of ${id}`)) })
  yield* commit({ items: [content] })
  yield* awaitVisible
  const follower = yield* FeedFollower.make(new Map([["gmail", projection]])).pipe(
    Effect.provideService(BodyStore, failing)
  )
  const texts = yield* Effect.provideService(PendingTexts.make, BodyStore, failing)
  const text = rows(`SELECT text, reason, version IS NULL AS pending FROM derived.text WHERE external_id = '${id}'`)
  return { fault, follower, texts, text }
})

it.layer(layer, { excludeTestServices: true })("texts of bodies that can't be read", (it) => {
  // S3 responds with SlowDown and ServiceUnavailable; an expired key is AccessDenied; a folder fails with EIO.
  it.effect("stay pending while the store of bodies is away, and come once it is back", () =>
    Effect.gen(function* () {
      const { fault, follower, text, texts } = yield* scenario("away")
      fault.current = away("ServiceUnavailable")
      assert.strictEqual((yield* Effect.flip(follower.catchUp)).message, "reading a large body: ServiceUnavailable")
      fault.current = undefined
      yield* follower.catchUp
      fault.current = away("ServiceUnavailable")
      assert.strictEqual(yield* texts.step, 1)
      assert.deepStrictEqual(yield* text, [{ text: null, reason: null, pending: true }])
      fault.current = undefined
      assert.strictEqual(yield* texts.step, 0)
      yield* PendingTexts.redrive
      yield* texts.step
      assert.deepStrictEqual(yield* text, [{ text: '"the words of away"', reason: null, pending: false }])
    })
  )

  // A folder of blobs that another user has restored, or a prefix of a bucket without permissions, never becomes
  // readable.
  it.effect("keep no other text waiting, and their contents are indexed meanwhile", () =>
    Effect.gen(function* () {
      const { commit } = yield* running()
      const unreadable = new Set<string>()
      const items = Array.from({ length: 60 }, (_, index) =>
        item(`folder-${String(index).padStart(2, "0")}`, { mediaType: "text/plain", bytes: bytesOf(`body ${index}`) })
      )
      yield* commit({ items })
      yield* awaitVisible
      const bodies = yield* BodyStore
      const failing = BodyStore.of({
        ...bodies,
        body: (hash, range) => (unreadable.has(hash) ? Stream.fail(away("EACCES")) : bodies.body(hash, range))
      })
      const follower = yield* FeedFollower.make(new Map([["gmail", projection]]))
      yield* follower.catchUp
      const known = yield* rows(`SELECT encode(sha256, 'hex') AS hash FROM derived.text
        WHERE external_id BETWEEN 'folder-00' AND 'folder-54' AND part = -1`)
      for (const row of known) unreadable.add(Object.values(row).join())
      yield* rows("DELETE FROM derived.pending")
      const texts = yield* Effect.provideService(PendingTexts.make, BodyStore, failing)
      assert.deepStrictEqual([yield* texts.step, yield* texts.step, yield* texts.step], [50, 10, 0])
      assert.deepStrictEqual(
        yield* rows(`SELECT count(*) FILTER (WHERE text IS NOT NULL)::int AS read,
          count(*) FILTER (WHERE next_attempt > clock_timestamp() AND attempts = 1)::int AS waiting
          FROM derived.text WHERE external_id LIKE 'folder-%'`),
        [{ read: 5, waiting: 55 }]
      )
      const indexer = yield* SearchIndexer.make([])
      yield* indexer.step
      assert.deepStrictEqual(
        yield* rows("SELECT count(*)::int AS count FROM derived.search WHERE external_id LIKE 'folder-%'"),
        [{ count: 60 }]
      )
    })
  )

  it.effect("say so where a body is not stored, and are tried again by a rebuild", () =>
    Effect.gen(function* () {
      const { fault, follower, text, texts } = yield* scenario("lost")
      fault.current = absent("00")
      yield* follower.catchUp
      yield* texts.step
      const reason = "damaged: its body is not stored any more"
      assert.deepStrictEqual(yield* text, [{ text: null, reason, pending: false }])
      fault.current = undefined
      yield* rows("UPDATE derived.follower SET cursor = NULL, generation = generation + 1, rebuilding = true")
      yield* follower.catchUp
      yield* texts.step
      assert.deepStrictEqual(yield* text, [{ text: '"the words of lost"', reason: null, pending: false }])
    })
  )
})

const part: FormatReader.Part = {
  ...FormatReader.withoutText("binary", "unsupported", "it holds no text"),
  part: 0,
  fileName: null,
  mediaType: "application/x",
  size: 1,
  sha256: "00",
  inline: false
}

/** An extractor that returns results by the first words of a content. */
const extracting = (answers: Readonly<Record<string, TextExtractor.Extracted>>) =>
  Effect.gen(function* () {
    const { commit } = yield* running()
    yield* commit({
      items: Object.keys(answers).map((id) => item(id, { mediaType: "text/plain", bytes: bytesOf(id) }))
    })
    yield* awaitVisible
    const follower = yield* FeedFollower.make(new Map([["gmail", projection]]))
    yield* follower.catchUp
    return yield* Effect.provideService(
      PendingTexts.make,
      TextExtractor.TextExtractor,
      TextExtractor.TextExtractor.of({
        extract: ({ bytes }) =>
          Effect.map(Stream.runCollect(bytes({ start: 0, end: 100 })), (chunks) => {
            const found = answers[Buffer.concat(chunks).toString()]
            return found ?? { text: FormatReader.withoutText("", "unsupported", "of another test"), parts: [] }
          })
      })
    )
  })

const reading = (text: string): FormatReader.Text => ({
  format: "text",
  text,
  truncated: false,
  reason: null,
  message: null
})

it.layer(layer, { excludeTestServices: true })("texts that the database refuses", (it) => {
  // paperless-ngx#12844: a NUL from one document ends the indexing of all.
  it.effect("are stored without NUL and half characters, in every field", () =>
    Effect.gen(function* () {
      const texts = yield* extracting({
        nul: { text: reading("a\0b\ud800"), parts: [{ ...part, mediaType: "application/x\0y", fileName: "\0.txt" }] }
      })
      yield* texts.step
      assert.deepStrictEqual(
        yield* rows("SELECT text, media_type, file_name FROM derived.text WHERE external_id = 'nul' ORDER BY part"),
        [
          { text: "a\ufffdb\ufffd", media_type: "text/plain", file_name: "note.txt" },
          { text: null, media_type: "application/x\ufffdy", file_name: "\ufffd.txt" }
        ]
      )
    })
  )

  it.effect("get a reason, and those of the same batch are stored", () =>
    Effect.gen(function* () {
      const texts = yield* extracting({
        "poison-a": { text: reading("before"), parts: [] },
        "poison-b": { text: reading("the culprit"), parts: [{ ...part, size: 2 ** 70 }] },
        "poison-c": { text: reading("after"), parts: [] }
      })
      yield* texts.step
      assert.deepStrictEqual(
        yield* rows("SELECT text, reason FROM derived.text WHERE external_id LIKE 'poison-%' ORDER BY external_id"),
        [
          { text: "before", reason: null },
          { text: null, reason: "damaged: its text can't be stored" },
          { text: "after", reason: null }
        ]
      )
      assert.strictEqual(yield* texts.step, 0)
    })
  )

  it.effect("are tried twice more, later, where they took too much time or memory", () =>
    Effect.gen(function* () {
      const texts = yield* extracting({
        slow: { text: reading("the text"), parts: [{ ...part, reason: "time", message: "too long" }] }
      })
      const attempts: Array<unknown> = []
      for (let attempt = 0; attempt < 4; attempt += 1) {
        yield* texts.step
        attempts.push(
          ...(yield* rows(`SELECT text, attempts, next_attempt > clock_timestamp() AS later FROM derived.text
            WHERE external_id = 'slow' AND part = -1`))
        )
        yield* rows("UPDATE derived.text SET next_attempt = '-infinity' WHERE next_attempt IS NOT NULL")
      }
      assert.deepStrictEqual(attempts, [
        { text: "the text", attempts: 1, later: true },
        { text: "the text", attempts: 2, later: true },
        { text: "the text", attempts: null, later: null },
        { text: "the text", attempts: null, later: null }
      ])
    })
  )
})
