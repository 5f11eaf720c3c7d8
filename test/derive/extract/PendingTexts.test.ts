/** Texts whose bodies can't be read for a while, or are not stored. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as PendingTexts from "../../../src/derive/extract/PendingTexts.ts"
import * as TextExtractor from "../../../src/derive/extract/TextExtractor.ts"
import * as FeedFollower from "../../../src/derive/FeedFollower.ts"
import type { Projection } from "../../../src/contract/Projection.ts"
import { absent, BodyStore } from "../../../src/engine/store/BodyStore.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import { bytesOf, item, running } from "../../stores/scenario.ts"
import { visible } from "../../stores/visible.ts"
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

/** The error of a bucket that refuses requests, or of a folder whose disk fails. The database has no part in it. */
const away = (code: string) => new StoreError({ message: `reading a large body: ${code}`, cause: code })

/** A store of bodies that fails as it is told, and a content whose text is pending there. */
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
  yield* visible
  const follower = yield* FeedFollower.make(new Map([["gmail", projection]])).pipe(
    Effect.provideService(BodyStore, failing)
  )
  const texts = yield* Effect.provideService(PendingTexts.make, BodyStore, failing)
  const text = rows(`SELECT text, reason, version IS NULL AS pending FROM derived.text WHERE external_id = '${id}'`)
  return { fault, follower, texts, text }
})

it.layer(layer, { excludeTestServices: true })("texts of bodies that can't be read", (it) => {
  // S3 answers SlowDown and ServiceUnavailable; an expired key is AccessDenied; a folder fails with EIO.
  it.effect("stay pending while the store of bodies is away, and come once it is back", () =>
    Effect.gen(function* () {
      const { fault, follower, text, texts } = yield* scenario("away")
      fault.current = away("ServiceUnavailable")
      assert.strictEqual((yield* Effect.flip(follower.catchUp)).message, "reading a large body: ServiceUnavailable")
      fault.current = undefined
      yield* follower.catchUp
      fault.current = away("ServiceUnavailable")
      assert.strictEqual((yield* Effect.flip(texts.step)).message, "reading a large body: ServiceUnavailable")
      assert.deepStrictEqual(yield* text, [{ text: null, reason: null, pending: true }])
      fault.current = undefined
      yield* texts.step
      assert.deepStrictEqual(yield* text, [{ text: '"the words of away"', reason: null, pending: false }])
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
