/**
 * The laws of derivation: following the feed has the same result as a rebuild, whatever the changes are, and whenever
 * the follower is stopped.
 */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { boolean, integer, type Projection, text } from "../../src/contract/Projection.ts"
import * as FeedFollower from "../../src/derive/FeedFollower.ts"
import * as MirrorTables from "../../src/derive/MirrorTables.ts"
import * as SearchIndexer from "../../src/derive/search/SearchIndexer.ts"
import { FeedStore } from "../../src/engine/store/FeedStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as FeedEpoch from "../../src/stores/postgres/FeedEpoch.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Model from "../stores/model.ts"
import { item, page, nextRun, running, settle } from "../stores/scenario.ts"
import { awaitVisible } from "../stores/awaitVisible.ts"
import * as Database from "../support/Postgres.ts"
import { runs } from "../support/Property.ts"

const store = Postgres.layer.pipe(Layer.provide(Blobs.layer))
const layer = Layer.provideMerge(store, Database.layer)

/**
 * A projection with a table whose rows are removed with a deletion, with two rows for some contents, and a table whose
 * rows are kept.
 */
const projection: Projection = {
  version: 1,
  tables: [
    {
      name: "note",
      description: "Notes.",
      columns: { n: integer("A number."), body: text("The hash of the body.") },
      key: ["n"],
      indexes: ["body"],
      text: true
    },
    { name: "kept_note", description: "Notes that stay.", columns: { n: boolean("Odd.") }, keepsDeleted: true }
  ],
  project: ({ externalId, metadata, sha256 }) => {
    const n = typeof metadata.n === "number" ? metadata.n : 0
    return {
      rows: [
        ...Array.from({ length: n }, (_, index) => ({ table: "note", row: { n: index, body: sha256 } })),
        ...(externalId === "c" ? [] : [{ table: "kept_note", row: { n: n % 2 === 1 } }])
      ],
      text: n === 2 ? { _tag: "given", text: sha256 } : { _tag: "extracted", fileName: null }
    }
  }
}
const projections = new Map([["gmail", projection]])

const run = (statement: string) => SqlClient.SqlClient.use((sql) => sql.unsafe(statement))

/** Replaces the extractor. */
const extract = run(`WITH extracted AS (UPDATE derived.text SET text = encode(sha256, 'hex'), version = 1
    WHERE version IS NULL RETURNING connection_id, external_id)
  INSERT INTO derived.pending (connection_id, external_id) SELECT connection_id, external_id FROM extracted
  ON CONFLICT (connection_id, external_id) DO UPDATE SET position = DEFAULT`)

/** Extracts all texts, and indexes them for search. */
const finish = Effect.gen(function* () {
  yield* extract
  const indexer = yield* SearchIndexer.make(yield* MirrorTables.ensure(projections))
  while ((yield* indexer.step) > 0);
})

/** Reads all derived rows except the queue. */
const derived = Effect.gen(function* () {
  yield* finish
  const tables = ["content", "note", "kept_note", "text", "search", "search_name"]
  const all = yield* Effect.forEach(tables, (name) =>
    run(`SELECT coalesce(json_agg(t ORDER BY t::text), '[]')::text AS rows FROM derived.${name} AS t`)
  )
  return all.flat()
})

const rebuild = run("UPDATE derived.follower SET cursor = NULL, generation = generation + 1, rebuilding = true")

const Step = Schema.Union([
  Model.Step,
  Schema.TaggedStruct("follow", { all: Schema.Boolean }),
  Schema.TaggedStruct("finish", {}),
  Schema.TaggedStruct("purge", {}),
  Schema.TaggedStruct("rebuild", {}),
  Schema.TaggedStruct("restored", {})
])

