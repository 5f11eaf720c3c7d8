/** How derived rows and texts become searchable, and how they are removed from the index. */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"
import * as PendingTexts from "../../../src/derive/extract/PendingTexts.ts"
import * as FeedFollower from "../../../src/derive/FeedFollower.ts"
import * as SearchIndexer from "../../../src/derive/search/SearchIndexer.ts"
import * as SearchSchema from "../../../src/derive/search/SearchSchema.ts"
import { running } from "../../stores/scenario.ts"
import { awaitVisible } from "../../stores/awaitVisible.ts"
import { derive, found, layer, mail, projections, rows, store } from "./Scenario.ts"

/** Counts the sessions of the database that are waiting for a lock. */
const waiting = Effect.map(
  rows("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"),
  ({ length }) => length
)

it.layer(layer, { excludeTestServices: true })("the index", (it) => {
  it.effect("keeps no words of content that is purged while it is indexed", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const run = yield* running()
      yield* run.commit({ items: [mail("secret", { subject: "Secret", text: "secretword" })] })
      yield* awaitVisible
      const follower = yield* FeedFollower.make(projections)
      yield* follower.catchUp
      const texts = yield* PendingTexts.make
      const indexer = yield* SearchIndexer.make(follower.tables)
      while ((yield* texts.step) > 0);

      // The indexer stops after its last query of the contents, until the holder lets it continue.
      yield* rows(`CREATE FUNCTION derived.stop() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$`)
      yield* rows("CREATE TRIGGER stop AFTER INSERT ON derived.search_name EXECUTE FUNCTION derived.stop()")
      const isHeld = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const holder = yield* Effect.forkChild(
        rows("SELECT pg_advisory_xact_lock(4711)").pipe(
          Effect.andThen(Deferred.succeed(isHeld, undefined)),
          Effect.andThen(Deferred.await(goOn)),
          sql.withTransaction
        )
      )
      yield* Deferred.await(isHeld)
      const indexing = yield* Effect.forkChild(indexer.step)
      while ((yield* waiting) < 1) yield* Effect.yieldNow
      const purge = sql`SELECT derived.forget(${run.id}::uuid, ARRAY['secret'])`
      const purging = yield* Effect.forkChild(sql.withTransaction(purge))
      while ((yield* waiting) < 2 && purging.pollUnsafe() === undefined) yield* Effect.yieldNow
      yield* Deferred.succeed(goOn, undefined)
      yield* Effect.forEach([holder, indexing, purging], (fiber) => Fiber.join<unknown, unknown>(fiber))
      yield* rows("DROP FUNCTION derived.stop() CASCADE")
      assert.deepStrictEqual(yield* rows("SELECT external_id FROM derived.search"), [])
    })
  )

  it.effect("removes in a rebuild what the feed no longer has", () =>
    Effect.gen(function* () {
      const run = yield* running()
      yield* store(run, { stays: { subject: "Stays", text: "x" } })
      yield* rows(`INSERT INTO derived.search
        SELECT connection_id, 'orphan', occurred_at, deleted, sender, vector FROM derived.search
        WHERE connection_id = '${run.id}'`)
      yield* rows("UPDATE derived.follower SET cursor = NULL, generation = generation + 1, rebuilding = true")
      yield* derive
      const left = yield* rows(`SELECT external_id FROM derived.search WHERE connection_id = '${run.id}'`)
      assert.deepStrictEqual(left, [{ external_id: "stays" }])
    })
  )

  it.effect("knows the month of a content's time, also of another time", () =>
    Effect.gen(function* () {
      const run = yield* running()
      const months = rows(`SELECT lexeme AS month FROM derived.search, unnest(tsvector_to_array(vector)) AS lexeme
        WHERE connection_id = '${run.id}' AND lexeme LIKE 'month:%'`)
      const text = { subject: "Offer", text: "terrace" }
      yield* store(run, { one: { ...text, at: "2025-12-31" } })
      assert.deepStrictEqual(yield* months, [{ month: "month:2025-12" }])
      yield* store(run, { one: { ...text, at: "2026-01-01" } })
      assert.deepStrictEqual(yield* months, [{ month: "month:2026-01" }])
    })
  )

  it.effect("knows the forms of words in the language of a connection", () =>
    Effect.gen(function* () {
      const run = yield* running()
      const of = { connectionIds: [run.id] }
      yield* store(run, { houses: { subject: "Alte Häuser", text: "Viele Gärten, größere Bäder, schöne Baeume" } })
      for (const query of ["Haus", "groessere", "Bäume"]) assert.deepStrictEqual(yield* found(query, of), [], query)
      yield* SearchSchema.setLanguage(run.name, "german")
      const pending = rows("SELECT connection_id AS id, count(*)::int AS contents FROM derived.pending GROUP BY 1")
      assert.deepStrictEqual(yield* pending, [{ id: run.id, contents: 1 }])
      yield* derive
      assert.deepStrictEqual(yield* found("Garten häuser", of), ["houses"])
      // Umlauts typed on a keyboard without umlauts: https://snowballstem.org/algorithms/german/stemmer.html
      for (const query of ["garten", "gaerten", "groessere", "grosse", "Bäume", "baum", "BAEUME"]) {
        assert.deepStrictEqual(yield* found(query, of), ["houses"], query)
      }
      assert.deepStrictEqual(yield* found("garten"), ["houses"])
      yield* SearchSchema.setLanguage(run.name, "german")
      assert.deepStrictEqual(yield* pending, [])
      const unknown = yield* Effect.flip(SearchSchema.setLanguage(run.name, "klingon"))
      assert.match(unknown.message, /there is no language "klingon": there are .*german/)
      assert.match((yield* Effect.flip(SearchSchema.setLanguage("nobody", "german"))).message, /no connection "nobody"/)
      yield* SearchSchema.setLanguage(run.name, "simple")
      yield* derive
      assert.deepStrictEqual(yield* found("Haus", of), [])
    })
  )

  it.effect("indexes the beginning of a text whose vector would be too long for PostgreSQL", () =>
    Effect.gen(function* () {
      const run = yield* running()
      // Rare ideographs: 4 bytes a character, and 4 for the position of each word.
      const ideograph = (index: number) => String.fromCodePoint(0x20_000 + (index % 40_000))
      const words = (from: number) =>
        Array.from(
          { length: 37_000 },
          (_, index) => `${ideograph(from + index)}${ideograph((from + index) * 7)}${ideograph(index)}`
        )
      yield* store(run, {
        long: {
          subject: "Long",
          text: "first",
          files: { "a.txt": words(0).join(" "), "b.txt": words(50_000).join(" ") }
        },
        other: { subject: "Other", text: "first" }
      })
      assert.deepStrictEqual(yield* found("first", { connectionIds: [run.id] }), ["long", "other"])
      assert.deepStrictEqual(yield* found(words(0)[5] ?? "", { connectionIds: [run.id] }), ["long"])
    })
  )

  it.effect("indexes the other contents of a batch if the database refuses one, which no search then finds", () =>
    Effect.gen(function* () {
      const run = yield* running()
      const of = { connectionIds: [run.id] }
      const one = { subject: "Heron", text: "heron" }
      yield* store(run, { a: one, poison: one, z: one })
      assert.deepStrictEqual(yield* found("heron", of), ["a", "poison", "z"])
      yield* rows(`CREATE FUNCTION derived.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE program_limit_exceeded; END $$`)
      yield* rows(`CREATE TRIGGER refuse BEFORE INSERT ON derived.search FOR EACH ROW
        WHEN (new.external_id = 'poison') EXECUTE FUNCTION derived.refuse()`)
      const other = { subject: "Egret", text: "egret" }
      yield* store(run, { a: other, poison: other, z: other })
      yield* rows("DROP FUNCTION derived.refuse() CASCADE")
      assert.deepStrictEqual(yield* found("egret", of), ["a", "z"])
      assert.deepStrictEqual(yield* found("heron", of), [])
      assert.deepStrictEqual(yield* rows("SELECT 1 FROM derived.pending"), [])
    })
  )

  it.effect("waits for the first attempt at a text, and no longer", () =>
    Effect.gen(function* () {
      const run = yield* running()
      const commit = (subject: string) =>
        Effect.andThen(run.commit({ items: [mail("a", { subject, text: subject })] }), awaitVisible)
      yield* commit("First")
      const follower = yield* FeedFollower.make(projections)
      const indexer = yield* SearchIndexer.make(follower.tables)
      yield* follower.catchUp
      const queue = rows(`SELECT external_id AS id FROM derived.pending WHERE connection_id = '${run.id}'`)
      assert.deepStrictEqual(yield* queue, [])
      const texts = yield* PendingTexts.make
      while ((yield* texts.step) > 0);
      assert.deepStrictEqual(yield* queue, [{ id: "a" }])
      yield* commit("Second")
      yield* follower.catchUp
      assert.deepStrictEqual(yield* queue, [])
      // An attempt failed, for example because a folder of bodies was unreachable.
      yield* rows("UPDATE derived.text SET attempts = 1, next_attempt = 'infinity' WHERE version IS NULL")
      yield* rows("UPDATE derived.follower SET cursor = NULL")
      yield* follower.catchUp
      while ((yield* indexer.step) > 0);
      assert.deepStrictEqual(yield* found("second", { connectionIds: [run.id] }), ["a"])
    })
  )
})
