/** The lag of derived data in each stage, for the connections that a reader may see. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as PostgresDeriver from "../../src/derive/PostgresDeriver.ts"
import { ProjectionRegistry } from "../../src/derive/Deriver.ts"
import * as PendingTexts from "../../src/derive/extract/PendingTexts.ts"
import * as TextExtractor from "../../src/derive/extract/TextExtractor.ts"
import * as FeedFollower from "../../src/derive/FeedFollower.ts"
import * as Lag from "../../src/derive/Lag.ts"
import { projection as gmail } from "../../src/integrations/gmail/Projection.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { item, running } from "../stores/scenario.ts"
import { awaitVisible } from "../stores/awaitVisible.ts"
import * as Database from "../support/Postgres.ts"

const projections = new Map([["gmail", gmail]])
const layer = Layer.mergeAll(
  Postgres.layer.pipe(Layer.provide(Blobs.layer)),
  TextExtractor.layer,
  Layer.succeed(ProjectionRegistry, { all: Effect.succeed(projections) })
).pipe(Layer.provideMerge(Database.layer))

it.layer(layer, { excludeTestServices: true })("the lag", (it) => {
  it.effect(
    "counts changes that are not derived, texts that are not extracted, and contents that are not indexed",
    () =>
      Effect.gen(function* () {
        // A new database waits for its first derivation, with nothing to derive.
        assert.isFalse((yield* Lag.read(undefined)).rebuilding)
        const mine = yield* running()
        const other = yield* running()
        yield* mine.commit({ items: [item("a"), item("b")] })
        yield* other.commit({ items: [item("c")] })
        yield* awaitVisible
        const counts = Effect.fnUntraced(function* (of?: typeof mine) {
          const { behind, unindexed, unread } = yield* Lag.read(of === undefined ? undefined : [of.id])
          return [behind, unread, unindexed]
        })
        assert.deepStrictEqual(yield* counts(), [3, 0, 0])
        assert.deepStrictEqual(yield* counts(other), [1, 0, 0])
        const all = yield* Lag.read(undefined)
        assert.isNotNull(all.since)
        assert.isTrue(all.rebuilding)

        yield* (yield* FeedFollower.make(projections)).catchUp
        assert.deepStrictEqual(yield* counts(), [0, 3, 3])
        assert.deepStrictEqual(yield* counts(mine), [0, 2, 2])
        assert.deepStrictEqual(yield* Lag.read([]), {
          behind: 0,
          seconds: 0,
          since: null,
          unread: 0,
          unindexed: 0,
          rebuilding: false
        })

        yield* Effect.flatMap(PendingTexts.make, ({ step }) => step)
        assert.deepStrictEqual(yield* counts(), [0, 0, 3])
        yield* (yield* PostgresDeriver.make).catchUp
        assert.deepStrictEqual(yield* counts(), [0, 0, 0])
      })
  )

  it.effect("counts what is behind the many changes of other connections", () =>
    Effect.gen(function* () {
      const run = yield* running()
      const others = "00000000-0000-0000-0000-000000000001"
      yield* SqlClient.SqlClient.use((sql) =>
        Effect.gen(function* () {
          yield* sql`INSERT INTO derived.pending SELECT ${others}::uuid, i::text FROM generate_series(1, 10001) AS i`
          yield* sql`INSERT INTO derived.text (connection_id, external_id, part)
            SELECT ${others}::uuid, i::text, -1 FROM generate_series(1, 10001) AS i`
          yield* sql`INSERT INTO derived.pending VALUES (${run.id}::uuid, 'a')`
          yield* sql`INSERT INTO derived.text (connection_id, external_id, part) VALUES (${run.id}::uuid, 'b', -1)`
        })
      )
      const { unindexed, unread } = yield* Lag.read([run.id])
      assert.deepStrictEqual([unread, unindexed], [1, 2])
      assert.deepStrictEqual((yield* Lag.read(undefined)).unindexed, 10_000)
    })
  )
})