it.layer(layer, { excludeTestServices: true })("derivation", (it) => {
  it.effect.prop(
    "by following equals a rebuild, after any edits, deletions, purges and restores",
    { steps: Model.sequence(Step) },
    ({ steps }) =>
      Effect.gen(function* () {
        const contents = yield* WholeStore
        let current = yield* running()
        const { id } = current
        const follower = yield* FeedFollower.make(projections, { pageSize: 2 })
        for (const step of steps) {
          switch (step._tag) {
            case "follow":
              yield* step.all ? Effect.andThen(awaitVisible, follower.catchUp) : follower.step
              break
            case "finish":
              yield* finish
              break
            case "purge":
              yield* contents.purge(id, DateTime.makeUnsafe("2099-01-01T00:00:00Z"))
              break
            case "rebuild":
              yield* rebuild
              break
            case "restored":
              yield* FeedEpoch.beginIfMoved({ always: true })
              current = yield* nextRun(current)
              break
            case "settle":
              yield* settle(current.fence, { atMost: 100, share: 1 })
              break
            default:
              yield* current.commit(Model.batchOf(step))
          }
        }
        yield* awaitVisible
        yield* follower.catchUp
        const followed = yield* derived
        yield* run("TRUNCATE derived.content, derived.note, derived.kept_note, derived.text, derived.pending")
        yield* run("DELETE FROM derived.search")
        yield* rebuild
        yield* follower.catchUp
        assert.deepStrictEqual(yield* derived, followed)
        yield* contents.disconnect(id, true)
        assert.deepStrictEqual(yield* run("SELECT 1 FROM derived.content"), [])
        assert.deepStrictEqual(yield* run("SELECT 1 FROM derived.text"), [])
        assert.deepStrictEqual(yield* run("SELECT 1 FROM derived.search"), [])
      }),
    runs(20)
  )

  it.effect("a follower that was stopped goes on where it was, also in a rebuild", () =>
    Effect.gen(function* () {
      const { commit, id } = yield* running()
      yield* commit({ items: ["a", "b", "c", "d", "e"].map((one) => item(one)) })
      yield* awaitVisible
      const first = yield* FeedFollower.make(projections, { pageSize: 2 })
      yield* first.step
      assert.strictEqual(yield* (yield* FeedFollower.make(projections, { pageSize: 2 })).catchUp, 3)
      yield* rebuild
      yield* first.step
      assert.strictEqual(yield* (yield* FeedFollower.make(projections)).catchUp, 3)
      assert.deepStrictEqual(yield* run("SELECT count(*)::int AS n FROM mirror.content"), [{ n: 5 }])
      yield* (yield* WholeStore).disconnect(id, true)
    })
  )

  /** A follower that runs an effect between reading the changes and its commit. */
  const interrupted = (meanwhile: Effect.Effect<unknown, unknown, SqlClient.SqlClient>) =>
    Effect.gen(function* () {
      const feed = yield* FeedStore
      const context = yield* Effect.context<SqlClient.SqlClient>()
      const changes = (query: Parameters<typeof feed.changes>[0]) =>
        Effect.tap(feed.changes(query), () => Effect.orDie(Effect.provideContext(meanwhile, context)))
      return yield* Effect.provideService(FeedFollower.make(projections), FeedStore, { ...feed, changes })
    })

  it.effect("content that is purged while it is derived leaves no row", () =>
    Effect.gen(function* () {
      const contents = yield* WholeStore
      const { commit, fence, id } = yield* running()
      yield* commit({ items: [item("a")] })
      yield* commit({ page: page({ deleted: ["a"] }) })
      yield* settle(fence, { atMost: 100, share: 1 })
      yield* awaitVisible
      const follower = yield* interrupted(contents.purge(id, DateTime.makeUnsafe("2099-01-01T00:00:00Z")))
      yield* follower.catchUp
      assert.deepStrictEqual(yield* run("SELECT 1 FROM derived.content"), [])
      assert.deepStrictEqual(yield* run("SELECT 1 FROM derived.kept_note"), [])
      yield* contents.disconnect(id, true)
    })
  )

  it.effect("a rebuild that is asked for while a page is derived begins at the beginning", () =>
    Effect.gen(function* () {
      const { commit, id } = yield* running()
      yield* commit({ items: [item("a")] })
      yield* awaitVisible
      const follower = yield* interrupted(rebuild)
      yield* follower.step
      assert.deepStrictEqual(yield* run("SELECT cursor, rebuilding FROM derived.follower"), [
        { cursor: null, rebuilding: true }
      ])
      yield* (yield* WholeStore).disconnect(id, true)
    })
  )
})
